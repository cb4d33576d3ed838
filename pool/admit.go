package pool

import (
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/limit"
	"github.com/penstock-edge/penstock/pool/replay"
)

// What edge.Call.Flags says of an exchange.
const (
	isAsked    uint32 = 1 << iota // the guards have been asked
	isAdmitted                    // the breaker's permit is in Permits[0]
	isPlaced                      // a place of the concurrency limit is held
	isCounted                     // counted as a request by the throttle
	isHedge                       // a second attempt beside the first
	isRaced                       // the one hedge has been sent, or refused
)

// admit asks the pool's guards before the first attempt: admission by error rate, the breaker, the
// concurrency limit. It is called again when it has returned edge.MustWait.
func (p *Pool) admit(x *edge.Exchange) *edge.Fault {
	s := p.shared
	g := s.guards.Load()
	c := &x.Call
	if c.Flags&isAsked == 0 {
		c.Flags |= isAsked
		c.Began = now(x)
		if !g.any() && p.conf.Retry == nil && p.conf.Hedge == nil {
			return nil
		}
		c.Ender = p
		s.requests.Inc(x.Lane)
		if t := g.throttle; t != nil {
			if t.Refuse(limit.Class(x.Class)) {
				t.Request(x.Lane) // what is refused here counts too: the less is accepted, the more is refused
				return throttled
			}
			c.Flags |= isCounted // when it ends: one under way is neither accepted nor refused
		}
		if b := g.breaker; b != nil {
			permit := b.Admit(c.Began)
			if permit == breaker.Refused {
				return p.breakerOpen(x, b)
			}
			c.Permits[0], c.Flags = uint64(permit), c.Flags|isAdmitted
		}
	}
	if l := g.limiter; l != nil && c.Flags&isPlaced == 0 {
		return p.place(x, l)
	}
	return nil
}

// place takes one of the places that the concurrency limit gives out, or waits for one.
func (p *Pool) place(x *edge.Exchange, l *limit.Limiter) *edge.Fault {
	if l.TryAcquire() {
		x.Call.Flags |= isPlaced
		return nil
	}
	class, at := limit.Class(x.Class), now(x)
	if l.Admit(at, class) == limit.Shed {
		return shed
	}
	if !x.MayWait {
		return edge.MustWait
	}
	until := at + int64(p.conf.Concurrency.QueueTimeout)
	if x.Deadline > 0 {
		until = min(until, x.Deadline)
	}
	switch l.Wait(at, class, until, x.Conn.Gone) {
	case limit.Admitted:
		if x.Conn.Gone() {
			l.Release()
			return edge.ClientGone
		}
		x.Call.Flags |= isPlaced
		return nil
	case limit.TimedOut:
		return queued
	case limit.Gone:
		return edge.ClientGone
	}
	return shed
}

// Faults of the guards. All tell when to come again.
var (
	throttled = &edge.Fault{Status: 503, Side: edge.SideGateway, Code: "upstream_throttled", RetryAfter: 1,
		Detail: "The upstream refuses much of what it is asked; some requests end here so that it recovers."}
	shed = &edge.Fault{Status: 503, Side: edge.SideGateway, Code: "pool_overloaded", RetryAfter: 1,
		Detail: "As many requests are with the upstream as it can serve, and enough wait."}
	queued = &edge.Fault{Status: 503, Side: edge.SideGateway, Code: "pool_queue_timeout", RetryAfter: 1,
		Detail: "The upstream had no room for the request in time."}
)

// breakerOpen returns the fault that says when the breaker lets requests through again. There are few of
// them, made once.
func (p *Pool) breakerOpen(x *edge.Exchange, b *breaker.Breaker) *edge.Fault {
	after := min(max(b.RetryAfter(x.Call.Began), 1), len(openFaults)) - 1
	return &openFaults[after]
}

// openFaults are the faults of an open breaker by seconds until it may be tried, less one.
var openFaults = func() (fs [300]edge.Fault) {
	for i := range fs {
		fs[i] = edge.Fault{Status: 503, Side: edge.SideUpstream, Code: "breaker_open", RetryAfter: i + 1,
			Detail: "The upstream has failed too often lately and is left alone for a while."}
	}
	return fs
}()

// End implements edge.Ender: it gives back what admit took and tells the guards how the exchange ended, as
// the client saw it.
func (p *Pool) End(x *edge.Exchange) {
	c, g := &x.Call, &p.shared.all // which a reload may have switched off in between
	replay.Forget(x)
	at := x.Times.Done
	if at == 0 {
		at = clock.Now()
	}
	if c.Flags&isPlaced != 0 {
		g.limiter.Release()
	}
	failed, known := verdict(x)
	if b := g.breaker; c.Flags&isAdmitted != 0 {
		if known {
			b.Done(at, breaker.Permit(c.Permits[0]), failed, headTime(x, at))
		} else {
			b.Cancel(breaker.Permit(c.Permits[0]))
		}
	}
	if t := g.throttle; c.Flags&isCounted != 0 {
		t.Request(x.Lane)
		if !known || x.Fault == nil && !p.conf.Refusals.Has(c.Status) {
			t.Accept(x.Lane)
		}
	}
}

// verdict tells whether the exchange failed as the client saw it; known is false when it says nothing of the
// pool.
func verdict(x *edge.Exchange) (failed, known bool) {
	switch f := x.Fault; {
	case x.Attempts == 0:
		return false, false
	case f == nil:
		return x.Call.Status >= 500, x.Call.Status > 0
	case f.Side != edge.SideUpstream || f == edge.PoolBusy || f == edge.PoolWait:
		return false, false
	}
	return true, true
}

// headTime is how long the head of the answer took, or the failure.
func headTime(x *edge.Exchange, at int64) time.Duration {
	if x.Fault == nil && x.Times.Answer > 0 {
		at = x.Times.Answer
	}
	return time.Duration(at - x.Call.Began)
}

// instead answers in place of the pool when it has nobody to ask or must not ask: the pool's fallback, if it
// has one, else the fault.
func (p *Pool) instead(x *edge.Exchange, f *edge.Fault) (edge.Peer, *edge.Fault) {
	if f == edge.MustWait || f.Side == edge.SideClient || p.fallback == nil && p.fallbackTo == nil {
		return nil, f
	}
	x.End()
	x.Call = edge.Call{}
	if p.fallbackTo != nil {
		return p.fallbackTo, nil
	}
	return p.fallback.Pick(x)
}

// fixed is a Peer that gives one answer by itself.
type fixed struct {
	status int
	body   []byte
	kind   string
	fields [][2]string
}

// Start implements edge.Starter.
func (*fixed) Start(*edge.Exchange) bool { return true }

// Hear implements edge.Starter.
func (a *fixed) Hear(x *edge.Exchange) (edge.Progress, *edge.Fault) {
	return edge.Ended, a.RoundTrip(x)
}

// RoundTrip implements edge.Peer.
func (a *fixed) RoundTrip(x *edge.Exchange) *edge.Fault {
	x.Answer(a.status, a.kind, a.body)
	for _, f := range a.fields {
		x.Resp.Add(f[0], f[1])
	}
	return nil
}

// Release implements edge.Peer.
func (*fixed) Release(*edge.Exchange, *edge.Fault) {}
