package balance

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

const hashKeys = 40_000

// owners returns the name of the target that each of the keys goes to.
func (r *rig) owners(t testing.TB, seed uint64) []string {
	t.Helper()
	return r.ownersOf(r.policy(t, consistentHashKind, seed), hashKeys)
}

func (r *rig) ownersOf(p Policy, keys int) []string {
	out := make([]string, keys)
	for key := range out {
		out[key] = r.targets[p.Pick(uint64(key), -1)].Name
	}
	return out
}

func TestHashDependsOnNamesOnly(t *testing.T) {
	f := func(r *rig) {
		t.Helper()
		want := r.owners(t, 42)
		rng := rand.New(rand.NewPCG(11, 12))
		rng.Shuffle(len(r.targets), func(i, j int) {
			r.targets[i], r.targets[j] = r.targets[j], r.targets[i]
		})
		if !slices.Equal(r.owners(t, 42), want) {
			t.Fatal("the order of the targets changed the owners of keys")
		}
		if slices.Equal(r.owners(t, 43), want) {
			t.Fatal("the seed changed nothing")
		}
	}
	f(newRig(1, 2, 3, 4, 5, 6, 7))
	f(newRig(equal(50)...))
}

// Of 100 targets one leaves: at least 99 % of the keys of the others stay where they are. Seen the
// other way round, the same for one that joins.
func TestHashStaysWhenOneLeaves(t *testing.T) {
	f := func(n, gone int, weight int32) {
		t.Helper()
		r := newRig(equal(n)...)
		for i := range r.targets {
			r.targets[i].Weight = 1 + int32(i)%weight
		}
		before := r.owners(t, 1)
		name := r.targets[gone].Name
		r.targets = slices.Delete(r.targets, gone, gone+1)
		after := r.owners(t, 1)
		stay, all := 0, 0
		for key := range before {
			if before[key] == name {
				continue
			}
			all++
			if before[key] == after[key] {
				stay++
			}
		}
		if stay*100 < all*99 {
			t.Fatalf("%d targets: only %.2f %% of the keys stayed", n, 100*float64(stay)/float64(all))
		}
	}
	for gone := 0; gone < 100; gone += 11 {
		f(100, gone, 1)
	}
	f(3, 1, 1)
	f(10, 0, 1)
	f(650, 5, 1)
	f(1000, 999, 1)
	f(100, 50, 3)
}

// Of 100 targets none has more than 5/4 of the mean of the keys, before and after one leaves.
func TestHashIsEven(t *testing.T) {
	r := newRig(equal(100)...)
	for len(r.targets) > 97 {
		counts := map[string]int{}
		for _, name := range r.owners(t, 7) {
			counts[name]++
		}
		for name, n := range counts {
			if 4*n*len(r.targets) > 5*hashKeys {
				t.Errorf("%d targets: %s has %d keys of %d", len(r.targets), name, n, hashKeys)
			}
		}
		r.targets = slices.Delete(r.targets, 41, 42)
	}
}

// A target that is down loses its keys to many others; nobody else's keys move, and its own come back.
func TestHashDownMovesOnlyItsKeys(t *testing.T) {
	f := func(n, keys int, down ...int) {
		t.Helper()
		r := newRig(equal(n)...)
		p := r.policy(t, consistentHashKind, 1)
		before := r.ownersOf(p, keys)
		r.down(down...)
		after := r.ownersOf(p, keys)
		heirs := map[string]int{}
		moved := 0
		for key := range before {
			switch wasDown := slices.Contains(down, indexOfName(r, before[key])); {
			case wasDown:
				heirs[after[key]]++
				moved++
			case before[key] != after[key]:
				t.Fatalf("key %d moved from %s to %s, which were both usable", key, before[key], after[key])
			}
		}
		for name, got := range heirs {
			if fair := moved / (n - len(down)); got > 3*fair/2+20 {
				t.Fatalf("%s inherited %d keys of %d, a fair share is %d", name, got, moved, fair)
			}
		}
		for _, i := range down {
			r.targets[i].State.Store(0)
		}
		if !slices.Equal(r.ownersOf(p, keys), before) {
			t.Fatal("keys did not come back")
		}
	}
	f(5, hashKeys, 2)
	f(10, hashKeys, 0, 1, 2, 3, 4)
	f(100, hashKeys, 7)
	all := make([]int, 997)
	for i := range all {
		all[i] = i
	}
	f(1000, 3000, all...) // three are left: most walks end in a rendezvous
}

