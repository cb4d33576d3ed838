package cache

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// fetching is one fetch: an exchange of its own, since the client that it began for may leave while
// others wait for it too.
type fetching struct {
	c      *cache
	y      *edge.Exchange
	flight *flight
	landed key // where the flight is known
	route  string
	exact  []byte // the key of the request alone
	url    []byte // in exact
	auth   bool   // the request has Authorization
	// errorSeconds is the request's stale-if-error; less than 0: none.
	errorSeconds int64
	own          []byte // the lines of the answer's head that are for who leads
	text         []byte // the whole key, as the request had it
	old          *entry // what was found and is to be asked about; nil: nothing
	k            key    // of text, and of old
	reader       *body  // of who leads
	opened       bool
	asked        int64 // milliseconds since 1970
	number       int64 // of the latest purge then
}

// fetchFor has the answer fetched, or waits for who is fetching it already.
func (c *cache) fetchFor(x *edge.Exchange, r *record) edge.Verdict {
	if c.held.Load() > int64(c.conf.Size)/4 { // what is fetched is beside what is stored
		r.status, r.why = miss, tooManyFetches
		return edge.Next
	}
	if x.HasField(authorizationKey) {
		if asksForPart(x) {
			r.status, r.why = miss, authorizedPart
			return edge.Next // what it brings is rarely stored
		}
		t := c.newFetch(x, r, newFlight(int64(c.conf.MaxObject), &c.held))
		t.auth = true // shared with nobody: the answer may be its own
		return t.lead(x, r)
	}
	f, first := c.flights.join(r.k, int64(c.conf.MaxObject), &c.held)
	if first {
		return c.newFetch(x, r, f).lead(x, r)
	}
	return c.follow(x, r, f)
}

// follow waits for the fetch of another request.
func (c *cache) follow(x *edge.Exchange, r *record, f *flight) edge.Verdict {
	r.status, r.why = miss, waitedTooLong
	timeout := c.conf.WaitTimeout
	if x.Deadline > 0 {
		timeout = min(timeout, time.Duration(x.Deadline-clock.Now()))
	}
	if !f.await(x, timeout) {
		if x.Conn.Gone() {
			x.Fault = edge.ClientGone
			return edge.Answered
		}
		return edge.Next
	}
	switch {
	case f.usesOld && (f.as != rescued || c.mayRescue(x, r)):
		return c.serveOld(x, r, f)
	case f.fault != nil:
		x.Fault, x.Cause = f.fault, f.cause
		return edge.Answered
	case f.what == nil:
		r.status, r.why = passed, notForAll
		return edge.Next
	}
	text := append(r.text[:0], r.exact...)
	if len(f.what.search) > 0 && r.rule.ParseRule(f.what.search) == nil {
		text = c.conf.appendRuleKey(text[:0], x, r.route, &r.rule)
	}
	if len(f.what.vary) > 0 {
		var encoded bool
		if text, encoded = appendVariant(text, f.what.vary, x, r.accepts); encoded {
			text[len(text)-1] = f.what.forms.slotFor(r.accepts)
		}
	}
	if !bytes.Equal(text, f.what.key) {
		return c.followVariant(x, r)
	}
	r.why = noReason
	if b := f.read(); b != nil {
		return c.serveFlight(x, r, f, f.what, b, collapsed)
	}
	// All others have read it, and it is stored by now; or it was too large, and each fetches it.
	if use := c.find(x, r); use != fresh.Ask {
		return c.serve(x, r, collapsed)
	}
	return edge.Next
}

// mayRescue tells that what is stored may be used for this request too when the target fails.
func (c *cache) mayRescue(x *edge.Exchange, r *record) bool {
	c.find(x, r)
	return r.found && c.rescues(&r.entry, r.q.StaleIfError)
}

// followVariant goes on when the answer it waited for is for other values of the fields in Vary: what these
// are
// is known by now, so that it can wait with those that want the same.
func (c *cache) followVariant(x *edge.Exchange, r *record) edge.Verdict {
	if use := c.find(x, r); use != fresh.Ask {
		r.why = noReason
		return c.serve(x, r, collapsed)
	}
	if r.second {
		r.why = otherVariant
		return edge.Next
	}
	r.second = true
	return c.fetchFor(x, r)
}

