package cache

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/flight"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/records"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
)

// state is what of the fetches for a cache outlives a reload.
type state struct {
	*records.Records
	flights flight.Group
	fetches atomic.Int64 // under way
	bodies  flight.Budget
}

// newState returns the state of a cache without fetches; size is that of its memory.
func newState(r *records.Records, size int64) *state {
	return &state{Records: r, bodies: flight.Budget{Most: size / 4}}
}

// fetcher fetches for a cache in one generation.
type fetcher struct {
	*state
	entry.Maker
	maxObject int64 // bytes of a body that is stored
}

// question is what a request asks a cache for.
type question struct {
	route string         // what of the route its keys begin with, see resource
	opts  *fresh.Options // that hold for the answer
	keyed bool           // the method and the body are in the key
	exact []byte         // the key of the request alone
	url   []byte         // in exact
	text  []byte         // the whole key of the answer: exact, or by a rule for queries, and what Vary adds
	k     store.Key      // of text
}

// fetching is one fetch: an exchange of its own, since the client that it began for may leave while
// others wait for it too.
type fetching struct {
	question
	c      *fetcher
	y      *edge.Exchange
	flight *flight.Flight
	landed store.Key // where the flight is known
	body   []byte    // of the request, if it is in the key
	auth   bool      // the request has Authorization
	// errorSeconds is the request's stale-if-error; less than 0: none.
	errorSeconds int64
	own          []byte         // the lines of the answer's head that are for who leads
	old          *entry.Entry   // what was found and is to be asked about; nil: nothing
	number       uint64         // of old's body
	usable       bool           // old may be used without asking, but not for this request
	stored       bool           // the answer was stored before its head left
	reader       *flight.Reader // of who leads
	opened       bool
	buf          []byte // room for the next piece of the body
	room         int    // how large the next buf is
	got          int64  // bytes of the body
	refreshes    bool   // nobody waits for it but the cache
	asked        int64  // milliseconds since 1970
	purges       int64  // the number of the latest purge then
}

// newFetch prepares a fetch of what q asks for, on behalf of x.
func (c *fetcher) newFetch(x *edge.Exchange, f *flight.Flight, q question, errorSeconds int64) *fetching {
	q.text, q.exact, q.url = bytes.Clone(q.text), bytes.Clone(q.exact), bytes.Clone(q.url)
	t := &fetching{question: q, c: c, flight: f, landed: q.k, errorSeconds: errorSeconds, y: c.Rules.Copy(x)}
	if t.auth = x.Req.Has(authorizationKey); t.keyed {
		body, _ := x.WholeIn() // it is, since the key has been made of it
		t.body = bytes.Clone(body)
		t.carry(x.Method)
	}
	return t
}

// confirm makes the fetch ask whether a stored answer still holds. usable reports whether that may be used
// without asking, but not for this request.
func (t *fetching) confirm(o *store.Object, usable bool) {
	old := new(entry.Entry)
	if old.Parse(bytes.Clone(o.Meta)) == nil {
		t.old, t.number, t.usable = old, o.Number(), usable
		t.condition()
	}
}

// carry gives the fetch the method and the body of the request that it is for.
func (t *fetching) carry(method []byte) {
	y := t.y
	y.SetMethod(method)
	for _, name := range key.BodyFields {
		key.SetKeyed(y, name)
	}
	if len(t.body) > 0 {
		y.In, y.InLen = edge.NewBytesBody(t.body), int64(len(t.body))
		y.InMax = y.InLen
	}
}

// condition makes the request one that asks whether what was found still holds (RFC 9111 section 4.3.1).
func (t *fetching) condition() {
	if string(t.y.Method) == "POST" { // which has none (RFC 9110 section 13.1.2)
		return
	}
	if len(t.old.ETag) > 0 {
		t.y.Req.SetBytes("If-None-Match", t.old.ETag)
	}
	if t.old.Modified != 0 {
		t.y.Req.Set("If-Modified-Since", time.UnixMilli(t.old.Modified).UTC().Format(http.TimeFormat))
	}
}

