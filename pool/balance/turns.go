package balance

import (
	"slices"

	"github.com/penstock-edge/penstock/edge/lib/chance"
)

const (
	maxTurns = 4096 // longest round, unless four turns a member are more
	maxSkips = 256  // turns passed over in one Pick before all members are looked at
	maxDraws = 32   // random turns tried before all members are looked at
)

// wheel is a group and the order in which a round visits it, heavier members more often.
type wheel struct {
	group group
	turns []uint16 // position in group
}

func newWheel(g group) wheel {
	weights := make([]int64, len(g))
	for i := range g {
		weights[i] = int64(g[i].weight)
	}
	return wheel{group: g, turns: smoothTurns(shrink(weights))}
}

// draw returns a usable member but other, drawn by weight; nil if there is none.
func (w *wheel) draw(avoid int, other *member) *member {
	for range min(maxDraws, len(w.group)) {
		m := &w.group[w.turns[below(chance.Uint64(), len(w.turns))]]
		if m != other && m.usable(avoid) {
			return m
		}
	}
	return w.group.sample(chance.Uint64(), avoid, other)
}

// shrink divides the weights by what they have in common and, if a round would still be too long,
// scales them down. A scaled weight is rounded to the nearest, and to 1 at least.
func shrink(weights []int64) []int64 {
	weights, sum := reduce(weights)
	limit := max(maxTurns, 4*int64(len(weights)))
	if sum <= limit {
		return weights
	}
	for i, w := range weights {
		weights[i] = max(1, (w*limit+sum/2)/sum)
	}
	weights, _ = reduce(weights)
	return weights
}

// reduce divides the weights by their greatest common divisor and returns them and their sum.
func reduce(weights []int64) ([]int64, int64) {
	var divisor, sum int64
	for _, w := range weights {
		a, b := w, divisor
		for b != 0 {
			a, b = b, a%b
		}
		divisor = a
		sum += w
	}
	out := make([]int64, len(weights))
	for i, w := range weights {
		out[i] = w / divisor
	}
	return out, sum / divisor
}

// class is the members of one weight. Smooth weighted round robin visits them one after the other in
// rounds, so that only the next of each class has to be compared with the next of the others.
type class struct {
	weight  int64
	members []uint16
	next    int
	rounds  int64 // full rounds over members
}

// smoothTurns returns one cycle of smooth weighted round robin, as nginx defines it: at each turn every
// member gains its weight, the highest total is picked (the first of equals) and pays the sum of all
// weights. Weights 5, 1, 1 give 0 0 1 0 2 0 0.
func smoothTurns(weights []int64) []uint16 {
	var sum int64
	for _, w := range weights {
		sum += w
	}
	classes := classesOf(weights)
	turns := make([]uint16, sum)
	for t := range turns {
		best, bestTotal := -1, int64(0)
		for i := range classes {
			total := classes[i].total(int64(t), sum)
			if best < 0 || total > bestTotal ||
				total == bestTotal && classes[i].head() < classes[best].head() {
				best, bestTotal = i, total
			}
		}
		turns[t] = classes[best].nextMember()
	}
	return turns
}

func classesOf(weights []int64) []class {
	order := make([]uint16, len(weights))
	for i := range order {
		order[i] = uint16(i)
	}
	slices.SortStableFunc(order, func(a, b uint16) int { return int(weights[a] - weights[b]) })
	var classes []class
	for _, i := range order {
		if n := len(classes); n == 0 || classes[n-1].weight != weights[i] {
			classes = append(classes, class{weight: weights[i]})
		}
		last := &classes[len(classes)-1]
		last.members = append(last.members, i)
	}
	return classes
}

// total is what the head of the class has gained by turn t, less what it has paid.
func (c *class) total(t, sum int64) int64 {
	return c.weight*(t+1) - c.rounds*sum
}

func (c *class) head() uint16 {
	return c.members[c.next]
}

func (c *class) nextMember() uint16 {
	i := c.members[c.next]
	c.next++
	if c.next == len(c.members) {
		c.next = 0
		c.rounds++
	}
	return i
}
