package pool

import (
	"errors"
	"io"
	"sync"

	"github.com/penstock-edge/penstock/edge"
)

// replay is a request's body that remembers what was read of it, so that another attempt can send it again.
// It stands in the way of splicing, so bodies that are known to be too long to be remembered are left
// alone.
type replay struct {
	edge.Wrapper
	buf   []byte // what was read of In
	off   int    // where the attempt under way reads
	most  int    // bytes that are remembered
	over  bool   // there was more
	ended bool   // In was read to its end
	err   error  // In failed
}

var replays = sync.Pool{New: func() any { return new(replay) }}

// remember puts a replay before the body of x when it may have to be sent again and is not in memory anyway.
func remember(x *edge.Exchange, most int64) {
	if x.In == nil || x.InLen > most || x.InBytes > 0 {
		return
	}
	if _, whole := x.In.Whole(); whole {
		return
	}
	r := replays.Get().(*replay)
	*r = replay{Wrapper: edge.Wrapper{In: x.In}, buf: r.buf[:0], most: int(most)}
	x.In = r
}

// forget gives the memory back; nobody reads the body any more.
func forget(x *edge.Exchange) {
	if r, ok := x.In.(*replay); ok {
		x.In = r.In
		if cap(r.buf) > keptReplay {
			r.buf = nil
		}
		r.In = nil
		replays.Put(r)
	}
}

const keptReplay = 256 << 10

// Read implements edge.Body.
func (r *replay) Read(p []byte) (int, error) {
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
func (r *replay) Rewind() bool {
	if r.over || r.err != nil {
		return false
	}
	r.off = 0
	return true
}

// Ready implements edge.Body.
func (r *replay) Ready() bool { return r.off < len(r.buf) || r.ended || r.In.Ready() }

// Gather implements edge.Body.
func (r *replay) Gather() *edge.Fault {
	if len(r.buf) > 0 {
		return nil
	}
	return r.In.Gather()
}

// Whole implements edge.Body.
func (r *replay) Whole() ([]byte, bool) {
	if len(r.buf) > 0 || r.ended {
		return nil, false
	}
	return r.In.Whole()
}
