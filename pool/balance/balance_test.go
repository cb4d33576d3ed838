package balance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// rig is a pool as the policies see it.
type rig struct {
	targets []Target
}

// newRig makes usable, idle targets t0, t1, … of the given weights.
func newRig(weights ...int32) *rig {
	r := &rig{}
	for i, w := range weights {
		r.targets = append(r.targets, Target{
			Name: fmt.Sprintf("t%d", i), Weight: w, InFlight: &new(atomicLine).n, State: new(atomic.Uint32),
		})
	}
	return r
}

// atomicLine keeps a counter on its own cache line, as a pool would.
type atomicLine struct {
	n atomic.Int64
	_ [56]byte
}

func equal(n int) []int32 {
	return slices.Repeat([]int32{1}, n)
}

func (r *rig) policy(t testing.TB, kind string, seed uint64) Policy {
	t.Helper()
	p, err := New(kind, r.targets, seed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *rig) down(which ...int) *rig {
	for _, i := range which {
		r.targets[i].State.Store(1)
	}
	return r
}

func (r *rig) backup(which ...int) *rig {
	for _, i := range which {
		r.targets[i].Backup = true
	}
	return r
}

// counts returns how often each target comes in n picks with random keys.
func (r *rig) counts(p Policy, n int) []int {
	rng := rand.New(rand.NewPCG(1, 2))
	counts := make([]int, len(r.targets))
	for range n {
		counts[p.Pick(rng.Uint64(), -1)]++
	}
	return counts
}

// allowed is the slow twin of every policy: the indexes that Pick may return, [-1] if there are none.
func (r *rig) allowed(avoid int) []int {
	var tiers [3][]int // ordinary, backup, avoided
	for i := range r.targets {
		switch t := &r.targets[i]; {
		case t.State.Load() != 0 || t.Weight == 0:
		case i == avoid:
			tiers[2] = append(tiers[2], i)
		case t.Backup:
			tiers[1] = append(tiers[1], i)
		default:
			tiers[0] = append(tiers[0], i)
		}
	}
	for _, tier := range tiers {
		if len(tier) > 0 {
			return tier
		}
	}
	return []int{-1}
}

// randomRig makes up to 40 targets, of which anything from none to all are down, busy or backups.
func randomRig(rng *rand.Rand) *rig {
	r := newRig(equal(rng.IntN(40))...)
	share := rng.Float64()
	for i := range r.targets {
		t := &r.targets[i]
		t.Weight = rng.Int32N(1 + rng.Int32N(50))
		t.Backup = rng.Float64() < 0.2
		t.InFlight.Store(rng.Int64N(1 + rng.Int64N(20)))
		if rng.Float64() < share {
			t.State.Store(1)
		}
	}
	return r
}

func TestPickIsAllowed(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 60 {
		r := randomRig(rng)
		for _, kind := range Kinds() {
			p := r.policy(t, kind, rng.Uint64())
			for range 40 {
				avoid := rng.IntN(len(r.targets)+2) - 1
				got, want := p.Pick(rng.Uint64(), avoid), r.allowed(avoid)
				if !slices.Contains(want, got) {
					t.Fatalf("round %d: %s picked %d avoiding %d, want one of %v",
						round, kind, got, avoid, want)
				}
			}
		}
	}
}

func TestPickAvoid(t *testing.T) {
	f := func(r *rig, avoid, want int) {
		t.Helper()
		for _, kind := range Kinds() {
			p := r.policy(t, kind, 0)
			for key := range uint64(50) {
				if got := p.Pick(key, avoid); got != want {
					t.Fatalf("%s picked %d, want %d", kind, got, want)
				}
			}
		}
	}
	f(newRig(), -1, -1)
	f(newRig(), 0, -1)
	f(newRig(1), -1, 0)
	f(newRig(1), 0, 0)
	f(newRig(1), 7, 0)
	f(newRig(1), -9, 0)
	f(newRig(1).down(0), -1, -1)
	f(newRig(1).down(0), 0, -1)
	f(newRig(1, 1), 0, 1)
	f(newRig(1, 1), 1, 0)
	f(newRig(1, 1).down(1), 0, 0)
	f(newRig(1, 1).backup(1), -1, 0)
	f(newRig(1, 1).backup(0), -1, 1)
	f(newRig(1, 1).backup(1), 0, 1) // a backup is better than the target that has just failed
	f(newRig(1, 1).backup(1).down(1), 0, 0)
	f(newRig(1, 1).backup(1).down(0), -1, 1)
	f(newRig(1, 1).backup(0, 1).down(0), -1, 1)
	f(newRig(1, 1, 1).backup(1, 2).down(0), 1, 2)
	f(newRig(0, 1), -1, 1)
	f(newRig(0, 1), 1, 1) // weight 0 is no better than the target that has just failed
	f(newRig(0, 1), 0, 1)
	f(newRig(0, 1).backup(1), -1, 1)
	f(newRig(0, 0, 0).backup(1), 0, -1)
}

func TestNewRefuses(t *testing.T) {
	f := func(kind string, r *rig, want string) {
		t.Helper()
		p, err := New(kind, r.targets, 0)
		if err == nil || p != nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("got %v, %v; want an error with %q", p, err, want)
		}
	}
	f("", newRig(1), `unknown balance ""`)
	f("Random", newRig(1), "want one of round_robin, least_connections, consistent_hash, ewma, random")
	f("random", newRig(1, -1), `target 1 ("t1"): weight -1 is not within 0 to 65535`)
	f("random", newRig(-5), "weight -5")
	f("random", newRig(MaxWeight+1), "weight 65536")
	f("round_robin", newRig(equal(MaxTargets+1)...), "65536 targets are too many")
	r := newRig(1, 1)
	r.targets[1].State = nil
	f("least_connections", r, "State is nil")
	r = newRig(1, 1)
	r.targets[0].InFlight = nil
	f("least_connections", r, "InFlight is nil")
	r = newRig(1, 1, 1)
	r.targets[2].Name = "t0"
	f("consistent_hash", r, `targets 0 and 2: both are named "t0"`)
	r.targets[2].Backup = true
	f("consistent_hash", r, `both are named "t0"`)
}