// alone fetches for nobody but the cache.
func (t *fetching) alone() {
	var f *edge.Fault // written to the log by Contain
	defer edge.Contain(&f)
	t.refreshes = true
	if t.run() == unfit {
		t.y.Finish(nil)
	}
}

// ending is what a fetch has come to.
type ending uint8

const (
	fetched ending = iota // there is a new answer, in the flight
	usesOld               // what is stored is the answer
	unfit                 // the answer, which is in y, is not to be stored
	failed                // there is none
)

// run fetches up to the head of the answer and says what is to be made of it. The body is collected and
// stored from then on.
func (t *fetching) run() ending {
	c := t.c
	c.fetches.Add(1)
	defer c.fetches.Add(-1)
	defer func() {
		if !t.opened { // after a panic
			t.flight.Fault = edge.Internal
			t.open(true)
		}
	}()
	for {
		t.asked, t.purges = c.Now(), c.Purges.Latest.Load()
		f := edge.Fetch(t.y)
		switch {
		case f != nil:
			return t.fail(f)
		case t.y.Local:
			return t.pass(outcome.Local, false)
		case t.y.Status() == 304 && t.old != nil:
			if t.renew() {
				return usesOld
			}
			t.again()
		case fresh.IsError(t.y.Status()) && t.rescues():
			return t.keepOld(outcome.Rescued)
		default:
			return t.take()
		}
	}
}

// open lets those go on who wait for the head; land tells that nobody can join any more.
func (t *fetching) open(land bool) {
	t.opened, t.flight.Asked = true, t.asked
	close(t.flight.Head)
	if land {
		t.c.flights.Land(t.landed, t.flight)
	}
}

// fail ends a fetch without an answer.
func (t *fetching) fail(f *edge.Fault) ending {
	own := *f // one that belongs to y is gone soon
	t.flight.Fault, t.flight.Cause, t.flight.Bad = &own, t.y.Cause, fresh.IsError(f.Status)
	if fresh.IsError(f.Status) && t.rescues() {
		return t.keepOld(outcome.Rescued)
	}
	t.open(true)
	t.y.Finish(f)
	return failed
}

// keepOld makes what is stored the answer for all.
func (t *fetching) keepOld(as outcome.Status) ending {
	t.flight.UsesOld, t.flight.As = true, as
	if t.y.Fault == nil {
		t.flight.Upside = t.y.Status()
	}
	t.flight.Number = t.number
	t.open(true)
	t.y.Finish(t.y.Fault)
	return usesOld
}

// rescues tells that what was found may be used since the target fails (RFC 5861 section 4).
func (t *fetching) rescues() bool {
	return t.old != nil && t.c.rescues(t.old, t.errorSeconds)
}

// rescues tells that an entry may be used when the target fails; seconds is what the request says of that.
func (c *fetcher) rescues(e *entry.Entry, seconds int64) bool {
	most := e.Rescue // 0 where the answer forbids it
	if e.Flags&entry.MustRevalidate == 0 && !fresh.IsError(e.Status) {
		most = max(most, seconds*1000)
	}
	return e.Flags&entry.AlwaysAsk == 0 && most > 0 && e.AgeAt(c.Now())-e.Lifetime <= most
}

// pass leaves the answer to who leads; the others ask for themselves, and those that come in the next
// seconds as well, if that is to be remembered. It changes nothing that is stored and of use: what the target
// said to this client is not about others.
func (t *fetching) pass(why outcome.Reason, remember bool) ending {
	status := t.y.Status()
	t.flight.Why, t.flight.Bad, t.flight.Upside = why, fresh.IsError(status), status
	switch {
	case !remember || t.auth || !ordinary(status):
	case t.refreshes:
		if !t.c.HoldsFresh(t.k, t.text) {
			t.c.Forget(t.k, t.text) // it is stale, and no longer what the target has for all
		}
	default:
		t.c.RememberPass(t.k, t.text, t.asked)
	}
	t.open(true)
	return unfit
}

// ordinary reports whether an answer says something of the resource, and not of the request that asked, of
// its client, or of a target in trouble.
func ordinary(status int) bool { return status < 400 || status == 404 || status == 410 }