// serveFlight makes what a fetch brings the answer, with the head that e has.
func (c *cache) serveFlight(x *edge.Exchange, r *record, f *flight, e *entry, b *body,
	as status) edge.Verdict {
	r.status = as
	r.age = e.ageAt(c.millis(c.tick()))
	r.ttl = e.lifetime - r.age
	if c.unmodified(x, r, e) {
		_ = b.Close() // it is not read
		return edge.Answered
	}
	x.SetHead(e.status, e.reason, e.lines, e.flags&isDated != 0)
	x.Out, x.OutLen = b, f.size
	switch {
	case f.size == 0 || string(x.Method) == "HEAD":
		_ = b.Close() // it is not read
		x.Out = nil
	case f.size > 0:
		if spans, ok := r.asked(x, e, f.size); ok && len(spans) < 2 {
			c.serveFlightPart(x, r, e, b, f.size, spans)
		}
	}
	return edge.Answered
}

// serveFlightPart makes one part of what a fetch brings the answer, or 416 if there is none.
func (c *cache) serveFlightPart(x *edge.Exchange, r *record, e *entry, b *body, length int64,
	spans []fresh.Span) {
	if len(spans) == 0 {
		_ = b.Close() // it is not read
		x.Out = nil
		r.serveNoPart(x, length)
		return
	}
	r.servePart(x, e, spans[0], length)
	x.Out = &part{b: b, skip: spans[0].From, left: spans[0].To - spans[0].From}
}

// newFetch prepares a fetch for what r asks.
func (c *cache) newFetch(x *edge.Exchange, r *record, f *flight) *fetching {
	t := &fetching{c: c, flight: f, landed: r.k, text: bytes.Clone(r.text), k: r.k,
		errorSeconds: r.q.StaleIfError}
	t.route, t.exact, t.url = r.route, bytes.Clone(r.exact), bytes.Clone(r.url)
	t.y = c.copyRequest(x)
	if r.found && r.entry.flags&(isPass|isSign) == 0 && r.object.Complete() {
		old := new(entry)
		if old.parse(bytes.Clone(r.object.Meta)) == nil {
			t.old = old
			t.condition()
		}
	}
	return t
}

// condition makes the request one that asks whether what was found still holds (RFC 9111 section 4.3.1).
func (t *fetching) condition() {
	if len(t.old.etag) > 0 {
		t.y.Req.Set("If-None-Match", string(t.old.etag))
	}
	if t.old.modified != 0 {
		t.y.Req.Set("If-Modified-Since", time.UnixMilli(t.old.modified).UTC().Format(http.TimeFormat))
	}
}

// lead fetches for x and for whoever follows.
func (t *fetching) lead(x *edge.Exchange, r *record) edge.Verdict {
	first := miss
	if t.old != nil {
		first = expired
	}
	r.status, r.why = first, r.lacked
	t.reader = t.flight.read()
	done := t.run()
	r.upside = t.y.Status()
	switch done {
	case failed:
		r.upside = 0
		x.Fault, x.Cause = t.flight.fault, t.flight.cause
		x.PoolName, x.TargetName = t.y.PoolName, t.y.TargetName
		return edge.Answered
	case unfit:
		r.why = t.flight.why
		if asksForPart(x) {
			t.y.Finish(edge.ClientGone) // all of it is more than is wanted
			r.upside = 0
			return edge.Next
		}
		x.TakeOver(t.y)
		return edge.Answered
	case usesOld:
		return t.c.serveOld(x, r, t.flight)
	}
	r.stored = true
	own := *t.flight.what
	own.lines = t.own
	return t.c.serveFlight(x, r, t.flight, &own, t.reader, first)
}

// serveOld answers with what was stored before the fetch.
func (c *cache) serveOld(x *edge.Exchange, r *record, f *flight) edge.Verdict {
	c.find(x, r)
	if !r.found || r.entry.flags&isPass != 0 || !r.object.Complete() {
		r.why = forgotten
		return edge.Next
	}
	r.upside = f.upside
	r.age = r.entry.ageAt(c.millis(c.tick()))
	return c.serve(x, r, f.as)
}

// refresh has an answer fetched anew that is served stale meanwhile, once.
func (c *cache) refresh(x *edge.Exchange, r *record) {
	if c.fetches.Load() >= mostRefreshes || c.held.Load() > int64(c.conf.Size)/4 ||
		x.HasField(authorizationKey) {
		return
	}
	f, first := c.flights.join(r.k, int64(c.conf.MaxObject), &c.held)
	if !first {
		return
	}
	t := c.newFetch(x, r, f)
	go t.alone()
}

// mostRefreshes bounds how many fetches nobody waits for.
const mostRefreshes = 1000

// alone fetches for nobody but the cache.
func (t *fetching) alone() {
	var f *edge.Fault // written to the log by Contain
	defer edge.Contain(&f)
	if t.run() == unfit {
		t.c.forget(t.k, t.text) // what is there now is not to be stored: what was there is no longer right
		t.y.Finish(nil)
	}
}

// outcome is what a fetch has come to.
type outcome uint8

