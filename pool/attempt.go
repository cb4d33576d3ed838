package pool

import (
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/outcome"
	"github.com/penstock-edge/penstock/pool/transport"
)

// RoundTrip implements edge.Peer: one attempt, or a race of two.
func (m *member) RoundTrip(x *edge.Exchange) *edge.Fault {
	if after, ok := m.hedgeAfter(x); ok {
		return m.race(x, after)
	}
	return m.try(x)
}

// try makes the attempt, or goes on with the one that Start has begun.
func (m *member) try(x *edge.Exchange) *edge.Fault {
	a := held(x)
	if a == nil {
		panic("BUG: an attempt without a place")
	}
	if a.X == nil {
		m.begin(x, a)
	}
	f := a.Stream.RoundTrip(x)
	if f == nil {
		m.answered(x, a)
	}
	return f
}

// Start implements edge.Starter.
func (m *member) Start(x *edge.Exchange) bool {
	a := held(x)
	if a == nil || x.Loop == nil || a.Starter == nil {
		return false
	}
	m.begin(x, a)
	if m.pool.conf.Hedge != nil {
		a.Due = m.hedgeAt(x)
	}
	return a.Starter.Start(x)
}

// Receive implements edge.Starter.
func (m *member) Receive(x *edge.Exchange) (edge.Outcome, *edge.Fault) {
	a := held(x)
	for {
		p, f := a.Starter.Receive(x)
		switch {
		case p == edge.Blocked && f == nil && !m.hedgeDue(x):
			a.Due = 0
			continue
		case p == edge.Ended && f == nil:
			m.answered(x, a)
		}
		return p, f
	}
}

// held returns the place that x has, used or not; nil: none.
func held(x *edge.Exchange) *transport.Attempt {
	a, _ := x.Held.(*transport.Attempt)
	return a
}

// begun returns the attempt of x that is under way; nil: it has not begun.
func begun(x *edge.Exchange) *transport.Attempt {
	if a := held(x); a != nil && a.X != nil {
		return a
	}
	return nil
}

// begin makes a the attempt of x, which has claimed it.
func (m *member) begin(x *edge.Exchange, a *transport.Attempt) {
	x.TargetName = m.Address
	m.inFlight.Add(1)
	a.By, a.Settings, a.Host = m, &m.pool.conf.Transport, m.host
	a.Permit, a.Status = x.Call.Permits[1], 0
	handTo(a, x)
}

// handTo makes x the exchange that a serves.
func handTo(a *transport.Attempt, x *edge.Exchange) {
	a.X, a.Due = x, 0
	r, ok := x.Conn.(*racer)
	if a.Raced = ok; ok {
		r.wake.Store(a)
	}
}

// answered counts the time from the request to the head of its answer.
func (m *member) answered(x *edge.Exchange, a *transport.Attempt) {
	p := m.pool
	x.Call.Status = a.Status
	took := time.Duration(x.Times.Answer - x.Times.Sent + x.Times.Connect)
	p.latency.Observe(x.Lane, took)
	if a.Status < 500 {
		m.pace.Observe(x.Times.Answer, took)
	} else {
		m.pace.Fail(x.Times.Answer, took)
	}
	if p.shared.observes.Load() && x.Call.Flags&isHedge == 0 {
		p.shared.recent.Observe(x.Lane, took)
	}
	x.Call.Stick = nil
	if p.sticky != nil && !m.spec.Backup {
		m.mark(x)
	}
}

// Release implements edge.Peer.
func (m *member) Release(x *edge.Exchange, f *edge.Fault) {
	if x.Held == released {
		x.Held = nil
		return
	}
	a := held(x)
	if a == nil || m.unclaim(x) { // after a panic
		return
	}
	x.Held = nil
	// A race may have been won by another member, and another attempt may have been made since this answer
	// was stashed: what a says holds.
	by, _ := a.By.(*member)
	by.account(x, a.Status, f, breaker.Permit(a.Permit))
	by.inFlight.Add(-1) // before the connection can be used again
	by.Target.release(a, f)
	by.pool.shared.freed(by.Target) // last: a new waiter announces itself before it looks for a place
}

// released stands in Exchange.Held when the attempts of a race have been let go of already.
var released = new(struct{ _ int })

// account counts how an attempt ended.
func (m *member) account(x *edge.Exchange, status int, f *edge.Fault, permit breaker.Permit) {
	o := outcome.Of(status, f)
	m.outcomes[o].Inc(x.Lane)
	if b := m.breaker; b != nil {
		m.report(b, permit, x, o)
	}
	if o == outcome.OK {
		m.streak.Success()
	} else if o.Failed() {
		m.stumbled(x, o, f, status)
	}
}
