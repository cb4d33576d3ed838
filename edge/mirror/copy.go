package mirror

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// mirror is an entry of the mirror key of one route: it copies requests into a queue that its workers empty.
type mirror struct {
	route   string
	name    string     // of the pool
	plan    *edge.Plan // of copies: the pool, without filters
	slot    int
	below   uint64 // a random number below it makes a copy; the largest one: always
	maxBody int64
	timeout time.Duration

	outcomes [outcomes]*lanes.Counter
	queue    chan *duplicate
	stop     chan struct{} // closed to end the workers
	workers  int
	running  sync.WaitGroup
	busy     atomic.Int64 // copies under way
}

// outcome is what became of a copy, for penstock_mirror_requests_total.
type outcome uint8

const (
	sent       outcome = iota // and an answer came
	failed                    // no answer, or half of one
	dropped                   // the queue was full
	tooLarge                  // the body is larger than max_body_bytes
	incomplete                // the body was not read to its end
	outcomes
)

var outcomeNames = [outcomes]string{"sent", "failed", "dropped", "too_large", "incomplete"}

// Run implements edge.Filter. It never refuses or delays: what cannot be copied at once is copied while the
// target reads it, or not at all.
func (m *mirror) Run(x *edge.Exchange) edge.Verdict {
	if len(x.Upgrade) > 0 || m.below != alwaysBelow && chance.Uint64() >= m.below || x.Conn.Gone() {
		return edge.Next // nothing more is sent for a client that has left; a tunnel cannot be mirrored
	}
	body, whole := x.WholeIn()
	switch {
	case x.InLen > m.maxBody || int64(len(body)) > m.maxBody:
		m.outcomes[tooLarge].Inc(x.Lane)
	case len(m.queue) == cap(m.queue):
		m.outcomes[dropped].Inc(x.Lane) // before any work is spent on it
	case whole:
		d := m.copy(x)
		d.body = append(d.body, body...)
		m.enqueue(d)
	default:
		t := tees.Get().(*tee)
		*t = tee{Wrapper: edge.Wrapper{In: x.In}, length: x.InLen, m: m, d: m.copy(x)}
		t.before, _ = x.Slot[m.slot].(*tee)
		x.In = t
		x.Slot[m.slot] = t
	}
	return edge.Next
}

const alwaysBelow = 1<<64 - 1

// enqueue hands d to the workers, or drops it when they are behind.
func (m *mirror) enqueue(d *duplicate) {
	select {
	case m.queue <- d:
	default:
		m.outcomes[dropped].Inc(d.x.Lane)
		d.release()
	}
}

// duplicate is the copy of one request, an exchange of its own.
type duplicate struct {
	x    edge.Exchange
	in   edge.BytesBody
	body []byte
}

// keptBody is the room for a body that a duplicate may keep when it is given back.
const keptBody = 256 << 10

var duplicates = sync.Pool{New: func() any { return new(duplicate) }}

// markName tells the mirrored application that nobody waits for its answer.
const markName = "X-Penstock-Mirror"

// copy returns a copy of x without its body. x is untouched and may go on at once.
func (m *mirror) copy(x *edge.Exchange) *duplicate {
	d := duplicates.Get().(*duplicate)
	y := &d.x
	x.Fork(y, nil)
	y.Plan = m.plan
	y.Class = edge.ClassSheddable // nobody waits for its answer
	y.Req.Set(markName, "1")
	y.InMax = m.maxBody
	return d
}

// release gives d back; not to be used after.
func (d *duplicate) release() {
	d.x.Reset()
	d.in, d.body = edge.BytesBody{}, d.body[:0]
	if cap(d.body) <= keptBody {
		duplicates.Put(d)
	}
}