const (
	fetched outcome = iota // there is a new answer, in the flight
	usesOld                // what is stored is the answer
	unfit                  // the answer, which is in y, is not to be stored
	failed                 // there is none
)

// run fetches up to the head of the answer and says what is to be made of it. The body is collected and
// stored from then on.
func (t *fetching) run() outcome {
	c := t.c
	c.fetches.Add(1)
	defer c.fetches.Add(-1)
	defer func() {
		if !t.opened { // after a panic
			t.flight.fault = edge.Internal
			t.open(true)
		}
	}()
	for {
		t.asked, t.number = c.millis(c.tick()), c.purges.latest.Load()
		f := edge.Fetch(t.y)
		switch {
		case f != nil:
			return t.fail(f)
		case t.y.Local:
			return t.pass(local, false)
		case t.y.Status() == 304 && t.old != nil:
			if t.renew() {
				return usesOld
			}
			t.again()
		case isError(t.y.Status()) && t.rescues():
			return t.keepOld(rescued)
		default:
			return t.take()
		}
	}
}

// open lets those go on who wait for the head; land tells that nobody can join any more.
func (t *fetching) open(land bool) {
	t.opened = true
	close(t.flight.head)
	if land {
		t.c.flights.land(t.landed, t.flight)
	}
}

// fail ends a fetch without an answer.
func (t *fetching) fail(f *edge.Fault) outcome {
	own := *f // one that belongs to y is gone soon
	t.flight.fault, t.flight.cause = &own, t.y.Cause
	if isError(f.Status) && t.rescues() {
		return t.keepOld(rescued)
	}
	t.open(true)
	t.y.Finish(f)
	return failed
}

// keepOld makes what is stored the answer for all.
func (t *fetching) keepOld(as status) outcome {
	t.flight.usesOld, t.flight.as = true, as
	if t.y.Fault == nil {
		t.flight.upside = t.y.Status()
	}
	t.open(true)
	t.y.Finish(t.y.Fault)
	return usesOld
}

// rescues tells that what was found may be used since the target fails (RFC 5861 section 4).
func (t *fetching) rescues() bool {
	return t.old != nil && t.c.rescues(t.old, t.errorSeconds)
}

// rescues tells that an entry may be used when the target fails; seconds is what the request says of that.
func (c *cache) rescues(e *entry, seconds int64) bool {
	most := e.rescue // 0 where the answer forbids it
	if e.flags&mustRevalidate == 0 {
		most = max(most, seconds*1000)
	}
	return e.flags&alwaysAsk == 0 && most > 0 && e.ageAt(c.millis(c.tick()))-e.lifetime <= most
}

// isError tells that a status is an error in the sense of RFC 5861 section 4.
func isError(status int) bool { return status == 500 || status >= 502 && status <= 504 }

// pass leaves the answer to who leads; the others ask for themselves, and those that come in the next
// seconds as well, if that is to be remembered.
func (t *fetching) pass(why reason, remember bool) outcome {
	t.flight.why = why
	if remember && !t.auth {
		e := entry{at: t.asked, lifetime: passFor.Milliseconds(), flags: isPass, key: t.text}
		t.c.forget(t.k, t.text)
		_ = t.c.store.Put(t.k, e.append(nil), nil, e.seconds()) // else the next one finds out again
	}
	t.open(true)
	return unfit
}

// passFor is how long it is remembered that an answer was not to be stored.
const passFor = 30 * time.Second

// again prepares a request without conditions: the target has confirmed another answer than ours.
func (t *fetching) again() {
	t.y.Finish(nil)
	y := new(edge.Exchange)
	t.y.CopyTo(y)
	y.Conn, y.Deadline = edge.Discard{}, t.y.Deadline
	y.Times.Start, y.Times.Head = t.y.Times.Start, t.y.Times.Head
	y.Req.Del("If-None-Match")
	y.Req.Del("If-Modified-Since")
	t.c.forget(t.k, t.text)
	t.y, t.old = y, nil
}

// take stores the answer, if that may be.
func (t *fetching) take() outcome {
	y, c := t.y, t.c
	d := describe(y)
	d.Asked, d.Came = t.asked, c.millis(c.tick())
	d.Authorization = t.auth
	if why := d.Storable(&c.opts, d.validates()); why != fresh.Storable {
		return t.pass(notStorable+reason(why), why.Lasts())
	}
	if y.OutLen > int64(c.conf.MaxObject) {
		return t.pass(tooLarge, true)
	}
	if d.crowded {
		return t.pass(tooManyTags, true)
	}
	e := c.entryOf(d)
	k := t.address(e, d)
	e.number, e.hashes = t.number, c.appendHashes(nil, t.url, d.tags)
	f := t.flight
	f.what, f.size = e, y.OutLen
	if t.own = e.lines; len(d.own) != len(d.lines) {
		t.own = d.own
	}
	if y.Out == nil {
		f.size = 0
	}
	t.open(false)
	if w, ok := y.Out.(edge.Whole); ok {
		if _, ok = w.Whole(); ok {
			t.collect(k)
			return fetched
		}
	}
	if y.Out == nil {
		t.collect(k)
	} else {
		go t.collect(k)
	}
	return fetched
}