func indexOfName(r *rig, name string) int {
	return slices.IndexFunc(r.targets, func(t Target) bool { return t.Name == name })
}

func TestHashSharesByWeight(t *testing.T) {
	f := func(weights ...int32) {
		t.Helper()
		g := newGroup(newRig(weights...).targets, everyone, 5)
		c := newConsistentHash(g)
		slots := make([]int, len(c.group))
		for _, i := range c.table {
			slots[i]++
		}
		sum := int32(0)
		for _, w := range weights {
			sum += w
		}
		for i, n := range slots {
			want := float64(len(c.table)) * float64(c.group[i].weight) / float64(sum)
			if math.Abs(float64(n)-want) > 2+want/1000 {
				t.Fatalf("weights %v: target %d has %d slots, want %.0f", weights, i, n, want)
			}
		}
	}
	f(1)
	f(9)
	f(1, 1)
	f(1, 2)
	f(5, 1, 1)
	f(1000, 1001)
	f(equal(100)...)
	f(100, 50, 25, 1)
}

// slowTable fills the table as the paper writes it, whole lists of preference included.
func slowTable(w *wheel, size int) []uint16 {
	preference := make([][]int, len(w.group))
	for i, m := range w.group {
		offset, skip := below(mix(m.id), size), 1+below(mix(^m.id), size-1)
		for j := range size {
			preference[i] = append(preference[i], (offset+j*skip)%size)
		}
	}
	table := slices.Repeat([]uint16{noMember}, size)
	next := make([]int, len(w.group))
	for n := range size {
		i := w.turns[n%len(w.turns)]
		for table[preference[i][next[i]]] != noMember {
			next[i]++
		}
		table[preference[i][next[i]]] = i
	}
	return table
}

func TestMaglevTwin(t *testing.T) {
	f := func(weights ...int32) {
		t.Helper()
		w := newWheel(newGroup(newRig(weights...).targets, everyone, 3))
		got := maglevTable(&w)
		if !slices.Equal(got, slowTable(&w, len(got))) {
			t.Fatalf("weights %v: the tables differ", weights)
		}
	}
	f(1, 1)
	f(3, 1, 2)
	f(equal(20)...)
}

func TestTableSize(t *testing.T) {
	f := func(n, want int) {
		t.Helper()
		if got := tableSize(n); got != want {
			t.Fatalf("%d members: size %d, want %d", n, got, want)
		}
		if want > 1 && (want < 100*n || !big.NewInt(int64(want)).ProbablyPrime(20)) {
			t.Fatalf("%d is no good size for %d members", want, n)
		}
	}
	f(1, 1)
	f(2, 65_537)
	f(655, 65_537)
	f(656, 262_147)
	f(2621, 262_147)
	f(2622, 1_048_583)
	f(10_485, 1_048_583)
	f(10_486, 6_553_577)
	f(MaxTargets, 6_553_577)
}

// bound is the most that a target may carry when all requests so far are still running.
func bound(r *rig, i int) int64 {
	var load, weight int64
	for j := range r.targets {
		if t := &r.targets[j]; t.State.Load() == 0 {
			load += t.InFlight.Load()
			weight += int64(t.Weight)
		}
	}
	share := 1.25 * float64(load*int64(r.targets[i].Weight)) / float64(weight)
	return max(2, int64(math.Ceil(share)))
}

func TestHashBoundsLoad(t *testing.T) {
	f := func(r *rig, keys uint64, requests int, slack int64) {
		t.Helper()
		p := r.policy(t, consistentHashKind, 1)
		rng := rand.New(rand.NewPCG(13, 14))
		for range requests {
			i := p.Pick(rng.Uint64N(keys), -1)
			n := r.targets[i].InFlight.Add(1)
			if limit := bound(r, i); n > limit+slack {
				t.Fatalf("target %d carries %d, at most %d allowed", i, n, limit)
			}
		}
	}
	f(newRig(1, 1), 1, 200, 0)
	f(newRig(1, 1, 1), 1, 500, 0)
	f(newRig(1, 1, 1), 1000, 500, 0)
	f(newRig(4, 1, 2).down(0), 3, 500, 0)
	hung := newRig(1, 1, 1).down(0) // what a target that is down still carries does not count
	hung.targets[0].InFlight.Store(1000)
	f(hung, 1, 500, 0)
	f(newRig(equal(16)...), 2, 2000, 0)
	f(newRig(MaxWeight, 1, 1), 5, 2000, 0)
	f(newRig(equal(200)...), 1, 5000, 1) // the mean of a large group is a little old
	f(newRig(equal(1000)...), 50, 8000, 1)
}

