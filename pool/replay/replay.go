// Package replay remembers what was read of a request's body, so that another attempt can send it again.
package replay

import (
	"errors"
	"io"
	"sync"

	"github.com/penstock-edge/penstock/edge"
)

// body is a request's body that remembers what was read of it, so that another attempt can send it again.
// It stands in the way of splicing, so bodies that are known to be too long to be remembered are left
// alone.
type body struct {
	edge.Wrapper
	buf   []byte // what was read of In
	off   int    // where the attempt under way reads
	most  int    // bytes that are remembered
	over  bool   // there was more
	ended bool   // In was read to its end
	err   error  // In failed
}

var bodies = sync.Pool{New: func() any { return new(body) }}

// Remember puts a memory before the body of x when it may have to be sent again and is not in memory anyway.
func Remember(x *edge.Exchange, most int64) {
	if x.In == nil || x.InLen > most || x.InBytes > 0 {
		return
	}
	if _, whole := x.In.Whole(); whole {
		return
	}
	r := bodies.Get().(*body)
	*r = body{Wrapper: edge.Wrapper{In: x.In}, buf: r.buf[:0], most: int(most)}
	x.In = r
}

// Forget gives the memory back; nobody reads the body any more.
func Forget(x *edge.Exchange) {
	if r, ok := x.In.(*body); ok {
		x.In = r.In
		if cap(r.buf) > keptBytes {
			r.buf = nil
		}
		r.In = nil
		bodies.Put(r)
	}
}

const keptBytes = 256 << 10

// Read implements edge.Body.
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
	n, err := r.In.Read(p)
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

// Rewind implements edge.Body.
func (r *body) Rewind() bool {
	if r.over || r.err != nil {
		return false
	}
	r.off = 0
	return true
}

// Ready implements edge.Body.
func (r *body) Ready() bool { return r.off < len(r.buf) || r.ended || r.In.Ready() }

// Gather implements edge.Body.
func (r *body) Gather() *edge.Fault {
	if len(r.buf) > 0 {
		return nil
	}
	return r.In.Gather()
}

// Whole implements edge.Body.
func (r *body) Whole() ([]byte, bool) {
	if len(r.buf) > 0 || r.ended {
		return nil, false
	}
	return r.In.Whole()
}
