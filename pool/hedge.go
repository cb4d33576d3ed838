package pool

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/pool/outcome"
	"github.com/penstock-edge/penstock/pool/transport"
)

// hedgeable reports whether the attempt that begins may get a second one at its side.
func (m *member) hedgeable(x *edge.Exchange) bool {
	if m.pool.conf.Hedge == nil || x.Attempts != 1 || x.Call.Flags&isRaced != 0 || len(x.Upgrade) > 0 ||
		!x.Repeatable() {
		return false
	}
	_, whole := x.WholeIn()
	return whole
}

// hedgeAt is when the attempt that a loop begins gets its second, in clock nanoseconds; 0: not at all.
func (m *member) hedgeAt(x *edge.Exchange) int64 {
	delay := m.pool.shared.hedgeDelay.Load()
	if delay == 0 || !m.hedgeable(x) {
		return 0
	}
	return x.Times.Policy + delay
}

// hedgeDue reports whether a second attempt is to be made now. It asks once an exchange.
func (m *member) hedgeDue(x *edge.Exchange) bool {
	x.Call.Flags |= isRaced
	p := m.pool
	if !p.set.Load().untried(x) || p.shared.queue.Len() > 0 { // others wait for the place it would take
		return false
	}
	if !p.shared.budget.TrySpend(clock.Now(), p.shared.requests.Sum(), p.conf.Hedge.Percent) {
		p.refused.Inc(x.Lane)
		return false
	}
	return true
}

// hedgeAfter reports whether RoundTrip is a race, and when its second attempt begins: at once when the loop
// has waited for the first already.
func (m *member) hedgeAfter(x *edge.Exchange) (time.Duration, bool) {
	if m.pool.conf.Hedge == nil {
		return 0, false
	}
	if a := begun(x); a != nil {
		return 0, a.Due > 0 && x.Call.Flags&isRaced != 0
	}
	delay := time.Duration(m.pool.shared.hedgeDelay.Load())
	return delay, delay > 0 && m.hedgeable(x)
}

// racer is one attempt of a race: an exchange of its own, in a goroutine of its own. Whoever comes second
// finds out through Gone, as if its client had left, and cleans up behind itself; the race does not wait
// for it. Racers are not used again: the race may still look at one that has ended.
type racer struct {
	x    edge.Exchange
	m    *member
	in   edge.BytesBody
	loop *poll.Loop // of the client; nil: none
	f    *edge.Fault
	race chan *racer // takes all racers without waiting
	// state is settled once: by the racer when it has come to its end, or by the race that has no use for it.
	state atomic.Uint32
	wake  atomic.Pointer[transport.Attempt] // what it may be waiting for
}

const (
	racing uint32 = iota
	arrived
	beaten
)

// Gone implements edge.ClientConn.
func (r *racer) Gone() bool { return r.state.Load() == beaten }

// Abort implements edge.ClientConn. The body is in memory: no read of it blocks.
func (r *racer) Abort() {}

// Loop implements edge.LoopConn.
func (r *racer) Loop() (*poll.Loop, bool) { return r.loop, false }

// Resume implements edge.LoopConn.
func (r *racer) Resume(*poll.Loop) { panic("BUG: an attempt of a race does not wait in a loop") }

// Watch implements edge.LoopConn.
func (r *racer) Watch(*poll.Socket) {}

// race is an attempt with, after a while, another one at its side.
type race struct {
	m       *member
	x       *edge.Exchange
	runners [2]*racer   // nil: not begun, or done with
	came    chan *racer // those that have arrived
	spare   *racer      // has an answer of 500 or above: better than none
	f       *edge.Fault
	cause   error
}

// race makes the attempt and, when no answer has come after a while, a second one to another target. The
// first good answer is that of x.
func (m *member) race(x *edge.Exchange, after time.Duration) *edge.Fault {
	r := &race{m: m, x: x, came: make(chan *racer, 2)}
	r.runners[0] = m.send(x, r.came)
	until := clock.Now() + int64(after)
	timer := time.NewTimer(min(after, lookEach))
	defer timer.Stop()
	for {
		select {
		case runner := <-r.came:
			if r.arrived(runner) {
				return r.end()
			}
		case <-timer.C:
			if x.Conn.Gone() {
				r.spare, r.f = nil, edge.ClientGone
				return r.end()
			}
			wait := lookEach
			if left := time.Duration(until - clock.Now()); left > 0 {
				wait = min(wait, left)
			} else if until > 0 {
				until = 0
				r.runners[1] = m.second(x, r.came)
			}
			timer.Reset(wait)
		}
	}
}

