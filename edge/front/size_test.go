package front

import (
	"testing"
	"unsafe"
)

// TestSizeOfConnection: an idle connection is this value and what its protocol keeps of it.
func TestSizeOfConnection(t *testing.T) {
	if n := unsafe.Sizeof(conn{}); n > 416 {
		t.Errorf("%d bytes, want 416 at most", n)
	}
}