// again prepares a request without conditions: the target has confirmed another answer than ours.
func (t *fetching) again() {
	t.y.Finish(nil)
	y := new(edge.Exchange)
	t.y.Fork(y, nil)
	y.Req.Del("If-None-Match")
	y.Req.Del("If-Modified-Since")
	if !t.c.HoldsUseful(t.k, t.text) {
		t.c.Forget(t.k, t.text)
	}
	t.y, t.old = y, nil
	if t.keyed {
		t.carry(y.Method)
	}
}

// take stores the answer, if that may be.
func (t *fetching) take() ending {
	y, c := t.y, t.c
	d := c.Describe(y, t.auth)
	d.Asked, d.Came = t.asked, c.Now()
	if t.keyed {
		d.Search = nil // the rule would have to be about the body
	}
	switch why := d.Storable(t.opts, d.Validates()); {
	case why != fresh.Storable:
		return t.pass(outcome.NotStorable+outcome.Reason(why), why.Lasts())
	case t.usable && d.Status >= 500:
		return t.pass(outcome.BesideCopy, false) // an error says nothing of what is stored (RFC 9111 section 4.3.3)
	}
	if y.OutLen > c.maxObject {
		return t.pass(outcome.TooLarge, true)
	}
	if d.TooManyTags {
		return t.pass(outcome.TooManyTags, true)
	}
	e := c.EntryOf(d, t.opts)
	k := t.address(e, d)
	e.Number, e.Hashes = t.purges, purge.AppendHashes(nil, t.url, d.Tags)
	f := t.flight
	f.Entry, f.Size, f.Age = e, y.OutLen, d.Age*1000
	if t.own = e.Lines; len(d.Own) != len(d.Lines) {
		t.own = d.Own
	}
	if y.Out == nil {
		f.Size = 0
	}
	t.open(false)
	t.room = firstPiece
	if f.Size >= 0 {
		t.room = int(min(f.Size+1, pieceSize)) // one more, that the end is seen at once
	}
	whole := y.Out == nil
	if !whole {
		_, whole = y.Out.Whole()
	}
	var done bool
	if t.stored, done = t.collect(k, whole); !done {
		go t.collect(k, true)
	}
	return fetched
}

// address gives an entry its whole key and returns what it is found by. Where answers differ, or have a rule
// for queries, it puts up a sign that says so.
func (t *fetching) address(e *entry.Entry, d *entry.Description) store.Key {
	c := t.c
	e.Key = t.exact
	var q fresh.QueryRule
	if len(e.Search) > 0 && q.ParseRule(e.Search) == nil {
		by := c.Rules.AppendByRule(nil, t.y, t.route, nil)
		c.PutUp(&entry.Entry{At: e.At, Flags: entry.IsSearch, Search: e.Search, Key: by})
		c.Searching.Store(true)
		e.Key = c.Rules.AppendByRule(nil, t.y, t.route, &q)
	}
	if len(e.Vary) == 0 {
		e.Vary = c.VariesBy(e.Key)
	}
	// By cookies alone nothing is added: those that count are in the key.
	offer := accept.Codings(t.y)
	e.Forms = accept.FormOf(d.Coding, d.Foreign, offer)
	whole, encoded := key.AppendVariant(bytes.Clone(e.Key), e.Vary, t.y, offer)
	if encoded {
		whole[len(whole)-1] = e.Forms.Slot()
	}
	if len(whole) > len(e.Key) {
		c.PutUp(&entry.Entry{At: e.At, Flags: entry.IsSign, Forms: e.Forms & accept.Known, Vary: e.Vary, Key: e.Key})
		e.Key = whole
	}
	return c.Hash(e.Key)
}

// pieceSize is how much of a body is read at once; the first read of one whose length is not known has room
// for firstPiece, and each further one for twice as much.
const (
	pieceSize  = 32 << 10
	firstPiece = 4 << 10
)

// leastRoom is how little room is not worth another read, unless what is left of the body fits into it.
const leastRoom = 2 << 10

