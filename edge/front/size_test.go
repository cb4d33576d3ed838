package front

import (
	"testing"
	"unsafe"
)

// TestSizeOfConnection: an idle connection is this value and what its protocol keeps of it.
func TestSizeOfConnection(t *testing.T) {
	if n := unsafe.Sizeof(conn{}); n > 384 {
		t.Errorf("%d bytes, want 384 at most", n)
	}
}
