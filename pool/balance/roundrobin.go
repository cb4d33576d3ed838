package balance

import "sync/atomic"

// maxClaims is how often a Pick that lost the race for a turn tries for another.
const maxClaims = 4

// roundRobin walks the wheel with one counter. A turn of an unusable member is consumed with the pick
// that passes over it, so that what remains is the same smooth order without that member: nobody's
// share falls to whoever stands next to it.
type roundRobin struct {
	wheel
	_    [64]byte      // the fields above are only read; keep them off the counter's cache line
	next atomic.Uint64 // turns consumed since the start; starts at the seed
	_    [56]byte
}

func newRoundRobin(g group, seed uint64) *roundRobin {
	r := &roundRobin{wheel: newWheel(g)}
	r.next.Store(seed % uint64(len(r.turns)))
	return r
}

// Pick implements Policy.
func (r *roundRobin) Pick(_ uint64, avoid int) int {
	return indexOf(r.nextMember(avoid))
}

// nextMember consumes the next turn of a usable member; nil if none is usable.
func (r *roundRobin) nextMember(avoid int) *member {
	var turn uint64
	for range maxClaims {
		turn = r.next.Add(1) - 1
		m, skipped := r.search(turn, avoid)
		if m == nil {
			r.next.CompareAndSwap(turn+1, turn+skipped) // so that the next Pick looks further on
			return r.group.sample(mix(turn), avoid, nil)
		}
		if skipped == 0 || r.next.CompareAndSwap(turn+1, turn+1+skipped) {
			return m
		}
	}
	// Too many others in the same run of unusable turns: leave it for anywhere on the wheel.
	if m, _ := r.search(mix(turn), avoid); m != nil {
		return m
	}
	return r.group.sample(mix(turn), avoid, nil)
}

// search finds the first usable turn from the given one on and the number of turns passed over; nil
// after a whole round or maxSkips turns.
func (r *roundRobin) search(turn uint64, avoid int) (*member, uint64) {
	pos := int(turn % uint64(len(r.turns)))
	limit := uint64(min(maxSkips, len(r.turns)))
	for skipped := range limit {
		if m := &r.group[r.turns[pos]]; m.usable(avoid) {
			return m, skipped
		}
		pos++
		if pos == len(r.turns) {
			pos = 0
		}
	}
	return nil, limit
}