// collect reads the body for the readers of the flight, and stores it when all of it is there. Without wait
// it reads what has come together with the head, so that who leads sends that in one write with it.
func (t *fetching) collect(k store.Key, wait bool) (stored, done bool) {
	var panicked *edge.Fault
	defer func() {
		if panicked != nil {
			t.end(panicked)
			done = true
		}
	}()
	defer edge.Contain(&panicked)
	f, y := t.flight, t.y
	for y.Out != nil {
		if !wait && !t.atHand() {
			return false, false
		}
		if more, err := t.read(k); err != nil {
			t.end(err)
			return false, true
		} else if !more {
			break
		}
	}
	var kept *store.Object
	if !f.Over {
		var fits bool
		if kept, fits = t.c.KeepLatest(k, f.Entry, f.Pieces); !fits {
			t.outgrown(k)
		}
	}
	t.c.flights.Land(t.landed, f)
	f.End(nil, kept)
	t.y.Finish(nil)
	return kept != nil, true
}

// atHand reports whether neither reading on nor keeping what comes can block.
func (t *fetching) atHand() bool {
	return t.y.Out.Ready() && (t.flight.Size >= 0 || t.got+int64(t.room) <= t.flight.Most)
}

// read reads a piece of the body. more reports whether another one may follow.
func (t *fetching) read(k store.Key) (more bool, fault *edge.Fault) {
	f := t.flight
	if n := len(t.buf); n < leastRoom && (n == 0 || f.Size < 0 || f.Size-t.got >= int64(n)) {
		t.buf = make([]byte, t.room)
		if f.Size < 0 {
			t.room = min(2*t.room, pieceSize)
		}
	}
	n, err := t.y.Out.Read(t.buf)
	if t.got <= f.Most && t.got+int64(n) > f.Most {
		t.outgrown(k)
	}
	if n > 0 && !f.Add(t.buf[:n:n]) {
		return false, edge.ClientGone // too large to be stored, and nobody reads it
	}
	t.buf, t.got = t.buf[n:], t.got+int64(n)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, io.EOF):
		return false, nil
	case !errors.As(err, &fault):
		fault = edge.UpstreamTruncated
	}
	return false, fault
}

// outgrown remembers that what is being fetched is too large to be stored: nobody has to wait for the next
// one, and the target is asked for the parts of it.
func (t *fetching) outgrown(k store.Key) {
	t.c.RememberPass(k, t.flight.Entry.Key, t.c.Now())
}

// end ends a fetch whose body has not come to its end.
func (t *fetching) end(fault *edge.Fault) {
	t.c.flights.Land(t.landed, t.flight)
	t.flight.End(fault, nil)
	t.y.Finish(fault)
}

const authorizationKey = "Authorization"

// renew makes what is stored fresh again, after the target said that nothing has changed (RFC 9111
// section 4.3.4). It returns false when what the target speaks of is not what is stored.
func (t *fetching) renew() bool {
	y, c, old, f := t.y, t.c, t.old, t.flight
	d := c.Describe(y, t.auth)
	if !d.Selects(old) || c.Moves(d, old) {
		return false
	}
	o, _, ok := c.Store.Get(t.k, nil)
	if !ok || !o.Complete() || o.Number() != t.number {
		return false
	}
	merged := entry.Merge(old.Lines, d.Lines)
	y.SetHead(old.Status, old.Reason, merged)
	full := c.Describe(y, t.auth)
	full.Asked, full.Came, full.Age = t.asked, c.Now(), d.Age
	why := full.Storable(t.opts, true)
	switch {
	case full.TooManyTags:
		t.own, f.Why = full.Own, outcome.TooManyTags
	case why == fresh.Storable:
		e := c.EntryOf(full, t.opts)
		e.Key, e.Vary, e.Search, e.Forms = old.Key, old.Vary, old.Search, old.Forms
		e.Number, e.Hashes = t.purges, purge.AppendHashes(nil, t.url, full.Tags)
		c.RenewLatest(t.k, t.number, e)
		f.UsesOld, f.Number, f.Age = true, t.number, d.Age*1000
	default:
		t.own, f.Why = full.Own, outcome.NotStorable+outcome.Reason(why) // it was confirmed for who asked, and for nobody else
	}
	f.As, f.Upside = outcome.Revalidated, 304
	t.open(true)
	y.Finish(nil)
	return true
}