// address gives an entry its whole key and returns what it is found by. Where answers differ, or have a rule
// for queries, it puts up a sign that says so.
func (t *fetching) address(e *entry, d *description) key {
	c := t.c
	e.key = t.exact
	var q fresh.QueryRule
	if len(e.search) > 0 && q.ParseRule(e.search) == nil {
		by := c.conf.appendRuleKey(nil, t.y, t.route, nil)
		c.putUp(&entry{at: e.at, flags: isSearch, search: e.search, key: by})
		c.searching.Store(true)
		e.key = c.conf.appendRuleKey(nil, t.y, t.route, &q)
	}
	if len(e.vary) == 0 {
		e.vary = c.variesBy(e.key)
	}
	// By cookies alone nothing is added: those that count are in the key.
	offer := codingsOf(t.y)
	e.forms = formOf(d.coding, d.foreign, offer)
	whole, encoded := appendVariant(bytes.Clone(e.key), e.vary, t.y, offer)
	if encoded {
		whole[len(whole)-1] = e.forms.slot()
	}
	if len(whole) > len(e.key) {
		c.putUp(&entry{at: e.at, flags: isSign, forms: e.forms & knownForms, vary: e.vary, key: e.key})
		e.key = whole
	}
	return c.hash(e.key)
}

// variesBy returns the fields that answers under a key depend on so far. One without Vary is for the requests
// that have the same of them, so that it does not come before one that is more about a request (RFC 9111
// section 4.1).
func (c *cache) variesBy(text []byte) []byte {
	o, _, ok := c.store.GetMeta(c.hash(text), nil)
	var e entry
	if !ok || e.parse(o.Meta) != nil || e.flags&isSign == 0 || !bytes.Equal(e.key, text) {
		return nil
	}
	return e.vary
}

// putUp stores a sign. One by which answers differ keeps what is known of their codings.
func (c *cache) putUp(sign *entry) {
	sign.lifetime = signFor.Milliseconds()
	c.signing.Lock()
	defer c.signing.Unlock()
	k := c.hash(sign.key)
	var had entry
	if o, _, ok := c.store.GetMeta(k, nil); ok && had.parse(o.Meta) == nil && had.flags&isSign != 0 &&
		bytes.Equal(had.key, sign.key) && bytes.Equal(had.vary, sign.vary) {
		sign.forms |= had.forms
	}
	c.keep(k, sign, nil)
}

// signFor is how long it is remembered which fields a URL's answers depend on.
const signFor = 7 * 24 * time.Hour

// pieceSize is how much of a body is read at once.
const pieceSize = 32 << 10

// leastRoom is how little room is not worth another read, unless what is left of the body fits into it.
const leastRoom = 2 << 10

// collect reads the body for the readers of the flight, and stores it when all of it is there.
func (t *fetching) collect(k key) {
	var panicked *edge.Fault
	defer func() {
		if panicked != nil {
			t.end(panicked)
		}
	}()
	defer edge.Contain(&panicked)
	f, y := t.flight, t.y
	room := pieceSize
	if f.size >= 0 {
		room = int(min(f.size+1, pieceSize)) // one more, that the end is seen at once
	}
	got := int64(0)
	for buf := []byte(nil); y.Out != nil; {
		if len(buf) < leastRoom && (len(buf) == 0 || f.size < 0 || f.size-got >= int64(len(buf))) {
			buf = make([]byte, room)
		}
		n, err := y.Out.Read(buf)
		if n > 0 && !f.add(buf[:n:n]) {
			t.end(edge.ClientGone) // too large to be stored, and nobody reads it
			return
		}
		buf, got = buf[n:], got+int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			var fault *edge.Fault
			if !errors.As(err, &fault) {
				fault = edge.UpstreamTruncated
			}
			t.end(fault)
			return
		}
	}
	if !f.over {
		t.c.keep(k, f.what, f.pieces)
	}
	t.end(nil)
}

// end ends the fetch; what is stored is stored by now.
func (t *fetching) end(fault *edge.Fault) {
	t.c.flights.land(t.landed, t.flight)
	if fault != nil {
		t.flight.end(fault)
	} else {
		t.flight.end(nil)
	}
	t.y.Finish(fault)
}

var authorizationKey = []byte("Authorization")
