package ratelimit

import (
	"errors"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
	"github.com/penstock-edge/penstock/ratelimit/fleet"
)

// unavailable is the fault of requests that cannot be decided about.
var unavailable = &edge.Fault{Status: 503, Side: edge.SideGateway, Code: "rate_limit_unavailable",
	Detail: "Whether this request is within its limit cannot be told now.", RetryAfter: 1}

// takeShared takes from a limit of the fleet: at once when it is fast. An exact one is asked later, together
// with the others.
func (u *use) tryChargeShared(now int64) bool {
	l := u.limit
	switch {
	case l.asks:
		u.last = bucket.Result{OK: true}
	case l.shared.Up():
		u.last = l.shared.TryCharge(u.key, now, u.cost)
		u.taken = u.last.OK
	default:
		u.fallBack(now)
	}
	return u.last.OK
}

// fallBack decides without the server.
func (u *use) fallBack(now int64) {
	l := u.limit
	u.fellBack = true
	switch l.conf.OnFailure {
	case "deny":
		u.last, u.gone = bucket.Result{Retry: time.Second}, true
	case "allow":
		if l.counted != nil {
			u.last = l.shared.Peek(u.key, now, 0)
			u.last.OK = true
			return
		}
		l.shared.Allow(u.key, now, u.cost)
		u.last = l.shared.Peek(u.key, now, 0)
		u.last.OK, u.taken = true, true
	case "local":
		if l.counted != nil {
			u.last = l.shared.Peek(u.key, now, u.cost)
			return
		}
		u.last = l.shared.TryCharge(u.key, now, u.cost)
		u.taken = u.last.OK
	}
}

// ask asks the server about all exact limits of a request at once, and returns the one that refuses for
// longest; -1: none does. left is true when the client has gone meanwhile: nothing is charged then.
func ask(x *edge.Exchange, r *record, now int64) (by int, left bool) {
	a := fleet.AcquireAsk()
	link, wait := addQuestions(a, r)
	if link == nil {
		fleet.ReleaseAsk(a) // this client is on the allow-list of all of them
		return -1, false
	}
	err := fleet.ErrDown
	if x.MayWait {
		err = link.Do(a, wait, x.Conn)
	} else { // it was down a moment ago, see record.asks
		fleet.ReleaseAsk(a)
	}
	if errors.Is(err, fleet.ErrLeft) {
		return -1, true
	}
	by = takeAnswers(a, r, now, err)
	if err != nil {
		return by, false
	}
	fleet.ReleaseAsk(a)
	if by >= 0 {
		for i := range r.uses {
			if u := &r.uses[i]; u.limit.asks {
				u.taken = false // the server charges all or none
			}
		}
	}
	return by, false
}

// addQuestions asks a for each use of r that the server decides. It returns the server, nil when there is
// nothing to ask, and how long to wait for it.
func addQuestions(a *fleet.Ask, r *record) (link *fleet.Link, wait time.Duration) {
	for i := range r.uses {
		u := &r.uses[i]
		if !u.limit.asks {
			continue
		}
		a.Questions = append(a.Questions, fleet.Question{Ledger: u.limit.shared, Key: u.key, Cost: u.cost,
			Observe: u.limit.observe, Peek: u.limit.counted != nil})
		link = u.limit.shared.Link()
		if t := u.limit.conf.FleetTimeout; wait == 0 || t < wait {
			wait = t
		}
	}
	return link, wait
}

// takeAnswers notes in the uses of r what a was answered or, when err is why it was not, what their limits do
// without the server. It returns the use that refuses the request for the longest; -1: none does.
func takeAnswers(a *fleet.Ask, r *record, now int64, err error) (by int) {
	by, q := -1, 0
	for i := range r.uses {
		u := &r.uses[i]
		if !u.limit.asks {
			continue
		}
		if err != nil {
			u.fallBack(now)
		} else {
			u.last = a.Questions[q].Result
			u.taken = u.last.OK && u.limit.counted == nil
		}
		q++
		if !u.last.OK && !u.limit.observe && (by < 0 || u.waitsLonger(&r.uses[by])) {
			by = i
		}
	}
	return by
}
