package transport

import (
	"io"

	"github.com/penstock-edge/penstock/edge"
)

// Whole returns the body of a request when it is in memory from its first byte to its last, without consuming
// it.
func Whole(in io.ReadCloser) (b []byte, ok bool) {
	w, ok := in.(edge.Whole)
	if !ok {
		return nil, false
	}
	return w.Whole()
}