// arrived takes in what has become of a runner and reports whether the race is over.
func (r *race) arrived(runner *racer) bool {
	running := false
	for i, other := range r.runners {
		if other == runner {
			r.runners[i] = nil
		} else if other != nil {
			running = true
		}
	}
	switch {
	case runner.f != nil:
		r.f, r.cause = runner.f, runner.x.Cause
	case r.spare != nil && runner.x.Call.Status >= 500: // no better than the one there is
		runner.letGo(nil)
	case r.spare != nil:
		r.spare.letGo(nil)
		r.spare = runner
	default:
		r.spare = runner
	}
	return !running || r.spare != nil && r.spare.x.Call.Status < 500
}

// end settles the race: the runners that are left have lost, and x gets the answer or the fault.
func (r *race) end() *edge.Fault {
	x := r.x
	winner := r.spare
	if winner != nil {
		if winner.x.Call.Flags&isHedge != 0 {
			r.m.pool.hedgeWon.Inc(x.Lane)
		}
		x.Adopt(&winner.x)
		handTo(held(x), x)
	}
	for _, other := range r.runners {
		if other == nil {
			continue
		}
		if other.state.CompareAndSwap(racing, beaten) {
			if a := other.wake.Load(); a != nil {
				a.Stream.Interrupt()
			}
		} else if last := <-r.came; last.f == nil { // it arrived at this moment
			last.letGo(nil)
		}
	}
	if winner != nil {
		return nil
	}
	x.Held, x.Cause = released, r.cause
	return r.f
}

// send begins an attempt at m with a copy of x. One that the loop has begun already goes on with the copy.
func (m *member) send(x *edge.Exchange, came chan *racer) *racer {
	r := &racer{m: m, race: came}
	y := &r.x
	x.Fork(y, r)
	y.TETrailers, y.NoTrailers = x.TETrailers, x.NoTrailers
	y.Attempt, y.Times, y.PoolName, y.PassDeadline = x.Attempt, x.Times, x.PoolName, x.PassDeadline
	y.Call.Ender = nil
	if x.Loop != nil {
		r.loop, _ = x.Loop.Loop()
		y.Loop = r
	}
	if b, _ := x.WholeIn(); x.In != nil {
		r.in = *edge.NewBytesBody(bytes.Clone(b))
		y.In, y.InLen, y.InMax = &r.in, x.InLen, x.InMax
	}
	x.Held, y.Held = nil, x.Held
	if a := begun(y); a != nil {
		y.TargetName = m.Address
		handTo(a, y)
	}
	go r.run()
	return r
}

// second begins the second attempt, if there is another target and the budget allows it.
func (m *member) second(x *edge.Exchange, came chan *racer) *racer {
	if x.Call.Flags&isRaced == 0 && !m.hedgeDue(x) {
		return nil
	}
	other, _ := m.pool.choose(x)
	if other == nil {
		return nil
	}
	if other.Target == m.Target {
		other.unclaim(x)
		return nil
	}
	m.pool.hedges.Inc(x.Lane)
	x.Attempts++
	x.Call.Flags |= isHedge // for the copy
	r := other.send(x, came)
	x.Call.Flags &^= isHedge
	return r
}

// run makes the attempt of r. A racer that was beaten lets go of what it has.
func (r *racer) run() {
	func() {
		defer edge.Contain(&r.f)
		r.f = r.m.try(&r.x)
	}()
	if r.f != nil && r.Gone() {
		r.late()
		r.f = outcome.Lost
	}
	if r.f != nil {
		r.letGo(r.f)
	}
	if r.state.CompareAndSwap(racing, arrived) {
		r.race <- r
	} else if r.f == nil {
		r.letGo(outcome.Lost)
	}
}

// late notes how long a beaten attempt has taken so far: an answer that never came is no reason to think the
// target fast, nor to hedge earlier and earlier.
func (r *racer) late() {
	at := clock.Now()
	took := time.Duration(at - r.x.Times.Policy)
	r.m.pace.Fail(at, took)
	if r.m.pool.shared.observes.Load() && r.x.Call.Flags&isHedge == 0 {
		r.m.pool.shared.recent.Observe(r.x.Lane, took)
	}
}

func (r *racer) letGo(f *edge.Fault) {
	if r.x.Out != nil {
		_ = r.x.Out.Close() // it is not read; Release learns of it
		r.x.Out = nil
	}
	r.m.Release(&r.x, f)
}
