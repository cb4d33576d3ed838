package front

import (
	"net/netip"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// arrivals bounds how often an address may connect, by the time at which its allowance is used up (GCRA).
// Only the accepting goroutine uses it.
type arrivals struct {
	next  map[netip.Addr]int64 // clock nanoseconds; entries in the past may be dropped
	sweep int                  // how many addresses trigger a sweep of the past
	swept int64                // time of the last sweep, so that a flood does not cause one per connection
}

const (
	mostArrivals  = 100_000 // most addresses remembered; others are allowed
	firstArrivals = 1024
)

// allow reports whether another connection from a may come now. A rate of 0 allows all. The burst is what the
// rate allows in a second, and at least one.
func (r *arrivals) allow(now int64, a netip.Addr, rate config.Rate) bool {
	if rate.Count == 0 {
		return true
	}
	each := int64(rate.Per) / rate.Count
	atOnce := max(rate.Count*int64(time.Second)/int64(rate.Per), 1)
	a = network(a)
	next, known := r.next[a]
	next = max(next, now)
	if next-now > (atOnce-1)*each {
		return false
	}
	if !known && !r.room(now) {
		return true
	}
	r.next[a] = next + each
	return true
}

// room reports whether there is room for another address, after it has made some if needed.
func (r *arrivals) room(now int64) bool {
	switch {
	case r.next == nil:
		r.next, r.sweep = map[netip.Addr]int64{}, firstArrivals
	case len(r.next) >= r.sweep && (now-r.swept >= int64(time.Second) || r.sweep < mostArrivals):
		r.swept = now
		for a, next := range r.next {
			if next <= now {
				delete(r.next, a)
			}
		}
		r.sweep = min(max(2*len(r.next), firstArrivals), mostArrivals)
	}
	return len(r.next) < mostArrivals
}

// network returns what counts as one address: for IPv6, whose customers have a whole /64, the prefix.
func network(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
