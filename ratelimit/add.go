package ratelimit

import (
	"strconv"

	"github.com/penstock-edge/penstock/edge"
)

// addFields adds the fields of the answer, and charges what is known only now.
type addFields struct {
	slot  int
	costs []string // the fields of the answer that carry its cost
}

// Run implements edge.Filter.
func (t *addFields) Run(x *edge.Exchange) edge.Verdict {
	r, ok := x.Slot[t.slot].(*record)
	if !ok {
		return edge.Next
	}
	t.charge(x, r)
	b := r.scratch[:0]
	for i := range r.uses {
		if u := &r.uses[i]; u.limit.conf.Headers {
			b = appendItem(b, u.limit.policy, u)
		}
	}
	if n := len(b); n > 0 {
		x.Resp.AddBytes("RateLimit-Policy", b)
		b = b[:0]
		for i := range r.uses {
			if u := &r.uses[i]; u.limit.conf.Headers {
				b = u.appendState(b)
			}
		}
		x.Resp.AddBytes("RateLimit", b)
	}
	r.scratch = b
	r.tellX(x)
	if r.lacks != nil && x.Fault == r.lacks { // RFC 9110 section 15.5.2 asks for one
		x.Resp.AddBytes("WWW-Authenticate", challenge)
	}
	return edge.Next
}

// charge charges the uses that are to be charged by the answer, and takes the costs out of it.
func (t *addFields) charge(x *edge.Exchange, r *record) {
	for _, name := range t.costs {
		said, bad := readCost(x, name)
		for i := range r.uses {
			if u := &r.uses[i]; u.limit.conf.CostHeader == name {
				u.said = said
				if bad {
					u.limit.badCosts.Inc(x.Lane)
				}
			}
		}
		x.Resp.Del(name)
	}
	if r.refused != nil {
		return // by one of them: charged by none
	}
	for i := range r.uses {
		r.uses[i].charge(x)
	}
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
		b = strconv.AppendInt(append(b, ";t="...), u.wait(), 10)
	}
	return u.appendPartition(b)
}

// wait is in how many seconds all is there again, or, of a request that was refused, it may come again.
func (u *use) wait() int64 {
	if !u.last.OK && u.last.Retry >= 0 {
		return seconds(u.last.Retry)
	}
	return seconds(u.last.Reset)
}

// tellX adds the fields that came before the standard. There is room for one limit in them: the one that has
// refused the request, else the one of which the smallest part is left.
func (r *record) tellX(x *edge.Exchange) {
	var u *use
	for i := range r.uses {
		v := &r.uses[i]
		switch {
		case !v.limit.conf.XHeaders:
		case v == r.refused:
			u = v
		case u == nil || u != r.refused && v.part() < u.part():
			u = v
		}
	}
	if u == nil {
		return
	}
	b := strconv.AppendInt(r.scratch[:0], u.limit.quota, 10)
	x.Resp.SetBytes("X-RateLimit-Limit", b)
	b = strconv.AppendInt(b[:0], max(u.last.Remaining, 0), 10)
	x.Resp.SetBytes("X-RateLimit-Remaining", b)
	x.Resp.Del("X-RateLimit-Reset")
	if u.limit.meter != nil {
		b = strconv.AppendInt(b[:0], u.wait(), 10)
		x.Resp.AddBytes("X-RateLimit-Reset", b)
	}
	r.scratch = b
}

// part is how much of the limit is left.
func (u *use) part() float64 { return float64(u.last.Remaining) / float64(u.limit.quota) }
