package quota

import (
	"fmt"
	"sort"
	"time"
)

// Period is how long a window of a quota is, by the calendar.
type Period uint8

// The periods: a clock hour, a day from midnight to midnight, a month from its first day to the next one's.
const (
	Hour Period = iota
	Day
	Month
)

var periodNames = [...]string{"hour", "day", "month"}

// ParsePeriod reads "hour", "day" or "month"; anything else is an error.
func ParsePeriod(text string) (Period, error) {
	for p, name := range periodNames {
		if name == text {
			return Period(p), nil
		}
	}
	return 0, fmt.Errorf("the period %q is none of hour, day and month", text)
}

// String returns what ParsePeriod reads.
func (p Period) String() string {
	if int(p) >= len(periodNames) {
		return fmt.Sprintf("Period(%d)", uint8(p))
	}
	return periodNames[p]
}

// Window returns the window that t is in, from start up to but not including end, in the zone loc (nil:
// UTC). Windows follow each other without a gap and without an overlap, whatever the clocks of the zone do:
// the day of a change has 23 or 25 hours, and the hour that comes twice is two windows. A day begins when
// the clocks show it for the first time; when they go back over midnight after that, it goes on.
func (p Period) Window(t time.Time, loc *time.Location) (start, end time.Time) {
	if loc == nil {
		loc = time.UTC
	}
	from, to := zoneIn{loc}.window(p, t.Unix())
	return time.Unix(from, 0).In(loc), time.Unix(to, 0).In(loc)
}

// fits reports whether a window of so many nanoseconds is one of the period.
func (p Period) fits(length int64) bool {
	const hour, mostDay = int64(time.Hour), 3 * 24 * int64(time.Hour)
	switch p {
	case Hour:
		return length <= hour
	case Month:
		return length > mostDay
	}
	return length > hour && length <= mostDay
}

// zoneIn computes in seconds since 1970. It asks for nothing but the offset at a moment: the bounds that
// time.Time knows of an offset are now and then not those of a change, and may even end before that moment.
type zoneIn struct{ *time.Location }

// farthest is more than any zone was ever away from UTC.
const farthest = 17 * 3600

// offset is how many seconds the clocks are ahead of UTC.
func (z zoneIn) offset(at int64) int64 {
	_, offset := time.Unix(at, 0).In(z.Location).Zone()
	return int64(offset)
}

// change returns when the offset that holds at from changes: after from and not after to. It is to when it
// does not change until then. No zone changes its offset twice in an hour, which is as far as to may be away.
func (z zoneIn) change(from, to int64) int64 {
	offset := z.offset(from)
	if z.offset(to) == offset {
		return to
	}
	return from + 1 + int64(sort.Search(int(to-from-1), func(i int) bool {
		return z.offset(from+1+int64(i)) != offset
	}))
}

func (z zoneIn) window(p Period, at int64) (start, end int64) {
	if p == Hour {
		return z.hour(at)
	}
	y, m, d := time.Unix(at, 0).In(z.Location).Date()
	if p == Month {
		d = 1
	}
	start = z.midnight(y, m, d)
	for {
		if p == Month {
			m++
		} else {
			d++
		}
		end = z.midnight(y, m, d)
		if at < end {
			return start, end
		}
		// The clocks went back over a midnight: they show the date of yesterday, and today has begun already.
		start = end
	}
}

// hour is a clock hour, cut where the zone changes its offset: some change it at half past, or by half an
// hour.
func (z zoneIn) hour(at int64) (start, end int64) {
	offset := z.offset(at)
	past := (at + offset) % 3600
	if past < 0 {
		past += 3600
	}
	start, end = at-past, at-past+3600
	if z.offset(start) != offset {
		start = z.change(start, at)
	}
	return start, z.change(at, end)
}

// midnight returns the first moment at which the clocks show 00:00 of the date, or more: where they are put
// forward at midnight there is no 00:00.
func (z zoneIn) midnight(y int, m time.Month, d int) int64 {
	wall := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()
	for at := wall - farthest; at <= wall+farthest; {
		hit := wall - z.offset(at)
		if hit <= at {
			return at
		}
		next := z.change(at, at+3600)
		if hit < next {
			return hit
		}
		at = next
	}
	panic("BUG: a zone is farther away from UTC than any ever was")
}
