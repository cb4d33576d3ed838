package edge

import (
	"context"
	"log/slog"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// ask asks the upstream until an attempt succeeds or no other may follow; x.Fault is why. In a loop it makes
// one attempt, as far as that goes without waiting.
func ask(x *Exchange) Outcome {
	for {
		if x.peer == nil {
			switch o, f := choose(x); {
			case o != Ended:
				return o
			case f != nil:
				x.Fault = f
				x.useStashed()
				return Ended
			}
		}
		switch o, f := attempt(x); {
		case o != Ended:
			return o
		case retry(x, f):
			if !x.MayWait {
				return Blocked // another connection is needed, and perhaps some patience
			}
		case f != nil:
			x.useStashed()
			return Ended
		default:
			x.dropStashed()
			return Ended
		}
	}
}

// choose picks the peer of the next attempt, once as much of the request's body is here as has to be.
func choose(x *Exchange) (Outcome, *Fault) {
	_, whole := x.WholeIn()
	switch {
	case !whole && !x.MayWait:
		return Blocked, nil
	case !whole && x.Attempts == 0:
		if f := x.In.Gather(); f != nil {
			return Ended, f
		}
	}
	if x.MayWait && left(x) {
		return Ended, ClientGone
	}
	if x.backoff > 0 {
		if f := pause(x); f != nil {
			return Ended, f
		}
	}
	peer, f := x.Plan.Upstream.Pick(x)
	switch {
	case f == MustWait && !x.MayWait:
		return Blocked, nil
	case f != nil:
		return Ended, f
	}
	x.Attempts++
	x.peer = peer
	return Ended, nil
}

// attempt makes one attempt with x.peer, or goes on with it.
func attempt(x *Exchange) (Outcome, *Fault) {
	if x.MayWait {
		x.starter = nil
		return Ended, x.peer.RoundTrip(x)
	}
	if x.starter == nil {
		s, ok := x.peer.(Starter)
		if !ok || !s.Start(x) {
			return Blocked, nil
		}
		x.starter = s
	}
	o, f := x.starter.Receive(x)
	if o == Ended {
		x.starter = nil
	}
	return o, f
}

// left reports whether the client went away during a wait: then nothing more is sent. A client that closed
// its side a moment ago may only have finished sending.
func left(x *Exchange) bool {
	if !x.Conn.Gone() {
		return false
	}
	waited := x.Times.Policy - x.Times.Head // for the policies
	if x.Attempts > 0 {
		waited = clock.Now() - x.Times.Policy // for the attempts so far
	}
	return waited >= int64(patience)
}

// patience is how long a client that has closed its side is still answered.
const patience = 100 * time.Millisecond

// retry decides what follows an attempt that ended with f, or with an answer that its peer may not like.
// When another follows, the peer has been released, or stashed with its answer. When none does and f is not
// nil, the peer has been released and f is in x.Fault.
func retry(x *Exchange, f *Fault) bool {
	peer := x.peer
	if f == nil {
		again := repeats(x, peer, nil)
		if again {
			x.stash()
		}
		return again
	}
	tellFailed(x, f)
	x.letGo(f)
	if !replaced(x, f) {
		if !repeats(x, peer, f) {
			x.Fault = f
			return false
		}
		x.Fresh = false
	}
	x.ResetHead()
	return true
}

// tellFailed writes the true error of an attempt to the log, where that is wanted: answers never have it.
func tellFailed(x *Exchange, f *Fault) {
	log := slog.Default()
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	cause := "none but what the code says"
	if x.Cause != nil {
		cause = x.Cause.Error()
	}
	log.Debug("an attempt has failed", "request_id", string(x.RequestID), "route", x.Plan.Name,
		"pool", x.PoolName, "target", x.TargetName, "attempt", x.Attempts, "code", f.Code, "cause", cause)
}

// replaced reports whether another attempt follows f whatever the upstream's policy: a reused connection died
// before the first byte of the answer. That happens when a target closes a connection at the moment it is
// used. It is repeated once, on a fresh connection, when the request may be seen twice or was not sent at
// all.
func replaced(x *Exchange, f *Fault) bool {
	again := f == UpstreamUnsent || f.Retry == RetryReused && (x.Repeatable() || x.Plan.Copies)
	if x.Fresh || !again || !x.Replayable() {
		return false
	}
	x.Fresh = true
	return true
}

// repeats asks the upstream's policy.
func repeats(x *Exchange, peer Peer, f *Fault) (again bool) {
	r, ok := peer.(Retrier)
	if ok && !x.Plan.Copies {
		again, x.backoff = r.Retry(x, f)
	}
	return again
}

// pause waits as long as the policy wants before another attempt. It returns a fault when meanwhile the
// client leaves or the exchange's time is over.
func pause(x *Exchange) *Fault {
	until := clock.Now() + int64(x.backoff)
	x.backoff = 0
	for {
		now := clock.Now()
		switch {
		case x.Conn.Gone():
			return ClientGone
		case x.Deadline > 0 && now >= x.Deadline:
			return UpstreamTimeout
		case now >= until:
			return nil
		}
		time.Sleep(time.Duration(min(until-now, int64(100*time.Millisecond))))
	}
}
