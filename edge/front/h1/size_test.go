package h1

import (
	"testing"
	"unsafe"
)

// TestSizeOfConnection: an idle connection is this value and the front's half, which has a test of its own.
func TestSizeOfConnection(t *testing.T) {
	if n := unsafe.Sizeof(conn{}); n > 176 {
		t.Errorf("%d bytes, want 176 at most", n)
	}
}
