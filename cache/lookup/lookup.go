// Package lookup does what a cache does for a request: it looks for an answer, has one fetched or waits for
// another request's fetch, and serves it.
package lookup

import (
	"bytes"
	"sync"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/chunks"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fetch"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/section"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Filter answers from the cache, or fetches.
type Filter struct {
	Cache *Cache
	Route string // what of the route its keys begin with, see resource
	slot  int
	opts  *fresh.Options // of the route; nil: those of the cache
	keyed *keyed         // nil: none
}

// AddTo adds what the cache does for the requests of a route, which by counts. The caller sets Route of the
// filter that it returns before the first request.
func (c *Cache) AddTo(r *edge.RouteSetup, slot int, conf *section.RouteConfig, by *RouteCounters) *Filter {
	l := &Filter{Cache: c, slot: slot, opts: conf.Options(&c.opts)}
	if len(conf.Methods) > 0 {
		l.keyed = &keyed{conf.Methods, int64(conf.MaxKeyBody)}
	}
	r.Add(edge.Lookup, l)
	r.Add(edge.Rescue, &rescueFault{cache: c, slot: slot})
	r.Add(edge.Receive, &rescueAnswer{cache: c, slot: slot})
	r.Add(edge.Respond, &addFields{cache: c, slot: slot})
	r.Add(edge.Log, &done{cache: c, slot: slot, route: by})
	return l
}

// record is what the cache remembers of an exchange, in its slot.
type record struct {
	status outcome.Status
	why    outcome.Reason
	stored bool  // the answer is being stored
	age    int64 // milliseconds; less than 0: the answer is not from the cache
	ttl    int64 // milliseconds that it is fresh for; less than 0: stale
	upside int   // status of the target's answer; 0: it was not asked

	now    int64
	q      fresh.Directives // of the request
	begun  bool
	absent bool           // it is not in memory
	lack   outcome.Reason // why what was found, if anything, is not the answer
	lacked outcome.Reason // the same, before anything was fetched
	fetch.Question
	freed  bool // the client wants what is fresher, which is ignored
	base   int  // of text without what Vary adds
	rule   fresh.QueryRule
	coding *accept.Coding // an encoded form that is wanted; nil: none
	// accepts are the codings that the request accepts.
	accepts accept.Set
	found   bool
	// metaOnly reports whether the body is not looked for, since the client is likely to have it.
	metaOnly bool
	coded    bool  // it is an encoded form that was found
	second   bool  // it has waited for the fetch of another variant
	onDisk   bool  // it was looked for there
	again    uint8 // how often it was looked for when a fetch had begun
	entry    entry.Entry
	object   store.Object
	buf      []byte // entry and object point into it
	spare    []byte
	whole    edge.BytesBody
	chunks   chunks.Reader
	spans    [16]fresh.Span
}

var recordPool = sync.Pool{New: func() any { return new(record) }}

// kept is the memory that a record keeps when it is put away.
const keptBuffer = 256 << 10

func (r *record) release() {
	if cap(r.buf) > keptBuffer {
		r.buf = nil
	}
	r.chunks.Clear()
	*r = record{Question: fetch.Question{Exact: r.Exact[:0], Text: r.Text[:0]},
		buf: r.buf[:0], spare: r.spare[:0], rule: fresh.QueryRule{Names: r.rule.Names[:0]}, chunks: r.chunks}
	recordPool.Put(r)
}

// Run implements edge.Filter.
func (l *Filter) Run(x *edge.Exchange) edge.Verdict {
	v := l.run(x)
	if v == edge.Next && l.Cache.Conf.IgnoreClientNoCache {
		if r := x.Slot[l.slot].(*record); r.freed { // run has put it there
			key.DropNoCache(x)
		}
	}
	return v
}

func (l *Filter) run(x *edge.Exchange) edge.Verdict {
	r, ok := x.Slot[l.slot].(*record)
	if !ok {
		r = recordPool.Get().(*record)
		r.age = -1
		x.Slot[l.slot] = r
	}
	if !r.begun {
		if v := l.makeKey(x, r); v != edge.Next || r.why != outcome.None {
			return v
		}
	}
	c := l.Cache
	r.now = c.Millis(x.Times.Head)
	c.Store.At(r.now / 1000)
	use, wait := c.search(x, r)
	if wait {
		return edge.Wait
	}
	r.lacked = r.lack
	switch {
	case use == fresh.Fresh:
		return c.serve(x, r, outcome.Hit)
	case use == fresh.Stale:
		return c.serve(x, r, outcome.Stale)
	case use == fresh.Revive:
		c.refresh(x, r)
		return c.serve(x, r, outcome.Stale)
	case r.q.OnlyIfCached: // RFC 9111 section 5.2.1.7
		r.status = outcome.NotCached
		x.Fault = onlyIfCached
		return edge.Answered
	case r.found && r.entry.Flags&entry.IsPass != 0:
		r.status, r.why = outcome.Passed, outcome.Known
		return edge.Next
	case asksForPart(x) && !c.Conf.FetchWhole:
		r.status, r.why = outcome.Miss, outcome.PartOnly
		return edge.Next
	case !x.MayWait:
		return edge.Wait
	}
	return c.fetchFor(x, r)
}

// makeKey makes the key of the request, from its body too where that is configured. r.why is why the cache
// has nothing to do with the request, if so. On any verdict but Next it is called again, or the request is
// answered.
func (l *Filter) makeKey(x *edge.Exchange, r *record) edge.Verdict {
	if r.why = l.begin(x, r); r.why == outcome.None && r.Keyed {
		if v := l.keyed.read(x, r); v != edge.Next {
			return v
		}
	}
	r.begun = true
	return edge.Next
}

// search looks for the answer in memory and, where it is missing there, on disk. wait reports whether that
// has to be done where the exchange may wait.
func (c *Cache) search(x *edge.Exchange, r *record) (use fresh.Use, wait bool) {
	use = c.find(x, r)
	if r.metaOnly && (use == fresh.Ask || !clientHas(x, &r.entry)) {
		r.metaOnly = false
		use = c.find(x, r)
	}
	if !r.absent || c.Tier == nil || r.onDisk {
		return use, false
	}
	if !x.MayWait && (c.Tier.Has(r.Text) || c.ruleOnDisk(x, r)) {
		return fresh.Ask, true
	}
	r.onDisk = true
	return c.fromDisk(x, r, use), false
}

// asksForPart reports whether the request wants less than the answer that would be stored. Parts are of
// what GET brings (RFC 9110 section 14.2).
func asksForPart(x *edge.Exchange) bool {
	if m := string(x.Method); m != "GET" && m != "HEAD" {
		return false
	}
	return string(x.Method) == "HEAD" || x.Req.Has("Range")
}

var onlyIfCached = &edge.Fault{Status: 504, Side: edge.SideClient, Code: "not_cached",
	Detail: "There is no stored answer that may be used, and the request forbids to fetch one."}

// begin reads the request and makes its key. It returns why the request is none for a cache.
func (l *Filter) begin(x *edge.Exchange, r *record) outcome.Reason {
	c := l.Cache
	r.Keyed = l.keyed.takes(x.Method)
	switch m := string(x.Method); {
	case r.Keyed:
	case m != "GET" && m != "HEAD":
		return outcome.Method
	case x.In != nil:
		return outcome.WithBody // what a body changes is not in the key
	}
	if len(x.Upgrade) > 0 {
		return outcome.Upgrade
	}
	c.readDirectives(x, r)
	switch {
	case r.q.NoStore:
		return outcome.RequestNoStore
	case len(x.Cookie) > 0 && c.Conf.Cookies == "pass" && len(c.Conf.KeyCookies) == 0:
		return outcome.WithCookie
	}
	r.metaOnly = x.Req.Has("If-None-Match") || x.Req.Has("If-Modified-Since")
	r.Route, r.accepts, r.Opts = l.Route, accept.Codings(x), l.opts
	r.coding = c.wanted(x, r.accepts)
	if r.Opts == nil {
		r.Opts = &c.opts
	}
	r.Exact, r.URL = c.Rules.Append(r.Exact[:0], x, l.Route)
	return outcome.None
}

// readDirectives reads what the request asks of caches.
func (c *Cache) readDirectives(x *edge.Exchange, r *record) {
	r.q.Reset()
	for v := range x.Req.All("Cache-Control") {
		r.q.Add(v)
	}
	if !r.q.Present && header.SameName(x.Req.Get("Pragma"), "no-cache") { // RFC 9111 section 5.4
		r.q.NoCache = true
	}
	if c.Conf.IgnoreClientNoCache {
		r.freed = r.q.NoCache || r.q.MaxAge >= 0 || r.q.MinFresh >= 0
		r.q.NoCache, r.q.MaxAge, r.q.MinFresh = false, -1, -1
	}
}

// find looks for the answer to a request and says what it may be used for.
func (c *Cache) find(x *edge.Exchange, r *record) fresh.Use {
	r.Text = append(r.Text[:0], r.Exact...)
	use, known := c.findText(x, r)
	if !known && !r.Keyed && c.Searching.Load() && c.byRule(x, r) {
		use, _ = c.findText(x, r)
	}
	return use
}

// fromDisk brings into memory what the request lacks there, and looks again.
func (c *Cache) fromDisk(x *edge.Exchange, r *record, use fresh.Use) fresh.Use {
	for range 3 { // the rule for queries, what says by which fields answers differ, and the answer
		switch {
		case !r.absent:
			return use
		case c.Tier.Has(r.Text) && c.Promote(r.Key, r.Text):
		case c.ruleOnDisk(x, r) && c.Promote(c.Hash(r.spare), r.spare):
		default:
			return use
		}
		use = c.find(x, r)
	}
	return use
}

// ruleOnDisk reports whether the rule for queries that answers of the path have is on disk alone, and leaves
// what it is found by in r.spare.
func (c *Cache) ruleOnDisk(x *edge.Exchange, r *record) bool {
	if r.Keyed || !c.Searching.Load() {
		return false
	}
	r.spare = c.Rules.AppendByRule(r.spare[:0], x, r.Route, nil)
	return !c.Store.Has(c.Hash(r.spare)) && c.Tier.Has(r.spare)
}

// ByRule makes the key in r the one by the rule for queries that answers of the path have. It returns false
// when there is none, and leaves the key as it was.
func (c *Cache) byRule(x *edge.Exchange, r *record) bool {
	k := r.Key
	r.Text = c.Rules.AppendByRule(r.Text[:0], x, r.Route, nil)
	r.Key = c.Hash(r.Text)
	ok := c.get(r) && r.entry.Flags&entry.IsSearch != 0 && r.rule.ParseRule(r.entry.Search) == nil
	r.Text = r.Text[:0]
	if ok {
		r.Text = c.Rules.AppendByRule(r.Text, x, r.Route, &r.rule)
	} else {
		r.Text, r.Key = append(r.Text, r.Exact...), k
	}
	r.found, r.absent = false, true
	return ok
}

// findText looks for the answer whose key, but for what Vary adds, is in r. known is false when there is
// nothing under that.
func (c *Cache) findText(x *edge.Exchange, r *record) (use fresh.Use, known bool) {
	r.base = len(r.Text)
	if c.findCoded(r) {
		return fresh.Fresh, true
	}
	r.Key, r.lack = c.Hash(r.Text), outcome.Absent
	if !c.get(r) {
		return fresh.Ask, false
	}
	return c.findVariant(x, r), true
}

// findVariant goes on from what is under the key without what Vary adds.
func (c *Cache) findVariant(x *edge.Exchange, r *record) fresh.Use {
	if r.entry.Flags&entry.IsSign == 0 {
		return c.findAnswer(r)
	}
	known := r.entry.Forms
	text, encoded := key.AppendVariant(r.Text, r.entry.Vary, x, r.accepts)
	if r.Text = text; encoded {
		return c.findForm(r, known)
	}
	if c.findCoded(r) {
		return fresh.Fresh
	}
	r.Key, r.lack = c.Hash(r.Text), outcome.OtherFields
	if !c.get(r) {
		return fresh.Ask
	}
	return c.findAnswer(r)
}

// findAnswer returns what may be done with what was found where an answer should be.
func (c *Cache) findAnswer(r *record) fresh.Use {
	if r.entry.Flags&(entry.IsSign|entry.IsSearch) != 0 {
		r.found, r.absent = false, true
		return fresh.Ask
	}
	if e := &r.entry; e.Flags&entry.IsPass != 0 {
		if r.now >= e.At+e.Lifetime {
			r.found = false
		}
		return fresh.Ask
	}
	return c.weigh(r)
}

// weigh returns what the answer that was found may be used for.
func (c *Cache) weigh(r *record) fresh.Use {
	e := &r.entry
	r.age, r.lack = e.AgeAt(r.now), outcome.TooOld
	if r.age < e.Lifetime && e.Flags&entry.AlwaysAsk == 0 {
		r.lack = outcome.AskedAnew
	}
	strict, ask := e.Flags&entry.MustRevalidate != 0, e.Flags&entry.AlwaysAsk != 0
	use := fresh.Decide(r.age, e.Lifetime, e.Revive, strict, ask, &r.q)
	switch c.Purges.Judge(e.Number, r.URL, e.Hashes, r.now) {
	case purge.Purged:
		r.found, r.lack, r.age = false, outcome.Purged, -1
		return fresh.Ask
	case purge.Stale:
		if use == fresh.Fresh {
			use, r.lack = fresh.Ask, outcome.Purged
			if e.Revive > 0 {
				use = fresh.Revive
			}
		}
	}
	if !c.complete(r) {
		r.found, r.absent, r.lack, use = false, true, outcome.Absent, fresh.Ask
	}
	if use == fresh.Ask {
		r.age = -1
	}
	return use
}

// mostGathered is the size of a body up to which all of it is read before the head is sent: none of its
// parts can go meanwhile.
const mostGathered = 128 << 10

// complete reports whether all of the body that was found is there.
func (c *Cache) complete(r *record) (ok bool) {
	if r.metaOnly || r.object.Whole() || r.object.Len > mostGathered {
		return r.object.Complete()
	}
	r.buf, ok = r.object.Gather(r.buf)
	return ok
}

// get reads the entry under r.k into r.
func (c *Cache) get(r *record) bool {
	if r.metaOnly {
		r.object, r.buf, r.found = c.Store.GetMeta(r.Key, r.buf[:0])
	} else {
		r.object, r.buf, r.found = c.Store.Get(r.Key, r.buf[:0])
	}
	if r.found {
		r.found = r.entry.Parse(r.object.Meta) == nil && bytes.Equal(r.entry.Key, r.Text)
	}
	r.absent = !r.found
	return r.found
}
