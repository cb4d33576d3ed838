package ratelimit

import (
	"bytes"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// unsaid is the cost of an answer that has none, or none that is a number.
const unsaid = -1

// mostCost bounds what a cost is taken for: no limit is larger.
const mostCost = 1_000_000_000_000

// readCost returns what the answer says in a field that its request has cost; of several costs the largest.
// bad reports whether something there is not a whole number.
func readCost(x *edge.Exchange, name string) (cost int64, bad bool) {
	cost = unsaid
	for v := range x.Resp.List(name) {
		n, ok := parseCost(v)
		cost, bad = max(cost, n), bad || !ok
	}
	return cost, bad
}

// parseCost reads a whole number and bounds it: less than nothing is nothing.
func parseCost(v []byte) (n int64, ok bool) {
	digits := bytes.TrimPrefix(v, minus)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return unsaid, false
		}
		n = min(n*10+int64(c-'0'), mostCost)
	}
	switch {
	case len(digits) == 0:
		return unsaid, false
	case len(digits) < len(v):
		return 0, true
	}
	return n, true
}

var minus = []byte("-")

// charge charges what is known only now: the cost in the answer less what was charged beforehand, or all of
// it where the status decides.
func (u *use) charge(x *edge.Exchange) {
	cost := u.cost
	if u.said >= 0 {
		cost = min(u.said, u.limit.conf.most())
	}
	more := cost - u.cost
	switch {
	case u.limit.counted == nil && !u.taken:
		return
	case u.limit.counted != nil:
		if !u.last.OK || x.Fault == edge.ClientGone || !u.limit.counted.has(x.Status()) {
			return // refused, not answered, or answered otherwise
		}
		more = cost
	}
	if more == 0 {
		return
	}
	now := clock.Now()
	u.limit.meter.Charge(u.key, now, more)
	u.last = u.limit.meter.Peek(u.key, now, 0)
	u.cost = cost
}
