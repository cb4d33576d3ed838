package h1

import (
	"testing"
	"unsafe"
)

// TestSizeOfConnection: an idle connection is this value and the front's half, which has a test of its own.
func TestSizeOfConnection(t *testing.T) {
	if n := unsafe.Sizeof(conn{}); n > 208 {
		t.Errorf("%d bytes, want 208 at most", n)
	}
}
