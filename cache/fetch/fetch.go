// Package fetch asks the target for an answer on behalf of a cache, decides what is stored of it, and
// collects its body.
package fetch

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

// State is what of the fetches for a cache outlives a reload.
type State struct {
	*records.Records
	Flights flight.Group
	Fetches atomic.Int64 // under way
	Bodies  flight.Budget
}

// NewState returns the state of a cache without fetches; size is that of its memory.
func NewState(r *records.Records, size int64) *State {
	return &State{Records: r, Bodies: flight.Budget{Most: size / 4}}
}

// Fetcher fetches for a cache in one generation.
type Fetcher struct {
	*State
	entry.Maker
	MaxObject int64 // bytes of a body that is stored
}

// Question is what a request asks a cache for.
type Question struct {
	Route string         // what of the route its keys begin with, see resource
	Opts  *fresh.Options // that hold for the answer
	Keyed bool           // the method and the body are in the key
	Exact []byte         // the key of the request alone
	URL   []byte         // in exact
	Text  []byte         // the whole key of the answer: exact, or by a rule for queries, and what Vary adds
	Key   store.Key      // of text
}

// Fetch is one fetch: an exchange of its own, since the client that it began for may leave while
// others wait for it too.
type Fetch struct {
	Question
	c        *Fetcher
	Exchange *edge.Exchange
	Flight   *flight.Flight
	landed   store.Key // where the flight is known
	second   store.Key // where it is known besides, once the head is there; zero before
	body     []byte    // of the request, if it is in the key
	auth     bool      // the request has Authorization
	// errorSeconds is the request's stale-if-error; less than 0: none.
	errorSeconds int64
	Own          []byte         // the lines of the answer's head that are for the leader
	Old          *entry.Entry   // what was found and is to be asked about; nil: nothing
	Number       uint64         // of old's body
	Usable       bool           // old may be used without asking, but not for this request
	Stored       bool           // the answer was stored before its head left
	Reader       *flight.Reader // of who leads
	opened       bool
	buf          []byte // room for the next piece of the body
	room         int    // how large the next buf is
	got          int64  // bytes of the body
	refreshes    bool   // nobody waits for it but the cache
	asked        int64  // milliseconds since 1970
	purges       int64  // the number of the latest purge then
}

// NewFetch prepares a fetch of what q asks for, on behalf of x.
func (c *Fetcher) NewFetch(x *edge.Exchange, f *flight.Flight, q Question, errorSeconds int64) *Fetch {
	q.Text, q.Exact, q.URL = bytes.Clone(q.Text), bytes.Clone(q.Exact), bytes.Clone(q.URL)
	t := &Fetch{Question: q, c: c, Flight: f, landed: q.Key, errorSeconds: errorSeconds}
	t.Exchange = c.Rules.Copy(x)
	if t.auth = x.Req.Has(Authorization); t.Keyed {
		body, _ := x.WholeIn() // it is, since the key has been made of it
		t.body = bytes.Clone(body)
		t.carry(x.Method)
	}
	return t
}

// Confirm makes the fetch ask whether a stored answer still holds. usable reports whether that may be used
// without asking, but not for this request.
func (t *Fetch) Confirm(o *store.Object, usable bool) {
	old := new(entry.Entry)
	if old.Parse(bytes.Clone(o.Meta)) == nil {
		t.Old, t.Number, t.Usable = old, o.Number(), usable
		t.condition()
	}
}

