package balance

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"

	"github.com/zeebo/xxh3"
)

// member is one target of a group: 48 bytes.
type member struct {
	state    *atomic.Uint32
	inFlight *atomic.Int64
	latency  *Latency
	ramp     *atomic.Uint32 // never nil
	id       uint64         // seeded hash of the name, for consistent_hash
	weight   int32
	index    int32 // in the list given to New
}

// group is the ordinary targets of a pool, or its backups.
type group []member

// newGroup takes the targets that belong to it, in the order given, but none of weight 0.
func newGroup(targets []Target, belongs func(*Target) bool, seed uint64) group {
	var g group
	warm := new(atomic.Uint32)
	for i := range targets {
		t := &targets[i]
		if t.Weight == 0 || !belongs(t) {
			continue
		}
		g = append(g, member{
			state:    t.State,
			inFlight: t.InFlight,
			latency:  t.Latency,
			ramp:     cmp.Or(t.Ramp, warm),
			id:       xxh3.HashStringSeed(t.Name, seed),
			weight:   t.Weight,
			index:    int32(i),
		})
	}
	return g
}

// sortByID puts the group into an order that depends on the set of names alone.
func (g group) sortByID() {
	slices.SortFunc(g, func(a, b member) int {
		return cmp.Compare(a.id, b.id)
	})
}

func (m *member) usable(avoid int) bool {
	return int(m.index) != avoid && m.state.Load() == 0
}

// load is how many requests m carries. In its slow start each counts for several: else the policies that
// look for the lightest would fill it at once, however few of its picks it takes.
func (m *member) load() int64 {
	n := m.inFlight.Load()
	if share := m.ramp.Load(); share != 0 {
		n = n << 16 / int64(max(share, leastShare))
	}
	return n
}

// leastShare bounds what a request counts in a slow start: a hundred.
const leastShare = 65536 / 100

// lighter reports whether m carries less for its weight than o.
func (m *member) lighter(o *member) bool {
	return m.load()*int64(o.weight) < o.load()*int64(m.weight)
}

// sample returns a usable member but other, drawn by weight; nil if there is none. It looks at every
// member: it is for when draws from the wheel hit unusable ones too often.
//
// Each usable member takes the place of the one chosen so far with the chance of its weight in the
// sum so far (reservoir sampling).
func (g group) sample(random uint64, avoid int, other *member) *member {
	var chosen *member
	sum := 0
	for i := range g {
		m := &g[i]
		if m == other || !m.usable(avoid) {
			continue
		}
		sum += int(m.weight)
		random += 0x9e3779b97f4a7c15 // the step of splitmix64
		if below(mix(random), sum) < int(m.weight) {
			chosen = m
		}
	}
	return chosen
}

// rendezvous is a sample that depends on the key and on which members are usable, and changes only when
// the one it chose goes or one comes that it would rather choose. Nil if none is usable.
//
// It draws an arrival time for each, exponential with the weight as its rate, from the key and the id;
// the first to arrive wins (weighted rendezvous hashing).
func (g group) rendezvous(key uint64, avoid int) *member {
	var first *member
	best := math.Inf(1)
	for i := range g {
		m := &g[i]
		if !m.usable(avoid) {
			continue
		}
		at := -math.Log(unit(mix(key^m.id))) / float64(m.weight)
		if at < best {
			first, best = m, at
		}
	}
	return first
}

// least returns the usable member that carries least for its weight, nil if none is usable.
func (g group) least(avoid int) *member {
	var best *member
	for i := range g {
		m := &g[i]
		if m.usable(avoid) && (best == nil || m.lighter(best)) {
			best = m
		}
	}
	return best
}

// unit maps 64 random bits into the open interval (0, 1).
func unit(x uint64) float64 {
	return (float64(x>>11) + 0.5) / (1 << 53)
}

// indexOf is Pick's answer for m.
func indexOf(m *member) int {
	if m == nil {
		return -1
	}
	return int(m.index)
}
