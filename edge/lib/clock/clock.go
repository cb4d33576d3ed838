// Package clock reads time cheaply: a monotonic count of nanoseconds that a request
// takes once and passes along, and a wall clock made out of it.
package clock

import (
	"sync/atomic"
	"time"
)

// base is the zero of Now.
var base = time.Now()

// Now returns the nanoseconds since the process started, by the monotonic clock: it
// never goes back and does not follow changes of the wall clock.
func Now() int64 { return int64(time.Since(base)) }

// httpDate is IMF-fixdate, RFC 9110 section 5.6.7; the time must be in UTC.
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// Coarse is a wall clock that looks at the real one once a second and counts on from
// there by the monotonic clock. The caller that finds it a second old refreshes it
// (one allocation): there is no goroutine. The zero value is ready; it may be shared.
type Coarse struct {
	now atomic.Pointer[stamp] // nil before the first use
}

// stamp is what holds for one second of the wall clock. It never changes.
type stamp struct {
	mono int64 // Now() when it was made
	next int64 // Now() when the next wall second begins
	unix int64 // wall clock at mono, nanoseconds since 1970
	date [len(httpDate)]byte
}

// HTTPDate returns the time as a Date header gives it (RFC 9110 section 6.6.1). The
// bytes are never written again: they may be kept, and must not be changed.
func (c *Coarse) HTTPDate() []byte { return c.HTTPDateAt(Now()) }

// HTTPDateAt is HTTPDate for a caller that has read Now already.
func (c *Coarse) HTTPDateAt(now int64) []byte { return c.at(now).date[:] }

// UnixNano turns a recent reading of Now into nanoseconds since 1970. Readings up to
// a few seconds back stay exact unless the wall clock was set in between.
func (c *Coarse) UnixNano(now int64) int64 {
	s := c.at(now)
	return s.unix + now - s.mono
}

// Time is UnixNano as a time in UTC.
func (c *Coarse) Time(now int64) time.Time { return time.Unix(0, c.UnixNano(now)).UTC() }

func (c *Coarse) at(now int64) *stamp {
	s := c.now.Load()
	if s != nil && now < s.next {
		return s
	}
	return c.refresh(s)
}

// refresh replaces old. When several callers do it at once one wins, and all of them
// use what it made.
func (c *Coarse) refresh(old *stamp) *stamp {
	wall := time.Now()
	s := &stamp{mono: int64(wall.Sub(base)), unix: wall.UnixNano()}
	s.next = s.mono + int64(time.Second) - int64(wall.Nanosecond())
	wall.UTC().AppendFormat(s.date[:0], httpDate)
	if c.now.CompareAndSwap(old, s) {
		return s
	}
	return c.now.Load()
}
