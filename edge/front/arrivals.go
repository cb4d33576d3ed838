package front

import (
	"net/netip"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// arrivals bounds how often an address may connect (GCRA, by the time at which it has used up what it had).
// Only the goroutine that accepts uses it.
type arrivals struct {
	next  map[netip.Addr]int64 // clock nanoseconds; what is past may be forgotten
	sweep int                  // addresses at which the past is forgotten
	swept int64                // when that was; a flood must not cause it at each connection
}

const (
	mostArrivals  = 100_000 // addresses that are remembered; others pass
	firstArrivals = 1024
)

// allow reports whether another connection from a may come now. A rate of 0 lets all pass. At once, as many
// may come as the rate has in a second, and at least one.
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

// room makes room for another address; false: there is none.
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

// network is what counts as one address: of IPv6 a customer has a whole /64.
func network(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
