package lookup

import (
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fetch"
	"github.com/penstock-edge/penstock/cache/flight"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge"
)

// NewFetch prepares a fetch of what r asks for.
func (c *Cache) newFetch(x *edge.Exchange, r *record, f *flight.Flight) *fetch.Fetch {
	t := c.Fetcher.NewFetch(x, f, r.Question, r.q.StaleIfError)
	if r.isAnswer() {
		t.Confirm(&r.object, r.lack == outcome.AskedAnew)
	}
	return t
}

// lead fetches for x and for whoever follows.
func (c *Cache) lead(t *fetch.Fetch, x *edge.Exchange, r *record) edge.Verdict {
	first := outcome.Miss
	if t.Old != nil {
		first = outcome.Expired
	}
	r.status, r.why = first, r.lacked
	t.Reader = t.Flight.Read()
	done := t.Run()
	r.upside = t.Exchange.Status()
	switch done {
	case fetch.Failed:
		r.upside = 0
		x.Fault, x.Cause = t.Flight.Fault, t.Flight.Cause
		x.PoolName, x.TargetName = t.Exchange.PoolName, t.Exchange.TargetName
		return edge.Answered
	case fetch.Unfit:
		r.why = t.Flight.Why
		if asksForPart(x) {
			t.Exchange.Finish(edge.ClientGone) // all of it is more than is wanted
			r.upside = 0
			return edge.Next
		}
		x.TakeOver(t.Exchange)
		return edge.Answered
	case fetch.UsesOld:
		return c.serveOld(t, x, r)
	}
	r.stored = t.Stored
	own := *t.Flight.Entry
	own.Lines = t.Own
	return c.serveFlight(x, r, t.Flight, &own, t.Reader, first)
}

// serveOld answers who leads with what was stored before the fetch, if that is what is stored still: another
// answer was not confirmed for this client.
func (c *Cache) serveOld(t *fetch.Fetch, x *edge.Exchange, r *record) edge.Verdict {
	f := t.Flight
	r.metaOnly = false
	if f.As == outcome.Revalidated {
		r.q.Reset() // what the request asks for beyond freshness has been done
	}
	c.find(x, r)
	if !r.isAnswer() || !r.coded && r.object.Number() != t.Number { // one that is encoded is fresh
		r.why = outcome.Forgotten
		return edge.Next
	}
	if t.Own != nil {
		r.entry.Lines = t.Own
	}
	r.upside, r.why = f.Upside, r.lacked
	r.age = r.entry.AgeAt(c.Now())
	return c.serve(x, r, f.As)
}

// refresh has an answer fetched anew that is served stale meanwhile, once.
func (c *Cache) refresh(x *edge.Exchange, r *record) {
	if c.Fetches.Load() >= mostRefreshes || c.Bodies.Full() || x.Req.Has(fetch.Authorization) {
		return
	}
	f, first := c.Flights.Join(r.Key, int64(c.Conf.MaxObject), &c.Bodies)
	if !first {
		return
	}
	t := c.newFetch(x, r, f)
	t.Usable = t.Old != nil
	go t.RunAlone()
}

// mostRefreshes bounds how many fetches nobody waits for.
const mostRefreshes = 1000

// serveFlight makes what a fetch brings the answer, with the head that e has.
func (c *Cache) serveFlight(x *edge.Exchange, r *record, f *flight.Flight, e *entry.Entry, b *flight.Reader,
	as outcome.Status) edge.Verdict {
	r.status = as
	r.age = e.AgeAt(c.Now())
	r.ttl = e.Lifetime - r.age
	r.entry = *e
	b.Source = c.source(x, r)
	if c.unmodified(x, r, e) {
		_ = b.Close() // it is not read
		return edge.Answered
	}
	x.SetHead(e.Status, e.Reason, e.Lines)
	x.Out, x.OutLen = b, f.Size
	switch {
	case f.Size == 0 || string(x.Method) == "HEAD":
		_ = b.Close() // it is not read
		x.Out = nil
	case f.Size > 0:
		if spans, ok := r.asked(x, e, f.Size); ok && len(spans) < 2 {
			c.serveFlightPart(x, r, e, b, f.Size, spans)
		}
	}
	return edge.Answered
}

// serveFlightPart makes one part of what a fetch brings the answer, or 416 if there is none.
func (c *Cache) serveFlightPart(x *edge.Exchange, r *record, e *entry.Entry, b *flight.Reader, length int64,
	spans []fresh.Span) {
	if len(spans) == 0 {
		_ = b.Close() // it is not read
		x.Out = nil
		r.serveNoPart(x, length)
		return
	}
	r.servePart(x, e, spans[0], length)
	x.Out = &flight.Part{B: b, Skip: spans[0].From, Left: spans[0].To - spans[0].From}
}
