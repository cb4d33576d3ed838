package lookup

import (
	"bytes"
	"time"

	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fetch"
	"github.com/penstock-edge/penstock/cache/flight"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// fetchFor fetches the answer, or waits for a fetch that is in flight and whose answer may be the one.
func (c *Cache) fetchFor(x *edge.Exchange, r *record) edge.Verdict {
	if c.Bodies.Full() {
		r.status, r.why = outcome.Miss, outcome.TooManyFetches
		return edge.Next
	}
	if x.Req.Has(fetch.Authorization) {
		if asksForPart(x) {
			r.status, r.why = outcome.Miss, outcome.AuthorizedPart
			return edge.Next // what it brings is rarely stored
		}
		// Shared with nobody: the answer may be its own.
		return c.fetchAlone(x, r)
	}
	if r.found && r.entry.ForNobodyElse() {
		return c.fetchAlone(x, r) // so will the next one be
	}
	f, first := c.Flights.Join(r.Key, int64(c.Conf.MaxObject), &c.Bodies)
	switch {
	case first && r.absent && r.again < mostLooks && c.Store.Has(r.Key):
		return c.findAgain(x, r, f)
	case first:
		return c.lead(c.newFetch(x, r, f), x, r)
	case r.q.NoCache: // RFC 9111 section 5.2.1.4: another request's answer is none to this one
		return c.fetchAlone(x, r)
	}
	return c.follow(x, r, f)
}

// mostLooks is how often a request looks again: at the URL, among answers that differ by Vary, once more.
const mostLooks = 3

// findAgain goes on when an answer has been stored since it was looked for, by a fetch that ended before f
// began.
func (c *Cache) findAgain(x *edge.Exchange, r *record, f *flight.Flight) edge.Verdict {
	r.again++
	f.Nothing = true // those that have joined f look as well
	close(f.Head)
	c.Flights.Land(r.Key, f)
	return c.lookAgain(x, r)
}

// lookAgain serves what has been stored meanwhile, or fetches: there may be an answer for other values of the
// fields in Vary.
func (c *Cache) lookAgain(x *edge.Exchange, r *record) edge.Verdict {
	if use := c.find(x, r); use != fresh.Ask {
		r.why = outcome.None
		return c.serve(x, r, outcome.Collapsed)
	}
	return c.fetchFor(x, r)
}

// fetchAlone fetches for x and shares with nobody that waits.
func (c *Cache) fetchAlone(x *edge.Exchange, r *record) edge.Verdict {
	return c.lead(c.newFetch(x, r, flight.New(int64(c.Conf.MaxObject), &c.Bodies)), x, r)
}

// findOrFetchAlone goes on when the answer that r waited for is none that it may use without asking (RFC 9111
// sections 4 and 5.2.2.4).
func (c *Cache) findOrFetchAlone(x *edge.Exchange, r *record) edge.Verdict {
	r.why = outcome.None
	if use := c.find(x, r); use != fresh.Ask {
		return c.serve(x, r, outcome.Collapsed)
	}
	return c.fetchAlone(x, r)
}

// follow waits for the fetch of another request.
func (c *Cache) follow(x *edge.Exchange, r *record, f *flight.Flight) edge.Verdict {
	r.status, r.why = outcome.Miss, outcome.WaitedTooLong
	timeout := c.Conf.WaitTimeout
	if x.Deadline > 0 {
		timeout = min(timeout, time.Duration(x.Deadline-clock.Now()))
	}
	if !f.Await(x, timeout) {
		return c.stopFollowing(x, r)
	}
	switch {
	case f.Nothing:
		return c.lookAgain(x, r)
	case (f.Bad || f.As == outcome.Rescued) && c.rescue(x, r):
		r.upside = f.Upside
		return edge.Answered
	case f.UsesOld && f.As != outcome.Rescued:
		return c.followOld(x, r, f)
	case f.Fault != nil:
		x.Fault, x.Cause = f.Fault, f.Cause
		return edge.Answered
	case f.Entry == nil:
		r.status, r.why = outcome.Passed, outcome.NotForAll
		return edge.Next
	}
	text := c.keyFor(x, r, f.Entry)
	if !bytes.Equal(text, f.Entry.Key) {
		return c.followVariant(x, r)
	}
	if !c.shares(f.Entry, f.AgeFor(r.now), r) {
		return c.findOrFetchAlone(x, r)
	}
	r.why = outcome.None
	if b := f.Read(); b != nil {
		return c.serveFlight(x, r, f, f.Entry, b, outcome.Collapsed)
	}
	// All others have read it, and it is stored by now; or it was too large, and each fetches it.
	if use := c.find(x, r); use != fresh.Ask {
		return c.serve(x, r, outcome.Collapsed)
	}
	return edge.Next
}

// stopFollowing goes on when the wait for a fetch has ended without it.
func (c *Cache) stopFollowing(x *edge.Exchange, r *record) edge.Verdict {
	if x.Conn.Gone() {
		x.Fault = edge.ClientGone
		return edge.Answered
	}
	if c.rescue(x, r) {
		return edge.Answered
	}
	return edge.Next
}

// keyFor returns the whole key of the request, if the answers to it are told apart as e is. It uses the
// memory of r.Text.
func (c *Cache) keyFor(x *edge.Exchange, r *record, e *entry.Entry) []byte {
	text := append(r.Text[:0], r.Exact...)
	if len(e.Search) > 0 && r.rule.ParseRule(e.Search) == nil {
		text = c.Rules.AppendByRule(text[:0], x, r.Route, &r.rule)
	}
	if len(e.Vary) > 0 {
		var encoded bool
		if text, encoded = key.AppendVariant(text, e.Vary, x, r.accepts); encoded {
			text[len(text)-1] = e.Forms.SlotFor(r.accepts)
		}
	}
	return text
}

// shares reports whether a request that has waited may use an answer of this age without asking.
func (c *Cache) shares(e *entry.Entry, age int64, r *record) bool {
	strict, ask := e.Flags&entry.MustRevalidate != 0, e.Flags&entry.AlwaysAsk != 0
	return fresh.Decide(age, e.Lifetime, e.Revive, strict, ask, &r.q) != fresh.Ask
}

// followOld goes on when what is stored was confirmed for the one who fetched: it is the answer for all who
// may use it as it is now.
func (c *Cache) followOld(x *edge.Exchange, r *record, f *flight.Flight) edge.Verdict {
	c.find(x, r)
	if !r.isAnswer() || !r.coded && r.object.Number() != f.Number ||
		!c.shares(&r.entry, f.AgeFor(r.now), r) {
		return c.findOrFetchAlone(x, r)
	}
	r.why, r.upside = r.lacked, f.Upside
	r.age = r.entry.AgeAt(c.Now())
	return c.serve(x, r, f.As)
}

// isAnswer reports whether what was found is an answer, all of it.
func (r *record) isAnswer() bool {
	return r.found && r.entry.Flags&entry.NotAnswer == 0 && r.object.Complete()
}

// followVariant goes on when the answer it waited for is for other values of the fields in Vary. What these
// are is known by now, so that it can wait with those that want the same.
func (c *Cache) followVariant(x *edge.Exchange, r *record) edge.Verdict {
	if use := c.find(x, r); use != fresh.Ask {
		r.why = outcome.None
		return c.serve(x, r, outcome.Collapsed)
	}
	if r.second {
		r.why = outcome.OtherVariant
		return edge.Next
	}
	r.second = true
	return c.fetchFor(x, r)
}
