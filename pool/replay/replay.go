// Package replay remembers what was read of a request's body, so that another attempt can send it again.
package replay

import (
	"errors"
	"io"
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/transport"
)

// body is a request's body that remembers what was read of it, so that another attempt can send it again.
// It stands in the way of splicing, so bodies that are known to be too long to be remembered are left
// alone.
type body struct {
	in    io.ReadCloser
	buf   []byte // what was read of in
	off   int    // where the attempt under way reads
	most  int    // bytes that are remembered
	over  bool   // there was more
	ended bool   // in was read to its end
	err   error  // in failed
}

var bodies = sync.Pool{New: func() any { return new(body) }}

// Remember puts a memory before the body of x when it may have to be sent again and is not in memory anyway.
func Remember(x *edge.Exchange, most int64) {
	if x.In == nil || x.InLen > most || x.InBytes > 0 {
		return
	}
	if _, ok := transport.Whole(x.In); ok {
		return
	}
	r := bodies.Get().(*body)
	*r = body{in: x.In, buf: r.buf[:0], most: int(most)}
	x.In = r
}

// Forget gives the memory back; nobody reads the body any more.
func Forget(x *edge.Exchange) {
	if r, ok := x.In.(*body); ok {
		x.In = r.in
		if cap(r.buf) > keptBytes {
			r.buf = nil
		}
		r.in = nil
		bodies.Put(r)
	}
}

const keptBytes = 256 << 10

// Read implements io.Reader.
func (r *body) Read(p []byte) (int, error) {
	if r.off < len(r.buf) {
		n := copy(p, r.buf[r.off:])
		r.off += n
		if r.ended && r.off == len(r.buf) {
			return n, io.EOF
		}
		return n, nil
	}
	if r.ended {
		return 0, io.EOF
	}
	n, err := r.in.Read(p)
	if len(r.buf)+n > r.most {
		r.over = true
	}
	if !r.over {
		r.buf = append(r.buf, p[:n]...)
		r.off += n
	}
	switch {
	case errors.Is(err, io.EOF):
		r.ended = true
	case err != nil:
		r.err = err
	}
	return n, err
}

// Rewind implements edge.Rewinder.
func (r *body) Rewind() bool {
	if r.over || r.err != nil {
		return false
	}
	r.off = 0
	return true
}

// Trailer implements edge.Trailered.
func (r *body) Trailer() []byte {
	if t, ok := r.in.(edge.Trailered); ok {
		return t.Trailer()
	}
	return nil
}

// Gather implements edge.Gatherer.
func (r *body) Gather() *edge.Fault {
	if g, ok := r.in.(edge.Gatherer); ok && len(r.buf) == 0 {
		return g.Gather()
	}
	return nil
}

// Whole implements edge.Whole.
func (r *body) Whole() ([]byte, bool) {
	if len(r.buf) > 0 || r.ended {
		return nil, false
	}
	return transport.Whole(r.in)
}

// Close implements io.Closer.
func (r *body) Close() error { return r.in.Close() }
