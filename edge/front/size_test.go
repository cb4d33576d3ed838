package front

import (
	"testing"
	"unsafe"
)

// TestSizeOfConnection: an idle connection is this value and nothing else; beyond 512 bytes the allocator takes 576.
func TestSizeOfConnection(t *testing.T) {
	if n := unsafe.Sizeof(conn{}); n > 512 {
		t.Errorf("%d bytes, want 512 at most", n)
	}
}
