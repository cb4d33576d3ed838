// Package guard decides whether an exchange may ask a pool at all, before its first attempt: admission by the
// rate of refusals, the breaker of the pool, the limit of concurrency. It tells them how the exchange ended.
package guard

import (
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/health"
	"github.com/penstock-edge/penstock/pool/limit"
)

// What edge.Call.Flags says of an exchange; the bits from 8 on are free.
const (
	isAsked    uint32 = 1 << iota // Ask has been called
	isAdmitted                    // the breaker's permit is in Permits[0]
	isPlaced                      // a place of the concurrency limit is held
	isCounted                     // counted as a request by the throttle
)

// Guards are those of a pool. nil: not switched on.
type Guards struct {
	Breaker  *breaker.Breaker
	Limiter  *limit.Limiter
	Throttle *limit.Throttle
}

// Any reports whether a guard is switched on.
func (g *Guards) Any() bool { return g.Breaker != nil || g.Limiter != nil || g.Throttle != nil }

// First reports whether the guards have not been asked for x yet, and notes that they are.
func First(x *edge.Exchange) bool {
	if x.Call.Flags&isAsked != 0 {
		return false
	}
	x.Call.Flags |= isAsked
	return true
}

// Ask asks those that say yes or no at once, which x.Call.Began is the time for.
func (g *Guards) Ask(x *edge.Exchange) *edge.Fault {
	c := &x.Call
	if t := g.Throttle; t != nil {
		if t.Refuse(limit.Class(x.Class)) {
			t.Request(x.Lane) // what is refused here counts too: the less is accepted, the more is refused
			return throttled
		}
		c.Flags |= isCounted // when it ends: one under way is neither accepted nor refused
	}
	if b := g.Breaker; b != nil {
		permit := b.Admit(c.Began)
		if permit == breaker.Refused {
			return open(b.RetryAfter(c.Began))
		}
		c.Permits[0], c.Flags = uint64(permit), c.Flags|isAdmitted
	}
	return nil
}

// TryPlace takes one of the places that the concurrency limit gives out, if one is free. It reports whether x
// has what it needs.
func (g *Guards) TryPlace(x *edge.Exchange) bool {
	if g.Limiter == nil || x.Call.Flags&isPlaced != 0 {
		return true
	}
	if !g.Limiter.TryAcquire() {
		return false
	}
	x.Call.Flags |= isPlaced
	return true
}

// Place waits for a place of the concurrency limit, no longer than wait. It is called again when it has
// returned edge.MustWait. now is in clock nanoseconds.
func (g *Guards) Place(x *edge.Exchange, now int64, wait time.Duration) *edge.Fault {
	l, class := g.Limiter, limit.Class(x.Class)
	if l.Admit(now, class) == limit.Shed {
		return shed
	}
	if !x.MayWait {
		return edge.MustWait
	}
	until := now + int64(wait)
	if x.Deadline > 0 {
		until = min(until, x.Deadline)
	}
	switch l.Wait(now, class, until, x.Conn.Gone) {
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

// Faults of the guards. All carry when to come again.
var (
	throttled = &edge.Fault{Status: 503, Side: edge.SideGateway, Code: "upstream_throttled", RetryAfter: 1,
		Detail: "The upstream refuses much of what it is asked; some requests end here so that it recovers."}
	shed = &edge.Fault{Status: 503, Side: edge.SideGateway, Code: "pool_overloaded", RetryAfter: 1,
		Detail: "As many requests are with the upstream as it can serve, and enough wait."}
	queued = &edge.Fault{Status: 503, Side: edge.SideGateway, Code: "pool_queue_timeout", RetryAfter: 1,
		Detail: "The upstream had no room for the request in time."}
)

// open returns the fault that says in how many seconds the breaker lets requests through again. There are few
// of them, made once.
func open(seconds int) *edge.Fault { return &openFaults[min(max(seconds, 1), len(openFaults))-1] }

// openFaults are the faults of an open breaker by seconds until it may be tried, less one.
var openFaults = func() (fs [300]edge.Fault) {
	for i := range fs {
		fs[i] = edge.Fault{Status: 503, Side: edge.SideUpstream, Code: "breaker_open", RetryAfter: i + 1,
			Detail: "The upstream has failed too often lately and is left alone for a while."}
	}
	return fs
}()

// End gives back what Ask and Place took and tells the guards how the exchange ended, as the client saw it.
// refusals are the statuses of a pool that is overloaded.
func (g *Guards) End(x *edge.Exchange, refusals *health.Statuses) {
	c := &x.Call
	at := x.Times.Done
	if at == 0 {
		at = clock.Now()
	}
	if c.Flags&isPlaced != 0 {
		g.Limiter.Release()
	}
	failed, known := verdict(x)
	if b := g.Breaker; c.Flags&isAdmitted != 0 {
		if known {
			b.Done(at, breaker.Permit(c.Permits[0]), failed, headTime(x, at))
		} else {
			b.Cancel(breaker.Permit(c.Permits[0]))
		}
	}
	if t := g.Throttle; c.Flags&isCounted != 0 {
		t.Request(x.Lane)
		if !known || x.Fault == nil && !refusals.Has(c.Status) {
			t.Accept(x.Lane)
		}
	}
}

// verdict reports whether the exchange failed as the client saw it; known is false when it says nothing of
// the pool.
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
