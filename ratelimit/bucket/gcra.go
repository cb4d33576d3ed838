package bucket

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Rate is Count events in each Per, and Burst at once after a pause. All are above 0.
type Rate struct {
	Count int64
	Per   time.Duration
	Burst int64
}

// GCRA is the generic cell rate algorithm (ITU-T I.371): of each key one number is kept, the moment at
// which it will have spent nothing. Never more than rate × time + burst is admitted of a key, and no less
// than that without one.
//
// Moments are counted in sixteenths of an event's time, which a change of the rate makes longer or shorter:
// what a key has spent stays the same number of events. They are rounded down, so that who keeps to the rate
// is never refused: of a key so much more may be admitted, a sixteenth of an event, once.
type GCRA struct {
	t    *table
	pace atomic.Pointer[pace]
	mu   sync.Mutex // held to change pace
}

// pace turns moments into sixteenths.
type pace struct {
	from  int64  // clock nanoseconds
	base  uint64 // sixteenths at that moment
	rate  Rate
	burst uint64 // in sixteenths
	due   uint64 // sixteenths that a key may be ahead: what charges after the fact can make it owe
}

const (
	parts      = 16
	mostDue    = 1 << 38 // the largest due: a quarter of all moments
	mostBursts = 1024    // that a key may owe; the fewer, the less often what is past looks like a debt
)

// NewGCRA returns a limiter for as many keys at once. Exact compares keys as a whole.
func NewGCRA(maxKeys int, exact bool, r Rate) *GCRA {
	each := 0
	if exact {
		each = 2
	}
	g := &GCRA{t: newTable(maxKeys, true, each)}
	// A state is never 0, and what is past is never mistaken for what is to come: the first moment is 1.
	g.pace.Store(newPace(r, 0, 1, 0))
	return g
}

// newPace returns a pace by which keys may owe as much as they did by the one before it, whose due is given.
func newPace(r Rate, from int64, base, due uint64) *pace {
	burst := uint64(min(r.Burst, mostDue/parts/2)) * parts
	return &pace{from: from, base: base, rate: r, burst: burst, due: max(due, min(mostBursts*burst, mostDue))}
}

// SetRate changes the rate at once. What is spent stays spent, but no key owes more than the new burst. now
// is in clock nanoseconds, as in all that follows.
func (g *GCRA) SetRate(now int64, r Rate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.pace.Load()
	if p.rate == r {
		return
	}
	g.pace.Store(newPace(r, max(now, p.from), p.at(now), p.due))
	bound(g.t, g.moment(now))
}

// at returns a moment in sixteenths.
func (p *pace) at(now int64) uint64 {
	hi, lo := bits.Mul64(uint64(max(now-p.from, 0)), uint64(p.rate.Count)*parts)
	n, _ := bits.Div64(hi%uint64(p.rate.Per), lo, uint64(p.rate.Per))
	return p.base + n
}

// time returns how long some sixteenths take, rounded up.
func (p *pace) time(n uint64) time.Duration {
	hi, lo := bits.Mul64(n, uint64(p.rate.Per))
	per := uint64(p.rate.Count) * parts
	if hi >= per {
		return 1<<63 - 1
	}
	d, rest := bits.Div64(hi, lo, per)
	if rest > 0 {
		d++
	}
	return time.Duration(min(d, 1<<63-1))
}

// moment is a pace at one moment: the meter of one call.
type moment struct {
	*pace
	now uint64
}

// ahead returns how much of what a key has spent is not made good yet, in sixteenths. What lies too far
// ahead is long past: moments are kept modulo 2^40.
func (m moment) ahead(state uint64) uint64 {
	n := (state - m.now) & stateMask
	if state == 0 || n > m.due {
		return 0
	}
	return n
}

func (m moment) rank(state uint64) uint64 { return m.ahead(state) }

func (m moment) add(state uint64, amount int64, force bool) (uint64, bool) {
	spent := int64(m.ahead(state)) + amount
	if !force && spent > int64(m.burst) {
		return state, false
	}
	if spent = min(max(spent, 0), int64(m.due)); spent == 0 {
		return 0, true
	}
	next := (m.now + uint64(spent)) & stateMask
	if next == 0 {
		next = 1
	}
	return next, true
}

func (m moment) bound(state uint64) uint64 {
	if n := m.ahead(state); n <= m.burst {
		return state
	}
	return max((m.now+m.burst)&stateMask, 1)
}

func (g *GCRA) moment(now int64) moment {
	p := g.pace.Load()
	return moment{p, p.at(now)}
}

// result returns what may still be spent in a state.
func (m moment) result(state uint64, cost int64, ok bool) Result {
	spent := m.ahead(state)
	r := Result{OK: ok, Remaining: (int64(m.burst) - int64(spent)) / parts, Reset: m.time(spent)}
	if !ok {
		r.Retry = -1
		if need := uint64(cost) * parts; need <= m.burst {
			r.Retry = m.time(spent + need - m.burst)
		}
	}
	return r
}

// Peek returns what TryCharge would, and charges nothing.
func (g *GCRA) Peek(k Key, now, cost int64) Result {
	m := g.moment(now)
	p := g.t.place(k)
	state := uint64(0)
	if slot, word := g.t.find(&p, -1); slot >= 0 {
		state = g.t.state(word)
	}
	_, ok := m.add(state, cost*parts, false)
	return m.result(state, cost, ok)
}

// TryCharge charges the cost if the key has as much left.
func (g *GCRA) TryCharge(k Key, now, cost int64) Result {
	m := g.moment(now)
	state, ok := change(g.t, m, k, cost*parts, false)
	g.settle(m, k, now)
	return m.result(state, cost, ok)
}

// Charge charges the cost whatever is left, but no more than the burst; a negative one is given back.
func (g *GCRA) Charge(k Key, now, cost int64) {
	m := g.moment(now)
	change(g.t, m, k, min(max(cost, -mostDue/parts)*parts, int64(m.burst)), true)
	g.settle(m, k, now)
}

// settle is called after a change: where SetRate has come in between it may not have seen it.
func (g *GCRA) settle(m moment, k Key, now int64) {
	if g.pace.Load() != m.pace {
		boundKey(g.t, g.moment(now), k)
	}
}

// Reset forgets what a key has spent, and reports whether that was anything.
func (g *GCRA) Reset(k Key, now int64) bool { return reset(g.t, g.moment(now), k) }

// Keys returns of how many keys something is remembered. It looks at the whole table.
func (g *GCRA) Keys(now int64) int { return g.t.used(g.moment(now).rank) }

// Evictions returns how often a key was forgotten to make room.
func (g *GCRA) Evictions() uint64 { return g.t.evictions.Load() }

// Bytes returns how much memory the table takes.
func (g *GCRA) Bytes() int64 { return g.t.bytes() }
