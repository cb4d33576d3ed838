package lookup

import (
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge"
)

// rescueFault answers with what is stored when the target could not be asked or has failed, and what is
// stored may be used then (RFC 5861 section 4). It does so whoever asked: the request that fetched, one that
// waited for it, and one that asked by itself.
type rescueFault struct {
	cache *Cache
	slot  int
}

// Run implements edge.Filter.
func (f *rescueFault) Run(x *edge.Exchange) edge.Verdict {
	r, ok := x.Slot[f.slot].(*record)
	if !ok || x.Fault.Side == edge.SideClient || !fresh.IsError(x.Fault.Status) || !f.cache.rescue(x, r) {
		return edge.Next
	}
	x.Fault, x.Cause = nil, nil
	return edge.Answered
}

// rescueAnswer does the same when a request that was passed on is answered with an error.
type rescueAnswer struct {
	cache *Cache
	slot  int
}

// Run implements edge.Filter.
func (f *rescueAnswer) Run(x *edge.Exchange) edge.Verdict {
	status := x.Status()
	if !fresh.IsError(status) {
		return edge.Next
	}
	r, ok := x.Slot[f.slot].(*record)
	if !ok {
		return edge.Next
	}
	body := x.Out
	if !f.cache.rescue(x, r) {
		return edge.Next
	}
	if body != nil {
		_ = body.Close() // it is not read; its peer learns of it when it is released
	}
	r.upside = status
	return edge.Answered
}

// rescue makes what is stored the answer, if it may be used when the target fails.
func (c *Cache) rescue(x *edge.Exchange, r *record) bool {
	if len(r.Exact) == 0 || r.status == outcome.NotCached || r.status == outcome.Bypass {
		return false // the request is none for a cache, or wants no other answer
	}
	c.find(x, r)
	if !r.isAnswer() || !c.Rescues(&r.entry, r.q.StaleIfError) {
		return false
	}
	r.why, r.upside = outcome.None, 0
	r.age = r.entry.AgeAt(c.Now())
	c.serve(x, r, outcome.Rescued)
	return true
}
