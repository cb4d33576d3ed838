package ratelimit

import (
	"strconv"
	"sync"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// gate asks the limits of a route.
type gate struct {
	route  string
	limits []*limit
	cost   int64 // of the route; -1: that of each limit
	slot   int
	asks   bool // one of the limits asks the server of the fleet
}

var records = sync.Pool{New: func() any { return new(record) }}

// Run implements edge.Filter. All limits are asked before any is charged, and who is refused by one is
// charged by none.
func (g *gate) Run(x *edge.Exchange) edge.Verdict {
	r := records.Get().(*record)
	r.uses, r.refused = r.uses[:0], nil
	x.Slot[g.slot] = r
	now := x.Times.Head // when the head was complete; a moment ago, and read already
	for _, l := range g.limits {
		switch {
		case l.conf.deny != nil && l.conf.deny.Contains(x.Client):
			l.say(denied, x)
			x.Fault = outside
			return edge.Answered
		case l.conf.allow != nil && l.conf.allow.Contains(x.Client):
			l.say(skipped, x)
			continue
		}
		r.scratch = l.conf.appendKey(r.scratch[:0], x, g.route)
		u := use{limit: l, key: l.hash(r.scratch), cost: l.conf.Cost}
		if g.cost >= 0 {
			u.cost = g.cost
		}
		r.uses = append(r.uses, u)
		if b := l.kept.box; l.conf.Penalty != nil && !l.observe {
			if rest := b.banned(u.key, now); rest > 0 {
				return g.ban(x, r, rest)
			}
		}
	}
	if len(r.uses) > 1 {
		if by := refusal(r, now, (*use).peek); by >= 0 {
			return g.refuse(x, r, by)
		}
	}
	by := refusal(r, now, (*use).take)
	if by < 0 && g.asks {
		var left bool
		if by, left = ask(x, r, now); left {
			r.undo()
			x.Fault = edge.ClientGone
			return edge.Answered
		}
	}
	if by >= 0 {
		return g.refuse(x, r, by)
	}
	for i := range r.uses {
		u := &r.uses[i]
		if u.taken {
			u.limit.say(allowed, x)
		} else {
			u.limit.say(observed, x)
		}
	}
	return edge.Next
}

// refusal asks all limits and returns the one that refuses for longest; -1: none does.
func refusal(r *record, now int64, ask func(*use, int64) bool) int {
	by := -1
	for i := range r.uses {
		if u := &r.uses[i]; !ask(u, now) && !u.limit.observe && (by < 0 || u.waitsLonger(&r.uses[by])) {
			by = i
		}
	}
	return by
}

// waitsLonger says whether what refused u lasts longer than what refused v. Less than 0 is for ever.
func (u *use) waitsLonger(v *use) bool {
	return u.last.Retry < 0 || v.last.Retry >= 0 && u.last.Retry > v.last.Retry
}

// ban refuses the key of the last use, for what it did before.
func (g *gate) ban(x *edge.Exchange, r *record, rest time.Duration) edge.Verdict {
	u := &r.uses[len(r.uses)-1]
	u.limit.say(banned, x)
	u.last = bucket.Result{Reset: rest, Retry: rest}
	r.uses = append(r.uses[:0], *u) // nothing is known of the others
	f := x.Refuse(429, edge.SideClient, "rate_limited", "There were too many requests over the limit.")
	f.RetryAfter = int(max(seconds(rest), 1))
	x.Fault = f
	return edge.Answered
}

// outside is the fault of a client on a deny-list.
var outside = &edge.Fault{Status: 403, Side: edge.SideClient, Code: "denied",
	Detail: "This address may not come in."}

func (u *use) peek(now int64) bool {
	if u.limit.meter == nil || u.limit.asks || u.limit.shared != nil && !u.limit.shared.Up() {
		return true // to be seen when it is taken
	}
	u.last = u.limit.meter.Peek(u.key, now, u.cost)
	return u.last.OK
}

func (u *use) take(now int64) bool {
	if u.limit.shared != nil {
		return u.takeShared(now)
	}
	if u.limit.meter == nil {
		var n int64
		u.taken, n = u.limit.flights.Acquire(u.key, u.limit.conf.MaxInFlight)
		u.last = bucket.Result{OK: u.taken, Remaining: max(u.limit.conf.MaxInFlight-n, 0)}
		return u.taken
	}
	u.last = u.limit.meter.Take(u.key, now, u.cost)
	u.taken = u.last.OK
	return u.taken
}

// undo gives back what was taken already.
func (r *record) undo() (now int64) {
	now = clock.Now()
	for i := range r.uses {
		u := &r.uses[i]
		if !u.taken {
			continue
		}
		if u.taken = false; u.limit.meter == nil {
			u.limit.flights.Release(u.key)
		} else {
			u.limit.meter.Charge(u.key, now, -u.cost)
		}
	}
	return now
}

// refuse gives back what was taken already and answers 429.
func (g *gate) refuse(x *edge.Exchange, r *record, by int) edge.Verdict {
	now := r.undo()
	u := &r.uses[by]
	r.refused = u
	l := u.limit
	if u.gone {
		l.say(unknown, x)
		x.Fault = unavailable
		return edge.Answered
	}
	l.say(limited, x)
	l.kept.worst.note(u.key, func() string { return l.conf.describeKey(x, g.route, u.key) })
	if l.conf.Penalty != nil {
		l.kept.box.strike(u.key, now)
	}
	f := x.Refuse(429, edge.SideClient, "rate_limited", "There are more requests than the limit allows.")
	if u.last.Retry >= 0 {
		f.RetryAfter = int(max(seconds(u.last.Retry), 1))
	}
	x.Fault = f
	return edge.Answered
}

// tell adds the fields of the answer, and charges what the answer says that it has cost.
type tell struct{ slot int }

var (
	policyKey = []byte("RateLimit-Policy")
	limitKey  = []byte("RateLimit")
)

// Run implements edge.Filter.
func (t tell) Run(x *edge.Exchange) edge.Verdict {
	r, ok := x.Slot[t.slot].(*record)
	if !ok {
		return edge.Next
	}
	for i := range r.uses {
		r.uses[i].charge(x)
	}
	b := r.scratch[:0]
	for i := range r.uses {
		if u := &r.uses[i]; u.limit.conf.Headers {
			b = appendItem(b, u.limit.policy, u)
		}
	}
	if n := len(b); n > 0 {
		x.AddField(policyKey, b)
		b = b[:0]
		for i := range r.uses {
			if u := &r.uses[i]; u.limit.conf.Headers {
				b = u.appendState(b)
			}
		}
		x.AddField(limitKey, b)
	}
	r.scratch = b
	return edge.Next
}

func appendItem(b, item []byte, u *use) []byte {
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	return u.appendPartition(append(b, item...))
}

// appendState appends what is left, and in how many seconds all of it is there again.
func (u *use) appendState(b []byte) []byte {
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	b = append(append(b, u.limit.quoted...), ";r="...)
	b = strconv.AppendInt(b, max(u.last.Remaining, 0), 10)
	if u.limit.meter != nil {
		wait := u.last.Reset
		if !u.last.OK && u.last.Retry >= 0 {
			wait = u.last.Retry
		}
		b = strconv.AppendInt(append(b, ";t="...), seconds(wait), 10)
	}
	return u.appendPartition(b)
}

// charge charges what the answer says, less what was taken beforehand.
func (u *use) charge(x *edge.Exchange) {
	c := u.limit.conf
	if c.CostHeader == "" || !u.taken || x.Local {
		return
	}
	v := x.Resp().Peek(c.CostHeader)
	if len(v) == 0 {
		return
	}
	cost, ok := parseCost(v)
	x.Resp().Del(c.CostHeader)
	if !ok || cost == u.cost {
		return
	}
	now := clock.Now()
	u.limit.meter.Charge(u.key, now, cost-u.cost)
	u.last = u.limit.meter.Peek(u.key, now, 0)
	u.cost = cost
}

// mostCost is the most that an answer may have cost.
const mostCost = 1_000_000_000

func parseCost(v []byte) (int64, bool) {
	n := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > mostCost {
			return 0, false
		}
	}
	return n, len(v) > 0
}

// done gives places back when the exchange has ended.
type done struct{ slot int }

// Run implements edge.Filter.
func (d done) Run(x *edge.Exchange) edge.Verdict {
	r, ok := x.Slot[d.slot].(*record)
	if !ok {
		return edge.Next
	}
	x.Slot[d.slot] = nil
	for i := range r.uses {
		if u := &r.uses[i]; u.taken && u.limit.meter == nil {
			u.limit.flights.Release(u.key)
		}
		if r.uses[i].fellBack {
			r.uses[i].limit.fallbacks.Inc(x.Lane)
		}
		r.uses[i] = use{}
	}
	if cap(r.scratch) > 4<<10 {
		r.scratch = nil
	}
	records.Put(r)
	return edge.Next
}