func TestNamesMayRepeat(t *testing.T) {
	for _, kind := range []string{roundRobinKind, leastConnectionsKind, randomKind} {
		r := newRig(equal(100)...)
		for i := range r.targets {
			r.targets[i].Name = ""
			if i < 97 {
				r.targets[i].State.Store(1)
			}
		}
		counts := r.counts(r.policy(t, kind, 0), 3000)
		for _, n := range counts[97:] {
			if n < 800 {
				t.Fatalf("%s: the three usable got %v of 3000", kind, counts[97:])
			}
		}
	}
}

func TestHashKey(t *testing.T) {
	if first, again := HashKey(1, []byte("a")), HashKey(1, []byte("a")); first != again {
		t.Fatal("not a function")
	}
	seen := map[uint64]bool{}
	for seed := range uint64(10) {
		for _, s := range []string{"", "a", "b", "ab"} {
			seen[HashKey(seed, []byte(s))] = true
		}
	}
	if len(seen) != 40 {
		t.Fatalf("40 inputs gave %d keys", len(seen))
	}
}

// One target of each tier is always usable, the others come and go.
func TestPickWhileStatesChange(t *testing.T) {
	for _, kind := range Kinds() {
		r := newRig(equal(40)...).backup(0, 1, 2, 3)
		p := r.policy(t, kind, 1)
		var wg sync.WaitGroup
		for g := range uint64(4) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(g, 5))
				for range 2000 {
					r.targets[5+rng.IntN(35)].State.Store(uint32(rng.IntN(2)))
					i := p.Pick(rng.Uint64(), -1)
					if i < 4 {
						t.Errorf("%s picked %d though target 4 is usable", kind, i)
						return
					}
					r.targets[i].InFlight.Add(1)
					if rng.IntN(3) > 0 {
						r.targets[i].InFlight.Add(-1)
					}
				}
			})
		}
		wg.Wait()
	}
}