// One key of light use stays with its target; when the target is full the key goes elsewhere, always
// to the same, and returns.
func TestHashAffinity(t *testing.T) {
	r := newRig(equal(10)...)
	p := r.policy(t, consistentHashKind, 1)
	home := p.Pick(77, -1)
	r.targets[home].InFlight.Store(1)
	if got := p.Pick(77, -1); got != home {
		t.Fatalf("one request running moved the key from %d to %d", home, got)
	}
	r.targets[home].InFlight.Store(50)
	second := p.Pick(77, -1)
	if second == home || second != p.Pick(77, -1) || second != p.Pick(77, home) {
		t.Fatalf("overloaded %d, got %d", home, second)
	}
	r.targets[home].InFlight.Store(0)
	if got := p.Pick(77, -1); got != home {
		t.Fatalf("the key did not return: %d, want %d", got, home)
	}
}

func TestHasRoom(t *testing.T) {
	f := func(weights []int32, loads []int64, want bool) {
		t.Helper()
		g := newGroup(newRig(weights...).targets, everyone, 0)
		for i, n := range loads {
			g[i].inFlight.Store(n)
		}
		first := g[0]
		c := newConsistentHash(g)
		if c.hasRoom(&first) != want {
			t.Fatalf("weights %v, loads %v: want %v", weights, loads, want)
		}
	}
	f([]int32{1}, []int64{1_000_000}, true)
	f([]int32{1, 1}, []int64{0, 0}, true)
	f([]int32{1, 1}, []int64{1, 0}, true)  // two are always allowed
	f([]int32{1, 1}, []int64{2, 0}, false) // 3 of 3 are more than 5/4 of 1.5, rounded up
	f([]int32{1, 1}, []int64{2, 1}, true)  // 3 of 4 are 5/4 of 2, rounded up
	f([]int32{1, 1}, []int64{3, 1}, true)  // 4 of 5 are 5/4 of 2.5, rounded up
	f([]int32{1, 1}, []int64{4, 2}, true)  // 5 of 7 are 5/4 of 3.5, rounded up
	f([]int32{1, 1}, []int64{5, 2}, false) // 6 of 8 are more than 5
	f([]int32{1, 1}, []int64{5, 3}, true)
	f([]int32{1, 1, 1, 1}, []int64{5, 5, 5, 0}, false) // 6 of 16 are more than 5
	f([]int32{1, 1, 1, 1}, []int64{4, 5, 5, 1}, true)  // 5 of 16 are 5
	f([]int32{3, 1}, []int64{14, 1}, true)             // 15 of 16 are 5/4 of 12
	f([]int32{3, 1}, []int64{15, 0}, false)            // 16 of 16 are more
}

// When all requests of a large pool have ended, what was counted before must not raise the bound.
func TestHashForgetsOldTotals(t *testing.T) {
	r := newRig(equal(100)...)
	for i := range r.targets {
		r.targets[i].InFlight.Store(1000)
	}
	p := r.policy(t, consistentHashKind, 0)
	home := p.Pick(1, -1)
	for i := range r.targets {
		r.targets[i].InFlight.Store(0)
	}
	for range 1000 {
		r.targets[p.Pick(1, -1)].InFlight.Add(1)
	}
	if n := r.targets[home].InFlight.Load(); n > 250 { // about 25 until counted anew, then 13
		t.Fatalf("the home of the only key carries %d of 1000", n)
	}
}

// A total that is too low makes walks fail; the first that does puts it right.
func TestHashWalkCountsAnew(t *testing.T) {
	g := newGroup(newRig(equal(1000)...).targets, everyone, 0)
	for i := range g {
		g[i].inFlight.Store(10)
	}
	c := newConsistentHash(g)
	for key := range uint64(20) {
		c.total.Store(1<<32 | 1000)
		c.walk(mix(key), 0, -1)
		if c.total.Load() != g.total() {
			t.Fatal("the total is still the old one")
		}
	}
}

func TestRendezvousByWeight(t *testing.T) {
	g := newGroup(newRig(1, 2, 4, 8).down(1).targets, everyone, 0)
	counts := make([]int, 4)
	for key := range uint64(40_000) {
		counts[g.rendezvous(mix(key), -1).index]++
	}
	within(t, counts, []float64{1, 0, 4, 8})
}

func everyone(*Target) bool { return true }
