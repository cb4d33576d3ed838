package balance

import "math/bits"

// maxScan is the largest group that is looked at whole for every Pick.
const maxScan = 16

// leastConnections picks the member with the fewest requests in flight for its weight. A small group
// is compared whole. In a larger one the next in turn is compared with one drawn at random, which comes
// close to the best of all at a fixed cost and keeps gateways from all finding the same target.
type leastConnections struct {
	turn *roundRobin // which is next among equals
}

func newLeastConnections(g group, seed uint64) *leastConnections {
	return &leastConnections{turn: newRoundRobin(g, seed)}
}

// Pick implements Policy.
func (l *leastConnections) Pick(_ uint64, avoid int) int {
	if len(l.turn.group) <= maxScan {
		return indexOf(l.compareAll(avoid))
	}
	m := l.turn.nextMember(avoid)
	if m == nil {
		return -1
	}
	if rival := l.turn.draw(avoid, m); rival != nil && rival.lighter(m) {
		m = rival
	}
	return indexOf(m)
}

// compareAll returns the lightest member; of several that are equal, the next in turn.
func (l *leastConnections) compareAll(avoid int) *member {
	var ties uint32 // bit i: member i is as light as any so far
	var load, weight int64
	for i := range l.turn.group {
		m := &l.turn.group[i]
		if !m.usable(avoid) {
			continue
		}
		n, w := m.load(), int64(m.weight)
		switch {
		case ties == 0 || n*weight < load*w:
			ties, load, weight = 1<<i, n, w
		case n*weight == load*w:
			ties |= 1 << i
		}
	}
	if ties == 0 {
		return nil
	}
	if ties&(ties-1) != 0 {
		return l.turn.takeOf(ties)
	}
	return &l.turn.group[bits.TrailingZeros32(ties)]
}

// takeOf consumes the next turn of a member whose bit is set. Two Picks at once may pass over the same
// turns: a tie is then broken less evenly, which the next comparison makes good.
func (r *roundRobin) takeOf(set uint32) *member {
	turn := r.next.Add(1) - 1
	pos := int(turn % uint64(len(r.turns)))
	for skipped := range uint64(min(maxSkips, len(r.turns))) {
		if i := r.turns[pos]; set>>i&1 != 0 {
			if skipped > 0 {
				r.next.Add(skipped)
			}
			return &r.group[i]
		}
		pos++
		if pos == len(r.turns) {
			pos = 0
		}
	}
	return r.group.drawOf(set, mix(turn)) // light members next to a very heavy one: turns are far apart
}

// drawOf returns a member whose bit is set, drawn by weight.
func (g group) drawOf(set uint32, random uint64) *member {
	sum := 0
	for i := range g {
		sum += int(g[i].weight) * int(set>>i&1)
	}
	rest := below(random, sum)
	for i := range g {
		rest -= int(g[i].weight) * int(set>>i&1)
		if rest < 0 {
			return &g[i]
		}
	}
	panic("BUG: drew beyond the sum of weights")
}
