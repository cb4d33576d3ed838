// Package quota counts what keys use in long windows of the calendar: hours, days and months. The counts
// are in memory, and in one file that is replaced as a whole, so that they survive a restart. README.md says
// what is promised and what it costs.
package quota

import (
	"math"
	"time"

	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// Rule is what a key may use. All calls for a Store have the same one, but that it may be changed; what a key
// has used stays used then. Another zone holds from the end of the window that the key is in.
type Rule struct {
	Limit  int64          // in each window; less than 0 counts as 0
	Period Period         // of the windows
	Zone   *time.Location // whose clocks decide when a window begins; nil: UTC
}

// TryCharge charges cost (less than 0 counts as 0) to a key, if no more than the limit is then used in the
// window of the moment at, which is nanoseconds since 1970. It takes no lock and allocates nothing when the
// key is known and its window has not ended.
//
// Of the result, Remaining is what may be used yet in this window (less than 0: more was charged than
// allowed), Reset is the time until the window ends, and Retry is the same or, for a cost above the limit,
// less than 0.
func (s *Store) TryCharge(k bucket.Key, at int64, cost int64, r *Rule) bucket.Result {
	cost, limit := max(cost, 0), max(r.Limit, 0)
	p := s.place(k)
	for {
		e := p.find()
		if e == nil && (cost == 0 || cost > limit) {
			return s.window(at, r).result(at, 0, cost, limit)
		}
		e, used := s.current(&p, e, at, r)
		switch {
		case used == gone:
		case cost > limit-used:
			return e.result(at, used, cost, limit)
		case cost == 0 || e.used.CompareAndSwap(used, used+cost):
			s.changed(cost)
			res := e.result(at, used+cost, 0, limit)
			res.OK, res.Retry = true, 0
			return res
		}
	}
}

// Charge adds cost to what a key has used, whether or not that is more than the limit: what is known only
// after the fact. A cost below 0 gives back; less than nothing is never used. OK reports whether the key is
// within its limit now. The rest is as in TryCharge.
func (s *Store) Charge(k bucket.Key, at int64, cost int64, r *Rule) bucket.Result {
	limit := max(r.Limit, 0)
	p := s.place(k)
	for {
		e := p.find()
		if e == nil && cost <= 0 {
			return s.window(at, r).result(at, 0, 0, limit)
		}
		e, used := s.current(&p, e, at, r)
		if used == gone {
			continue
		}
		next := used + max(cost, -used)
		if next < 0 {
			next = math.MaxInt64
		}
		if e.used.CompareAndSwap(used, next) {
			s.changed(next - used)
			return e.result(at, next, 0, limit)
		}
	}
}

// Reset forgets what a key has used in the window of the moment at, and reports whether that was anything.
func (s *Store) Reset(k bucket.Key, at int64) bool {
	p := s.place(k)
	for {
		e, used := p.look()
		switch {
		case e == nil || used == 0:
			return false
		case used != gone && e.used.CompareAndSwap(used, 0):
			s.changed(used)
			return at < e.end
		}
	}
}

// Peek returns what TryCharge would, but charges nothing: Remaining is what may be used before that.
func (s *Store) Peek(k bucket.Key, at int64, cost int64, r *Rule) bucket.Result {
	cost, limit := max(cost, 0), max(r.Limit, 0)
	p := s.place(k)
	e, used := p.look()
	switch {
	case e == nil:
		used = 0
	case e.covers(at, r.Period):
		return e.result(at, used, cost, limit)
	case at >= e.end:
		used = 0
	}
	return s.window(at, r).result(at, used, cost, limit)
}

// current returns the entry to count in and what is used in it, given the one that was found. When used is
// gone it has been replaced meanwhile.
func (s *Store) current(p *place, e *entry, at int64, r *Rule) (_ *entry, used int64) {
	if e != nil && e.covers(at, r.Period) {
		if used = e.used.Load(); used != gone {
			return e, used
		}
	}
	e = s.renew(p, at, r.Period, s.window(at, r))
	s.changed(1) // the window at least
	return e, e.used.Load()
}

// span is a window, in nanoseconds since 1970.
type span struct{ start, end int64 }

// recent is the window that was asked for last, and what it is one of.
type recent struct {
	span
	period Period
	zone   *time.Location
}

// window returns the window of a moment.
func (s *Store) window(at int64, r *Rule) span {
	w := s.recent.Load()
	if w != nil && w.period == r.Period && w.zone == r.Zone && at >= w.start && at < w.end {
		return w.span
	}
	start, end := r.Period.Window(time.Unix(0, at), r.Zone)
	w = &recent{span{start.UnixNano(), end.UnixNano()}, r.Period, r.Zone}
	s.recent.Store(w)
	return w.span
}

// covers reports whether what is used at a moment belongs to the window. When the clock goes back by no more
// than the length of the window, or than grace, that is still so.
func (w span) covers(at int64, p Period) bool {
	length := w.end - w.start
	return at < w.end && at >= w.start-max(length, grace) && p.fits(length)
}

// result reports whether cost more may be used when used is.
func (w span) result(at, used, cost, limit int64) bucket.Result {
	r := bucket.Result{Remaining: limit - used, Reset: time.Duration(w.end - at)}
	switch {
	case cost <= limit-used:
		r.OK = true
	case cost > limit:
		r.Retry = -1
	default:
		r.Retry = r.Reset
	}
	return r
}
