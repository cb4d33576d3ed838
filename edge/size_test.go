package edge

import (
	"testing"
	"unsafe"
)

// TestSizeOfExchange: each request that is under way has one.
func TestSizeOfExchange(t *testing.T) {
	if n := unsafe.Sizeof(Exchange{}); n > 2200 {
		t.Errorf("%d bytes", n)
	}
}
