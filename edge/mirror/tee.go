package mirror

import (
	"errors"
	"io"
	"sync"

	"github.com/penstock-edge/penstock/edge"
)

// tee is a request's body on its way to the target: what is read of it is added to the copy, which leaves
// when the body has ended. It hides that a body might be spliced: only such bodies are that are larger than
// a copy.
type tee struct {
	edge.Wrapper
	length int64 // -1: not known beforehand
	m      *mirror
	before *tee       // that of the mirror before it, which it wraps; nil: none
	d      *duplicate // nil when it has left or was given up; the worker's from then on
}

var tees = sync.Pool{New: func() any { return new(tee) }}

// Read implements edge.Body.
func (t *tee) Read(p []byte) (int, error) {
	n, err := t.In.Read(p)
	if t.d != nil {
		t.add(p[:n], err)
	}
	return n, err
}

func (t *tee) add(p []byte, err error) {
	d := t.d
	if int64(len(d.body)+len(p)) > t.m.maxBody {
		t.giveUp(tooLarge)
		return
	}
	d.body = append(d.body, p...)
	switch {
	case errors.Is(err, io.EOF), err == nil && int64(len(d.body)) == t.length:
		t.d = nil
		t.m.enqueue(d)
	case err != nil:
		t.giveUp(incomplete)
	}
}

func (t *tee) giveUp(why outcome) {
	t.m.outcomes[why].Inc(t.d.x.Lane)
	t.d.release()
	t.d = nil
}

// Whole implements edge.Body. A body that is in memory is not read: what is whole here belongs to the copy.
func (t *tee) Whole() ([]byte, bool) {
	b, ok := t.In.Whole()
	if ok && t.d != nil {
		t.add(b, io.EOF)
	}
	return b, ok
}

// end gives the tees back when the exchange has ended: nobody reads the body any more.
type end struct{ slot int }

// Run implements edge.Filter.
func (e *end) Run(x *edge.Exchange) edge.Verdict {
	t, ok := x.Slot[e.slot].(*tee)
	if !ok {
		return edge.Next
	}
	x.Slot[e.slot] = nil
	for t != nil {
		if t.d != nil {
			t.giveUp(incomplete)
		}
		if x.In == edge.Body(t) {
			x.In = t.In
		}
		before := t.before
		*t = tee{}
		tees.Put(t)
		t = before
	}
	return edge.Next
}