// carry gives the fetch the method and the body of the request that it is for.
func (t *Fetch) carry(method []byte) {
	y := t.Exchange
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
func (t *Fetch) condition() {
	if string(t.Exchange.Method) == "POST" { // which has none (RFC 9110 section 13.1.2)
		return
	}
	if len(t.Old.ETag) > 0 {
		t.Exchange.Req.SetBytes("If-None-Match", t.Old.ETag)
	}
	if t.Old.Modified != 0 {
		t.Exchange.Req.Set("If-Modified-Since", time.UnixMilli(t.Old.Modified).UTC().Format(http.TimeFormat))
	}
}

// RunAlone fetches for nobody but the cache.
func (t *Fetch) RunAlone() {
	var f *edge.Fault // written to the log by Contain
	defer edge.Contain(&f)
	t.refreshes = true
	if t.Run() == Unfit {
		t.Exchange.Finish(nil)
	}
}

// Ending is what a fetch has come to.
type Ending uint8

const (
	Fetched Ending = iota // there is a new answer, in the flight
	UsesOld               // what is stored is the answer
	Unfit                 // the answer, which is in y, is not to be stored
	Failed                // there is none
)

// Run fetches up to the head of the answer and says what is to be made of it. The body is collected and
// stored from then on.
func (t *Fetch) Run() Ending {
	c := t.c
	c.Fetches.Add(1)
	defer c.Fetches.Add(-1)
	defer func() {
		if !t.opened { // after a panic
			t.Flight.Fault = edge.Internal
			t.open(true)
		}
	}()
	for {
		t.asked, t.purges = c.Now(), c.Purges.Latest.Load()
		f := edge.Fetch(t.Exchange)
		switch {
		case f != nil:
			return t.fail(f)
		case t.Exchange.Local:
			return t.pass(outcome.Local, false)
		case t.Exchange.Status() == 304 && t.Old != nil:
			if t.renew() {
				return UsesOld
			}
			t.again()
		case fresh.IsError(t.Exchange.Status()) && t.rescues():
			return t.keepOld(outcome.Rescued)
		default:
			return t.store()
		}
	}
}

// open lets those go on who wait for the head; land reports whether nobody can join any more.
func (t *Fetch) open(land bool) {
	t.opened, t.Flight.Asked = true, t.asked
	close(t.Flight.Head)
	if land {
		t.land()
	}
}

// land takes the flight from where it can be joined.
func (t *Fetch) land() {
	t.c.Flights.Land(t.landed, t.Flight)
	t.c.Flights.Land(t.second, t.Flight)
}

// fail ends a fetch without an answer.
func (t *Fetch) fail(f *edge.Fault) Ending {
	own := *f // one that belongs to y is gone soon
	t.Flight.Fault, t.Flight.Cause, t.Flight.Bad = &own, t.Exchange.Cause, fresh.IsError(f.Status)
	if fresh.IsError(f.Status) && t.rescues() {
		return t.keepOld(outcome.Rescued)
	}
	t.open(true)
	t.Exchange.Finish(f)
	return Failed
}

// keepOld makes what is stored the answer for all.
func (t *Fetch) keepOld(as outcome.Status) Ending {
	t.Flight.UsesOld, t.Flight.As = true, as
	if t.Exchange.Fault == nil {
		t.Flight.Upside = t.Exchange.Status()
	}
	t.Flight.Number = t.Number
	t.open(true)
	t.Exchange.Finish(t.Exchange.Fault)
	return UsesOld
}

// rescues reports whether what was found may be used since the target fails (RFC 5861 section 4).
func (t *Fetch) rescues() bool {
	return t.Old != nil && t.c.Rescues(t.Old, t.errorSeconds)
}

// Rescues reports whether an entry may be used when the target fails; seconds is what the request says of
// that.
func (c *Fetcher) Rescues(e *entry.Entry, seconds int64) bool {
	most := e.Rescue // 0 where the answer forbids it
	if e.Flags&entry.MustRevalidate == 0 && !fresh.IsError(e.Status) {
		most = max(most, seconds*1000)
	}
	return e.Flags&entry.AlwaysAsk == 0 && most > 0 && e.AgeAt(c.Now())-e.Lifetime <= most
}

// pass leaves the answer to who leads; the others ask for themselves, and those that come in the next
// seconds as well, if that is to be remembered. It changes nothing that is stored and of use: what the target
// said to this client is not about others.
func (t *Fetch) pass(why outcome.Reason, remember bool) Ending {
	status := t.Exchange.Status()
	t.Flight.Why, t.Flight.Bad, t.Flight.Upside = why, fresh.IsError(status), status
	switch {
	case !remember || t.auth || !ordinary(status):
	case t.refreshes:
		if !t.c.HoldsFresh(t.Key, t.Text) {
			t.c.Forget(t.Key, t.Text) // it is stale, and no longer what the target has for all
		}
	default:
		t.c.RememberPass(t.Key, t.Text, t.asked)
	}
	t.open(true)
	return Unfit
}

// ordinary reports whether an answer says something of the resource, and not of the request that asked, of
// its client, or of a target in trouble.
func ordinary(status int) bool { return status < 400 || status == 404 || status == 410 }

// again prepares a request without conditions: the target has confirmed another answer than ours.
func (t *Fetch) again() {
	t.Exchange.Finish(nil)
	y := new(edge.Exchange)
	t.Exchange.Fork(y, nil)
	y.Req.Del("If-None-Match")
	y.Req.Del("If-Modified-Since")
	if !t.c.HoldsUseful(t.Key, t.Text) {
		t.c.Forget(t.Key, t.Text)
	}
	t.Exchange, t.Old = y, nil
	if t.Keyed {
		t.carry(y.Method)
	}
}

// store stores the answer, if that may be.
func (t *Fetch) store() Ending {
	y, c := t.Exchange, t.c
	d := c.Describe(y, t.auth)
	d.Asked, d.Came = t.asked, c.Now()
	if t.Keyed {
		d.Search = nil // the rule would have to be about the body
	}
	switch why := d.Storable(t.Opts, d.Validates()); {
	case why != fresh.Storable:
		return t.pass(outcome.NotStorable+outcome.Reason(why), why.Lasts())
	case t.Usable && d.Status >= 500:
		return t.pass(outcome.BesideCopy, false) // an error says nothing of what is stored (RFC 9111 section 4.3.3)
	}
	if y.OutLen > c.MaxObject {
		return t.pass(outcome.TooLarge, true)
	}
	if d.TooManyTags {
		return t.pass(outcome.TooManyTags, true)
	}
	e := c.EntryOf(d, t.Opts)
	k := t.address(e, d)
	e.Number, e.Hashes = t.purges, purge.AppendHashes(nil, t.URL, d.Tags)
	f := t.Flight
	f.Entry, f.Size, f.Age = e, y.OutLen, d.Age*1000
	if t.Own = e.Lines; len(d.Own) != len(d.Lines) {
		t.Own = d.Own
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
	if t.Stored, done = t.collect(k, whole); !done {
		go t.collect(k, true)
	}
	return Fetched
}

// address gives an entry its whole key and returns what it is found by. Where answers differ, or have a rule
// for queries, it puts up signs that lead there; whoever comes by them joins the flight.
func (t *Fetch) address(e *entry.Entry, d *entry.Description) store.Key {
	c := t.c
	var signs []*entry.Entry
	e.Key = t.Exact
	var q fresh.QueryRule
	if len(e.Search) > 0 && q.ParseRule(e.Search) == nil {
		by := c.Rules.AppendByRule(nil, t.Exchange, t.Route, nil)
		signs = append(signs, &entry.Entry{At: e.At, Flags: entry.IsSearch, Search: e.Search, Key: by})
		e.Key = c.Rules.AppendByRule(nil, t.Exchange, t.Route, &q)
	}
	if len(e.Vary) == 0 {
		e.Vary = c.VariesBy(e.Key)
	}
	// By cookies alone nothing is added: those that count are in the key.
	offer := accept.Codings(t.Exchange)
	e.Forms = accept.FormOf(d.Coding, d.Foreign, offer)
	whole, encoded := key.AppendVariant(bytes.Clone(e.Key), e.Vary, t.Exchange, offer)
	if encoded {
		whole[len(whole)-1] = e.Forms.Slot()
	}
	if len(whole) > len(e.Key) {
		known := e.Forms & accept.Known
		signs = append(signs, &entry.Entry{At: e.At, Flags: entry.IsSign, Forms: known, Vary: e.Vary, Key: e.Key})
		e.Key = whole
	}
	k := c.Hash(e.Key)
	t.second = k
	c.Flights.Also(k, t.landed, t.Flight) // before a sign is up
	for _, sign := range signs {
		c.PutUp(sign)
		if sign.Flags&entry.IsSearch != 0 {
			c.Searching.Store(true)
		}
	}
	return k
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
func (t *Fetch) collect(k store.Key, wait bool) (stored, done bool) {
	var panicked *edge.Fault
	defer func() {
		if panicked != nil {
			t.end(panicked)
			done = true
		}
	}()
	defer edge.Contain(&panicked)
	f, y := t.Flight, t.Exchange
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
	t.land()
	f.End(nil, kept)
	t.Exchange.Finish(nil)
	return kept != nil, true
}

// atHand reports whether neither reading on nor keeping what comes can block.
func (t *Fetch) atHand() bool {
	return t.Exchange.Out.Ready() && (t.Flight.Size >= 0 || t.got+int64(t.room) <= t.Flight.Most)
}

// read reads a piece of the body. more reports whether another one may follow.
func (t *Fetch) read(k store.Key) (more bool, fault *edge.Fault) {
	f := t.Flight
	if n := len(t.buf); n < leastRoom && (n == 0 || f.Size < 0 || f.Size-t.got >= int64(n)) {
		t.buf = make([]byte, t.room)
		if f.Size < 0 {
			t.room = min(2*t.room, pieceSize)
		}
	}
	n, err := t.Exchange.Out.Read(t.buf)
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
func (t *Fetch) outgrown(k store.Key) {
	t.c.RememberPass(k, t.Flight.Entry.Key, t.c.Now())
}

// end ends a fetch whose body has not come to its end.
func (t *Fetch) end(fault *edge.Fault) {
	t.land()
	t.Flight.End(fault, nil)
	t.Exchange.Finish(fault)
}

// Authorization is the field of requests whose answers may be for one client alone.
const Authorization = "Authorization"

// renew makes what is stored fresh again, after the target said that nothing has changed (RFC 9111
// section 4.3.4). It returns false when what the target speaks of is not what is stored.
func (t *Fetch) renew() bool {
	y, c, old, f := t.Exchange, t.c, t.Old, t.Flight
	d := c.Describe(y, t.auth)
	if !d.Selects(old) || c.Moves(d, old) {
		return false
	}
	o, _, ok := c.Store.Get(t.Key, nil)
	if !ok || !o.Complete() || o.Number() != t.Number {
		return false
	}
	merged := entry.Merge(old.Lines, d.Lines)
	for v := range y.Resp.All(entry.TargetedField) { // it counts, and is in no lines that are stored
		merged = append(append(append(merged, entry.TargetedField+": "...), v...), "\r\n"...)
	}
	y.SetHead(old.Status, old.Reason, merged)
	full := c.Describe(y, t.auth)
	full.Asked, full.Came, full.Age = t.asked, c.Now(), d.Age
	why := full.Storable(t.Opts, true)
	switch {
	case full.TooManyTags:
		t.Own, f.Why = full.Own, outcome.TooManyTags
	case why == fresh.Storable:
		e := c.EntryOf(full, t.Opts)
		e.Key, e.Vary, e.Search, e.Forms = old.Key, old.Vary, old.Search, old.Forms
		e.Number, e.Hashes = t.purges, purge.AppendHashes(nil, t.URL, full.Tags)
		c.RenewLatest(t.Key, t.Number, e)
		f.UsesOld, f.Number, f.Age = true, t.Number, d.Age*1000
	default:
		// It was confirmed for the one who asked, and for nobody else.
		t.Own, f.Why = full.Own, outcome.NotStorable+outcome.Reason(why)
	}
	f.As, f.Upside = outcome.Revalidated, 304
	t.open(true)
	y.Finish(nil)
	return true
}
