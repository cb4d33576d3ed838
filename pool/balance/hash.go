package balance

import (
	"math"
	"sync/atomic"

	"github.com/penstock-edge/penstock/edge/lib/chance"
)

// consistentHash sends equal keys to equal targets, unless the target is unusable or carries more than
// 5/4 of its share: then the key goes to the next on a walk of its own. A key comes back as soon as its
// target has room.
type consistentHash struct {
	group group         // sorted: depends on the set of names only
	table []uint16      // slot to position in group
	_     [64]byte      // the fields above are only read; keep them off the line below
	total atomic.Uint64 // group.total of a large group, not quite fresh; 0: not yet counted
	_     [56]byte
}

func newConsistentHash(g group) *consistentHash {
	g.sortByID()
	w := newWheel(g)
	return &consistentHash{group: g, table: maglevTable(&w)}
}

// Pick implements Policy.
func (c *consistentHash) Pick(key uint64, avoid int) int {
	key = mix(key)
	slot := below(key, len(c.table))
	m := &c.group[c.table[slot]]
	if m.usable(avoid) && c.hasRoom(m) {
		return int(m.index)
	}
	return indexOf(c.walk(key, slot, avoid))
}

// walk tries slots at a distance that depends on the key, so that the keys of one target scatter over
// all others by weight, and then looks at every member. If none has room the lightest gets it.
func (c *consistentHash) walk(key uint64, slot, avoid int) *member {
	step := 1 + below(mix(key), max(1, len(c.table)-1))
	for range maxDraws {
		slot += step
		if slot >= len(c.table) {
			slot -= len(c.table)
		}
		if m := &c.group[c.table[slot]]; m.usable(avoid) && c.hasRoom(m) {
			return m
		}
	}
	c.count() // may have been stale
	if m := c.group.rendezvous(key, avoid); m == nil || c.hasRoom(m) {
		return m
	}
	return c.group.least(avoid)
}

// hasRoom reports whether m may take one more request: afterwards it must not carry more than 5/4 of
// its weight's share of all that are then in flight, rounded up, but may always carry two.
func (c *consistentHash) hasRoom(m *member) bool {
	load := m.inFlight.Load()
	if load < 2 {
		return true
	}
	inFlight, weight := c.totals()
	return 4*float64(load)*weight < 5*(inFlight+1)*float64(m.weight) // load < ceil(5/4 share)
}

// totals returns what the usable members carry and weigh together. Of a large group it is counted anew
// by about 8 of n callers: by then the mean can have grown by about an eighth of a request.
func (c *consistentHash) totals() (inFlight, weight float64) {
	if len(c.group) <= maxScan {
		return split(c.group.total())
	}
	total := c.total.Load()
	if total == 0 || below(chance.Uint64(), len(c.group)) < 8 {
		total = c.count()
	}
	return split(total)
}

// count brings the total up to date. The store is left out when nothing has changed, so that the line
// stays in the caches of all cores.
func (c *consistentHash) count() uint64 {
	total := c.group.total()
	if c.total.Load() != total {
		c.total.Store(total)
	}
	return total
}

// total sums up the usable members: in flight << 32 | weight. MaxTargets times MaxWeight fits into the
// lower half.
func (g group) total() uint64 {
	var inFlight, weight int64
	for i := range g {
		if m := &g[i]; m.state.Load() == 0 {
			inFlight += m.inFlight.Load()
			weight += int64(m.weight)
		}
	}
	return uint64(min(max(inFlight, 0), math.MaxUint32))<<32 | uint64(weight)
}

func split(total uint64) (inFlight, weight float64) {
	return float64(total >> 32), float64(total & math.MaxUint32)
}
