package ratelimit

import (
	"slices"
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
	asks   bool     // one of the limits asks the server of the fleet
	costs  []string // fields of the answer that carry its cost
}

// add adds a limit of the route.
func (g *gate) add(l *limit) {
	g.limits = append(g.limits, l)
	g.asks = g.asks || l.asks
	if name := l.conf.CostHeader; name != "" && !slices.Contains(g.costs, name) {
		g.costs = append(g.costs, name)
	}
}

var records = sync.Pool{New: func() any { return new(record) }}

// Run implements edge.Filter. All limits are asked before any is charged, and a request refused by one is
// charged by none.
func (g *gate) Run(x *edge.Exchange) edge.Verdict {
	now := x.Times.Head // when the head was complete; a moment ago, and read already
	r, waited := x.Slot[g.slot].(*record)
	if !waited {
		r = records.Get().(*record)
		r.uses, r.refused, r.lacks = r.uses[:0], nil, nil
		x.Slot[g.slot] = r
		if v := g.look(x, r, now); v != edge.Next {
			return v
		}
		if g.asks && !x.MayWait && r.asks() {
			return edge.Wait // nothing has been taken yet
		}
	}
	by := refusal(r, now, (*use).tryCharge)
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
		if u.last.OK {
			u.limit.say(allowed, x)
		} else {
			u.limit.say(observed, x)
		}
	}
	return edge.Next
}

// look finds out which limits count the request, and what can be decided without counting it.
func (g *gate) look(x *edge.Exchange, r *record, now int64) edge.Verdict {
	for _, l := range g.limits {
		if d := l.screen(x, r, g.route); d != allowed {
			l.say(d, x)
			if d != denied && d != keyless {
				continue
			}
			r.uses = r.uses[:0] // nothing is known of the others
			x.Fault = outside
			if d == keyless {
				x.Fault = r.lacks
			}
			return edge.Answered
		}
		u := use{limit: l, key: l.hash(r.scratch), cost: l.conf.Cost, said: unsaid}
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
	return edge.Next
}

// asks reports whether the server of the fleet has to be asked about the request.
func (r *record) asks() bool {
	return slices.ContainsFunc(r.uses, func(u use) bool { return u.limit.asks && u.limit.shared.Up() })
}

// screen decides about a request before a limit counts it; allowed: it is to be counted. Its key is then
// made of r.scratch.
func (l *limit) screen(x *edge.Exchange, r *record, route string) decision {
	c := l.conf
	switch {
	case c.deny != nil && c.deny.Contains(x.Client):
		return denied
	case c.allow != nil && c.allow.Contains(x.Client):
		return skipped
	}
	var lacks *part
	r.scratch, lacks = c.appendKey(r.scratch[:0], x, route)
	if c.exempt != nil && c.exempts(x, r.scratch) {
		return skipped
	}
	if lacks == nil {
		return allowed
	}
	l.missing.Inc(x.Lane)
	switch {
	case c.Missing == "skip":
		return skipped
	case c.Missing != "refuse":
		return allowed
	case l.observe:
		return observed
	}
	r.lacks = lacks.fault
	return keyless
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

// waitsLonger reports whether what refused u lasts longer than what refused v. Less than 0 is for ever.
func (u *use) waitsLonger(v *use) bool {
	return u.last.Retry < 0 || v.last.Retry >= 0 && u.last.Retry > v.last.Retry
}

// ban refuses the key of the last use, for what it did before.
func (g *gate) ban(x *edge.Exchange, r *record, rest time.Duration) edge.Verdict {
	u := &r.uses[len(r.uses)-1]
	u.limit.say(banned, x)
	u.last = bucket.Result{Reset: rest, Retry: rest}
	r.uses = append(r.uses[:0], *u) // nothing is known of the others
	r.refused = &r.uses[0]
	f := r.refused.limit.limited(x, "There were too many requests over the limit.")
	f.RetryAfter = int(max(seconds(rest), 1))
	x.Fault = f
	return edge.Answered
}

// newKeyless returns the fault of a request that lacks a part of a key.
func newKeyless(p *part) *edge.Fault {
	return &edge.Fault{Status: 401, Side: edge.SideClient, Code: "rate_limit_key_missing",
		Detail: "This request needs the " + keylessNames[p.kind] + " " + string(p.name) + "."}
}

var keylessNames = map[partKind]string{byHeader: "header", byCookie: "cookie", byQuery: "query parameter"}

// challenge is that of a 401; the detail of the answer names what is missing.
var challenge = []byte("ApiKey")

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

func (u *use) tryCharge(now int64) bool {
	if u.limit.counted != nil {
		return u.look(now)
	}
	if u.limit.shared != nil {
		return u.tryChargeShared(now)
	}
	if u.limit.meter == nil {
		var n int64
		u.taken, n = u.limit.flights.Acquire(u.key, u.limit.conf.MaxInFlight)
		u.last = bucket.Result{OK: u.taken, Remaining: max(u.limit.conf.MaxInFlight-n, 0)}
		return u.taken
	}
	u.last = u.limit.meter.TryCharge(u.key, now, u.cost)
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
			u.last.Remaining++
		} else {
			u.limit.meter.Charge(u.key, now, -u.cost)
			u.last = u.limit.meter.Peek(u.key, now, 0)
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
	f := l.limited(x, "There are more requests than the limit allows.")
	if u.last.Retry >= 0 {
		f.RetryAfter = int(max(seconds(u.last.Retry), 1))
	}
	x.Fault = f
	return edge.Answered
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
