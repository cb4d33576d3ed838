package edge

import (
	"context"
	"log/slog"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// Fetch asks the upstream of x's route as Serve does, with its policies about other attempts and the filters
// of Admit and Receive, for who has made x himself (CopyTo). It waits for the head of the answer; the body is
// in x.Out. Finish has to follow in any case.
func Fetch(x *Exchange) *Fault {
	x.MayWait = true
	guarded(x, nil, fetch)
	return x.Fault
}

func fetch(x *Exchange, _ Sender) Verdict {
	if v := run(x.Plan.filters[Admit], x); v != Next {
		return v
	}
	return ask(x, nil)
}

// Finish ends an exchange that Fetch was called with; f tells how it went.
func (x *Exchange) Finish(f *Fault) {
	x.letGo(f)
	x.End()
}

// ask asks the upstream until one attempt succeeds or none may follow.
func ask(x *Exchange, _ Sender) Verdict {
	if x.In != nil && x.peer == nil {
		if x.Fault = x.In.Gather(); x.Fault != nil {
			return Answered
		}
	}
	for {
		if x.peer == nil && (left(x) || !pick(x)) {
			return x.resort()
		}
		f := x.peer.RoundTrip(x)
		switch {
		case retry(x, f):
		case f != nil:
			return x.resort()
		default:
			x.drop()
			return runUp(x.Plan.filters[Receive], x)
		}
	}
}

// hear is ask for the loop: what it would have to wait for ends it with pending or blocked.
func hear(x *Exchange, _ Sender) Verdict {
	if x.starter == nil && !launch(x) {
		if x.Fault != nil {
			return Answered
		}
		return blocked
	}
	p, f := x.starter.Hear(x)
	if p == Pending {
		return pending
	}
	x.starter = nil
	switch {
	case p == Blocked, retry(x, f):
		return blocked // another connection is needed, and perhaps some patience
	case f != nil:
		return Answered
	}
	return runUp(x.Plan.filters[Receive], x)
}

// launch sends the request when it is all here and a peer can take it at once.
func launch(x *Exchange) bool {
	if _, whole := x.WholeIn(); !whole || !pick(x) {
		return false
	}
	s, ok := x.peer.(Starter)
	if !ok || !s.Start(x) {
		return false
	}
	x.starter = s
	return true
}

// pick chooses the peer of the next attempt; false: x.Fault says why there is none, or nothing does when that
// has to be waited for.
func pick(x *Exchange) bool {
	if x.backoff > 0 {
		if x.Fault = pause(x); x.Fault != nil {
			return false
		}
	}
	peer, f := x.Plan.Upstream.Pick(x)
	switch {
	case f == MustWait && !x.MayWait:
		return false
	case f != nil:
		x.Fault = f
		return false
	}
	x.Attempts++
	x.peer = peer
	return true
}

// left tells that the client has gone while something was waited for: nothing is sent any more, and x.Fault
// says so. Who has closed his side a moment ago may only have said that he sends nothing more.
func left(x *Exchange) bool {
	if !x.Conn.Gone() {
		return false
	}
	waited := x.Times.Policy - x.Times.Head // for the policies
	if x.Attempts > 0 {
		waited = clock.Now() - x.Times.Policy // for the attempts so far
	}
	if waited < int64(patience) {
		return false
	}
	x.Fault = ClientGone
	return true
}

// patience is how long a client that has closed its side is still answered.
const patience = 100 * time.Millisecond

// retry decides what follows an attempt that ended with f, or with an answer that its peer may not like. When
// another follows, the peer has been let go, or put aside with its answer; when none does and f is not nil,
// it has been let go too and f is in x.Fault.
func retry(x *Exchange, f *Fault) bool {
	peer := x.peer
	if f == nil {
		again := repeats(x, peer, nil)
		if again {
			x.putAside()
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

// replaced tells that another attempt follows f whatever the upstream's policy: a reused connection died
// before the first byte of the answer. That happens when a target closes a connection at the moment it is
// used. It is repeated once, on a fresh connection, when the request may be seen twice or was not sent at
// all.
func replaced(x *Exchange, f *Fault) bool {
	if x.Fresh || !x.Replayable() || f != UpstreamUnsent && (f.Retry != RetryReused || !x.Repeatable()) {
		return false
	}
	x.Fresh = true
	return true
}

// repeats asks the upstream's policy.
func repeats(x *Exchange, peer Peer, f *Fault) (again bool) {
	r, ok := peer.(Retrier)
	if ok {
		again, x.backoff = r.Retry(x, f)
	}
	return again
}

// pause waits as long as the policy wants before another attempt. It returns a fault when the client leaves
// meanwhile or the exchange's time is over.
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
