package balance

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// lightest is the slow twin: all usable targets that no other is lighter than.
func (r *rig) lightest() []int {
	var out []int
	for i := range r.targets {
		m := &r.targets[i]
		if m.State.Load() != 0 {
			continue
		}
		best := true
		for j := range r.targets {
			o := &r.targets[j]
			best = best && (o.State.Load() != 0 ||
				m.InFlight.Load()*int64(o.Weight) <= o.InFlight.Load()*int64(m.Weight))
		}
		if best {
			out = append(out, i)
		}
	}
	return out
}

func TestLeastConnectionsTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		r := newRig(equal(1 + rng.IntN(maxScan))...)
		for i := range r.targets {
			r.targets[i].Weight = 1 + rng.Int32N(4)
			r.targets[i].InFlight.Store(rng.Int64N(6))
			r.targets[i].State.Store(uint32(rng.IntN(3) / 2))
		}
		p := r.policy(t, leastConnectionsKind, rng.Uint64())
		for range 30 {
			want := r.lightest()
			got := p.Pick(0, -1)
			if len(want) == 0 && got == -1 {
				break
			}
			if !slices.Contains(want, got) {
				t.Fatalf("picked %d, want one of %v", got, want)
			}
			r.targets[got].InFlight.Add(1)
		}
	}
}

// An idle pool is shared by weight, as round robin does.
func TestLeastConnectionsIdle(t *testing.T) {
	f := func(r *rig, picks int, want ...int) {
		t.Helper()
		got := r.counts(r.policy(t, leastConnectionsKind, 0), picks)
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	f(newRig(1, 1), 10, 5, 5)
	f(newRig(1, 1, 1).down(1), 10, 5, 0, 5)
	f(newRig(5, 1, 1), 70, 50, 10, 10)
	f(newRig(5, 1, 1).down(0), 70, 0, 35, 35)
	f(newRig(equal(100)...), 300, slices.Repeat([]int{3}, 100)...)
}

// Turns of light members may lie so far apart that they are drawn instead.
func TestLeastConnectionsIdleLight(t *testing.T) {
	f := func(shares []float64, r *rig) {
		t.Helper()
		within(t, r.counts(r.policy(t, leastConnectionsKind, 0), 10_000), shares)
	}
	f([]float64{0, 1, 1}, newRig(MaxWeight, 1, 1).down(0))
	f([]float64{0, 1, 3}, newRig(MaxWeight, 10, 30).down(0))
}

func TestLeastConnectionsTiesAmongFew(t *testing.T) {
	r := newRig(equal(maxScan)...)
	for i := range r.targets {
		if i != 3 && i != 4 {
			r.targets[i].InFlight.Store(9)
		}
	}
	counts := r.counts(r.policy(t, leastConnectionsKind, 0), 100)
	if counts[3] != 50 || counts[4] != 50 {
		t.Fatalf("got %v, want 50 each for the third and fourth", counts)
	}
}

// Two choices keep the fullest target close to the mean, where random choice would not (about 24 here).
func TestLeastConnectionsLargeIsEven(t *testing.T) {
	f := func(kind string, limit int64) {
		t.Helper()
		r := newRig(equal(1000)...)
		p := r.policy(t, kind, 0)
		for range 10_000 {
			r.targets[p.Pick(0, -1)].InFlight.Add(1)
		}
		for i := range r.targets {
			if n := r.targets[i].InFlight.Load(); n > limit {
				t.Fatalf("%s: target %d carries %d, mean 10", kind, i, n)
			}
		}
	}
	f(leastConnectionsKind, 13)
	f(randomKind, 14)
}

// A slow target, which keeps its requests, is left alone in a large pool too.
func TestLeastConnectionsLargeSpares(t *testing.T) {
	r := newRig(equal(100)...)
	r.targets[7].InFlight.Store(1000)
	counts := r.counts(r.policy(t, leastConnectionsKind, 0), 10_000)
	if counts[7] != 0 {
		t.Fatalf("the busiest target was picked %d times", counts[7])
	}
}
