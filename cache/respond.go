package cache

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
)

// tell adds to an answer what the cache has to say of it, and forgets what a request has changed.
type tell struct {
	cache *cache
	slot  int
}

// Run implements edge.Filter.
func (t *tell) Run(x *edge.Exchange) edge.Verdict {
	r, ok := x.Slot[t.slot].(*record)
	if !ok {
		return edge.Next
	}
	if r.why == method {
		t.cache.invalidate(x, r)
	}
	if r.age >= 0 && x.Fault == nil && !r.generated() {
		r.spare = strconv.AppendInt(r.spare[:0], r.age/1000, 10)
		x.AddField(ageKey, r.spare)
	}
	// RFC 9211 section 2: not on answers of our own that have nothing to do with stored ones.
	if x.Fault == nil && r.why != local {
		r.spare = r.appendStatus(r.spare[:0])
		x.AddField(cacheStatusKey, r.spare)
	}
	return edge.Next
}

// generated tells that the answer was made or confirmed for this request, which an Age denies (RFC 9111
// section 5.1).
func (r *record) generated() bool {
	return r.age < 1000 && (r.status == miss || r.status == expired || r.status == revalidated)
}

// appendStatus appends the member of Cache-Status, RFC 9211.
func (r *record) appendStatus(b []byte) []byte {
	b = append(b, "penstock"...)
	switch r.status {
	case hit, hitStale, rescued:
		b = append(b, "; hit"...)
	case revalidated, expired:
		if r.lacked == askedAnew {
			b = append(b, "; fwd=request"...)
		} else {
			b = append(b, "; fwd=stale"...)
		}
	case bypass:
		switch r.why {
		case method:
			return append(b, "; fwd=method"...)
		case requestNoStore:
			return append(b, "; fwd=request"...)
		}
		b = append(b, "; fwd=bypass"...)
	case passed:
		b = append(b, "; fwd=miss"...)
	default:
		if r.lacked == otherFields {
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
	if r.status == collapsed {
		b = append(b, "; collapsed"...)
	}
	if r.status == rescued {
		return append(b, "; detail=stale-if-error"...)
	}
	if r.why > otherFields { // what is up to that is said by fwd
		b = append(append(b, "; detail="...), r.why.word()...)
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
func (c *cache) invalidate(x *edge.Exchange, r *record) {
	switch string(x.Method) {
	case "OPTIONS", "TRACE", "PROPFIND", "QUERY", "REPORT", "SEARCH":
		return // safe: RFC 9110, 4918, 10008, 3253 and 5323
	}
	if s := x.Status(); x.Fault != nil || s < 200 || s >= 400 {
		return
	}
	r.text = c.conf.appendURL(r.text[:0], x)
	c.writeDown(c.purges.byHash(hashURL(r.text), false))
	host := len(x.Scheme) + len("://") + len(x.Authority)
	for _, name := range [...]string{"Location", "Content-Location"} {
		where := x.Resp().Peek(name)
		switch {
		case len(where) == 0:
		case bytes.HasPrefix(where, r.text[:host]) && len(where) > host && where[host] == '/':
			c.writeDown(c.purges.byHash(hashURL(where), false))
		case where[0] == '/' && (len(where) == 1 || where[1] != '/'):
			c.writeDown(c.purges.byHash(hashURL(append(bytes.Clone(r.text[:host]), where...)), false))
		}
	}
	c.flights.scatter()
}

// done counts, and puts the record away.
type done struct {
	cache *cache
	slot  int
	route *routeCounters
}

// Run implements edge.Filter.
func (d *done) Run(x *edge.Exchange) edge.Verdict {
	if r, ok := x.Slot[d.slot].(*record); ok {
		x.Slot[d.slot] = nil
		d.cache.requests[r.status].Inc(x.Lane)
		d.route[r.status.result()].Inc(x.Lane)
		d.cache.sent[r.status.result()].Add(x.Lane, uint64(max(x.OutBytes, 0)))
		if r.why != noReason {
			d.cache.misses[r.why].Inc(x.Lane)
		}
		r.release()
	}
	return edge.Next
}

// purge forgets what the arguments name and returns it; empty: they name nothing. err says what is wrong with
// them.
func (c *cache) purge(args *fasthttp.Args) (what string, err error) {
	soft := args.GetBool("soft")
	last := banFor
	if args.Has("for") {
		last, err = time.ParseDuration(string(args.Peek("for")))
		if err != nil || last <= 0 {
			return "", fmt.Errorf("for must be a time such as 1h, it is %q", args.Peek("for"))
		}
	}
	now := c.millis(c.tick())
	until := now + last.Milliseconds()
	var note []byte
	switch {
	case args.Has("url"):
		note = c.purges.byHash(hashURL(args.Peek("url")), soft)
		what = "url " + string(args.Peek("url"))
	case args.Has("tag"):
		note = c.purges.byHash(hashTag(args.Peek("tag")), soft)
		what = "tag " + string(args.Peek("tag"))
	case args.Has("prefix") && len(args.Peek("prefix")) > 0:
		note = c.purges.byRule(args.Peek("prefix"), nil, now, until, soft)
		what = "prefix " + string(args.Peek("prefix"))
	case args.Has("match") && len(args.Peek("match")) > 0:
		match, err := regexp.Compile(string(args.Peek("match")))
		if err != nil {
			return "", fmt.Errorf("match must be an expression as RE2 has them: %w", err)
		}
		note = c.purges.byRule(nil, match, now, until, soft)
		what = "match " + match.String()
	case args.GetBool("all"):
		note = c.purges.everything(soft)
		what = "all"
	default:
		return "", nil
	}
	c.writeDown(note)
	c.flights.scatter()
	return what, nil
}

// banFor is longer than any answer is kept that somebody would still use.
const banFor = 366 * 24 * time.Hour

var (
	ageKey         = []byte("Age")
	cacheStatusKey = []byte("Cache-Status")
)
