package lookup

import (
	"bytes"
	"strconv"

	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/edge"
)

// addFields adds to an answer what the cache has to say of it, and forgets what a request has changed.
type addFields struct {
	cache *Cache
	slot  int
}

// Run implements edge.Filter.
func (t *addFields) Run(x *edge.Exchange) edge.Verdict {
	r, ok := x.Slot[t.slot].(*record)
	if !ok {
		return edge.Next
	}
	if r.why == outcome.Method {
		t.cache.invalidate(x, r)
	}
	if r.age >= 0 && x.Fault == nil && !r.generated() {
		r.spare = strconv.AppendInt(r.spare[:0], r.age/1000, 10)
		x.Resp.AddBytes("Age", r.spare)
	}
	// RFC 9211 section 2: not on answers of our own that have nothing to do with stored ones.
	if x.Fault == nil && r.why != outcome.Local {
		r.spare = r.appendStatus(r.spare[:0])
		x.Resp.AddBytes("Cache-Status", r.spare)
	}
	return edge.Next
}

// generated reports whether the answer was made or confirmed for this request, which an Age denies (RFC 9111
// section 5.1).
func (r *record) generated() bool {
	asked := r.status == outcome.Miss || r.status == outcome.Expired || r.status == outcome.Revalidated
	return r.age < 1000 && asked
}

// appendStatus appends the member of Cache-Status, RFC 9211.
func (r *record) appendStatus(b []byte) []byte {
	b = append(b, "penstock"...)
	switch r.status {
	case outcome.Hit, outcome.Stale, outcome.Rescued:
		b = append(b, "; hit"...)
	case outcome.Revalidated, outcome.Expired:
		if r.lacked == outcome.AskedAnew {
			b = append(b, "; fwd=request"...)
		} else {
			b = append(b, "; fwd=stale"...)
		}
	case outcome.Bypass:
		switch r.why {
		case outcome.Method:
			return append(b, "; fwd=method"...)
		case outcome.RequestNoStore:
			return append(b, "; fwd=request"...)
		}
		b = append(b, "; fwd=bypass"...)
	case outcome.Passed:
		b = append(b, "; fwd=miss"...)
	default:
		if r.lacked == outcome.OtherFields {
			b = append(b, "; fwd=vary-miss"...)
		} else {
			b = append(b, "; fwd=uri-miss"...)
		}
	}
	if r.upside > 0 {
		b = strconv.AppendInt(append(b, "; fwd-status="...), int64(r.upside), 10)
	}
	if r.age >= 0 {
		b = strconv.AppendInt(append(b, "; ttl="...), floor(r.ttl), 10)
	}
	if r.stored {
		b = append(b, "; stored"...)
	}
	if r.status == outcome.Collapsed {
		b = append(b, "; collapsed"...)
	}
	if r.status == outcome.Rescued {
		return append(b, "; detail=stale-if-error"...)
	}
	if r.why > outcome.OtherFields { // what is up to that is said by fwd
		b = append(append(b, "; detail="...), r.why.Word()...)
	}
	return b
}

// floor returns seconds, rounded down.
func floor(ms int64) int64 {
	if ms < 0 {
		return (ms - 999) / 1000
	}
	return ms / 1000
}

// invalidate forgets what a request that is not safe may have changed, when it went well (RFC 9111
// section 4.4): its URL, and those that the answer names on the same host.
func (c *Cache) invalidate(x *edge.Exchange, r *record) {
	switch string(x.Method) {
	case "OPTIONS", "TRACE", "PROPFIND", "QUERY", "REPORT", "SEARCH":
		return // safe: RFC 9110, 4918, 10008, 3253 and 5323
	}
	if s := x.Status(); x.Fault != nil || s < 200 || s >= 400 {
		return
	}
	r.Text = c.Rules.AppendURL(r.Text[:0], x)
	c.WriteDown(c.Purges.ByHash(purge.HashURL(r.Text), false))
	host := append(key.AppendAuthority([]byte(x.Scheme+"://"), x.Scheme, x.Authority), '/')
	for _, name := range [...]string{"Location", "Content-Location"} {
		where := x.Resp.Get(name)
		if len(where) > 0 && where[0] == '/' && (len(where) == 1 || where[1] != '/') {
			where = append(bytes.Clone(host), where[1:]...)
		}
		where, _, _ = bytes.Cut(where, []byte{'#'})
		url, err := c.Rules.CanonicalURL(string(where))
		if err == nil && bytes.HasPrefix(url, host) {
			c.WriteDown(c.Purges.ByHash(purge.HashURL(url), false))
		}
	}
	c.Flights.Scatter()
}

// done counts, and puts the record away.
type done struct {
	cache *Cache
	slot  int
	route *RouteCounters
}

// Run implements edge.Filter.
func (d *done) Run(x *edge.Exchange) edge.Verdict {
	if r, ok := x.Slot[d.slot].(*record); ok {
		x.Slot[d.slot] = nil
		d.cache.Counters.Requests[r.status].Inc(x.Lane)
		d.route[r.status.Result()].Inc(x.Lane)
		d.cache.Counters.Sent[r.status.Result()].Add(x.Lane, uint64(max(x.OutBytes, 0)))
		if r.why != outcome.None {
			d.cache.Counters.Misses[r.why].Inc(x.Lane)
		}
		r.release()
	}
	return edge.Next
}
