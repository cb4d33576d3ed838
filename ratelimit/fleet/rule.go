package fleet

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/ratelimit/bucket"
	"github.com/penstock-edge/penstock/ratelimit/quota"
)

// Rule is what a limit promises over the whole fleet.
type Rule struct {
	kind   string // of limitScript
	limit  float64
	gain   float64       // events a nanosecond, of GCRA
	per    time.Duration // of a sliding window
	period quota.Period  // of a quota
	zone   *time.Location

	span atomic.Pointer[span] // of the quota; nil before the first use
}

// span is a window of the calendar.
type span struct{ start, end time.Time }

// NewGCRA is count events in each per, and burst at once after a pause.
func NewGCRA(count int64, per time.Duration, burst int64) *Rule {
	return &Rule{kind: "g", limit: float64(burst), gain: float64(count) / float64(per)}
}

// NewWindow is at most limit events in each per, by a sliding window.
func NewWindow(limit int64, per time.Duration) *Rule {
	return &Rule{kind: "w", limit: float64(limit), per: per}
}

// NewQuota is at most limit events in each period of the calendar of the zone.
func NewQuota(limit int64, period quota.Period, zone *time.Location) *Rule {
	return &Rule{kind: "q", limit: float64(limit), period: period, zone: zone}
}

// same reports whether two rules are alike.
func (r *Rule) same(o *Rule) bool {
	return r.limit == o.limit && r.gain == o.gain && r.per == o.per && r.period == o.period && r.zone == o.zone
}

// tellWithin is longer than a charge that is given back waits until the server is told of it.
const tellWithin = 100 * time.Millisecond

// unspent returns how much of a charge, made by at, the key still has spent when the server is told at about
// now, to a sixteenth of an event: no more may be given back, or the key would get what it has had already.
func (r *Rule) unspent(charge int64, at, now time.Time) int64 {
	told := now.Add(tellWithin)
	switch r.kind {
	case "g":
		return max(charge-int64(math.Ceil(r.gain*float64(told.Sub(at))-1.0/16)), 0)
	case "w":
		if at.UnixNano()/int64(r.per) != told.UnixNano()/int64(r.per) {
			return 0 // it counts for the window before
		}
	case "q":
		if !r.window(at).start.Equal(r.window(told).start) {
			return 0
		}
	}
	return charge
}

// arguments are the three numbers of limitScript.
func (r *Rule) arguments(now time.Time) [3]string {
	switch r.kind {
	case "g":
		return [3]string{number(r.gain * 1000), number(r.limit), "0"}
	case "w":
		return [3]string{number(r.limit), strconv.FormatInt(r.per.Microseconds(), 10), "0"}
	}
	s := r.window(now)
	return [3]string{number(r.limit), strconv.FormatInt(s.end.UnixMilli(), 10),
		strconv.FormatInt(s.start.UnixMilli(), 10)}
}

// number writes a number without an exponent, which not every server's Lua reads.
func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// window returns the window of the calendar that now is in.
func (r *Rule) window(now time.Time) *span {
	s := r.span.Load()
	if s == nil || now.Before(s.start) || !now.Before(s.end) {
		s = &span{}
		s.start, s.end = r.period.Window(now, r.zone)
		r.span.Store(s)
	}
	return s
}

// rate is how fast a part of the limit comes back where only this gateway counts, events a nanosecond.
func (r *Rule) rate() float64 {
	if r.kind == "w" {
		return r.limit / float64(r.per)
	}
	return r.gain
}

// full returns the longest time after which all of the limit is there again.
func (r *Rule) full(now time.Time) time.Duration {
	switch r.kind {
	case "g":
		return time.Duration(nanoseconds(r.limit / r.gain))
	case "w":
		return 2 * r.per
	}
	return r.window(now).end.Sub(now)
}

// HashKey returns the key of some bytes, the same on each gateway. Nobody can choose others with the same
// key.
func HashKey(b []byte) bucket.Key {
	sum := sha256.Sum256(b)
	return bucket.Key{binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])}
}

// appendName appends the name that a key of a limit has on the server.
func appendName(dst []byte, stem string, r *Rule, k bucket.Key) []byte {
	dst = append(append(append(dst, stem...), r.kind...), ':')
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:], k[0])
	binary.LittleEndian.PutUint64(raw[8:], k[1])
	return hex.AppendEncode(dst, raw[:])
}
