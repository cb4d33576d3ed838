package balance

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// local puts targets into the gateway's own zone.
func (r *rig) local(which ...int) *rig {
	for _, i := range which {
		r.targets[i].Local = true
	}
	return r
}

func (r *rig) chooser(t testing.TB, kind string, seed uint64) *Chooser {
	t.Helper()
	c, err := New(kind, r.targets, seed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The own zone is preferred; what leaves it goes to all by weight.
func TestZones(t *testing.T) {
	f := func(what string, r *rig, spill bool, shares ...float64) {
		t.Helper()
		for _, kind := range Kinds() {
			c := r.chooser(t, kind, 2)
			c.Spill(spill)
			got := r.counts(c, 12_000)
			for i, want := range shares {
				want *= 12_000 / sum(shares)
				if want == 0 && got[i] > 0 || float64(got[i]) < 0.9*want || float64(got[i]) > 1.1*want {
					t.Errorf("%s: %s gave %v, want shares %v", what, kind, got, shares)
				}
			}
		}
	}
	f("own zone", newRig(equal(4)...).local(0, 1), false, 1, 1, 0, 0)
	f("by weight", newRig(1, 3, 5, 5).local(0, 1), false, 1, 3, 0, 0)
	f("one of it is down", newRig(equal(4)...).local(0, 1).down(0), false, 0, 1, 0, 0)
	f("all of it is down", newRig(equal(4)...).local(0, 1).down(0, 1), false, 0, 0, 1, 1)
	f("spilling", newRig(equal(4)...).local(0, 1), true, 1, 1, 1, 1)
	f("spilling by weight", newRig(1, 3, 2, 2).local(0, 1), true, 1, 3, 2, 2)
	f("spilling, one is down", newRig(equal(4)...).local(0, 1).down(0), true, 0, 1, 1, 1)
	f("no zone", newRig(equal(3)...), false, 1, 1, 1)
	f("one zone", newRig(equal(3)...).local(0, 1, 2), false, 1, 1, 1)
	f("one zone, spilling", newRig(equal(3)...).local(0, 1, 2), true, 1, 1, 1)
	f("backups of it wait", newRig(equal(4)...).local(0, 1).backup(0), false, 0, 1, 0, 0)
	f("other zones before backups", newRig(equal(4)...).local(0, 1).backup(0).down(1), false, 0, 0, 1, 1)
	f("backups of any zone", newRig(equal(4)...).local(0).backup(0, 3).down(1, 2), false, 1, 0, 0, 1)
	f("slow start of the only one", newRig(equal(3)...).local(0).ramp(0, 0.25), false, 1, 1.5, 1.5)
}

func sum(xs []float64) (total float64) {
	for _, x := range xs {
		total += x
	}
	return total
}

// Spilling begins and ends at once, without a new policy.
func TestSpillTurns(t *testing.T) {
	for _, kind := range Kinds() {
		r := newRig(equal(4)...).local(0)
		c := r.chooser(t, kind, 1)
		for range 3 {
			c.Spill(true)
			if got := r.counts(c, 4000); slices.Min(got) == 0 {
				t.Fatalf("%s, spilling: %v", kind, got)
			}
			c.Spill(false)
			if got := r.counts(c, 4000); got[0] != 4000 {
				t.Fatalf("%s, not spilling: %v", kind, got)
			}
		}
	}
}

// Zones, slow starts and times change while others pick.
func TestPickWhileAllChanges(t *testing.T) {
	for _, kind := range Kinds() {
		r := fullRig(100)
		c := r.chooser(t, kind, 1)
		var wg sync.WaitGroup
		for g := range uint64(4) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(g, 6))
				for n := range int64(2000) {
					c.Spill(rng.IntN(2) == 0)
					x := &r.targets[rng.IntN(100)]
					x.Ramp.Store(uint32(rng.IntN(65536)))
					x.Latency.Observe(base+n, time.Duration(n))
					if i := c.Pick(rng.Uint64(), rng.IntN(100)); i < 0 || r.targets[i].State.Load() != 0 ||
						r.targets[i].Backup {
						t.Errorf("%s picked %d", kind, i)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// A retry stays in the zone if there is anybody else, and else leaves it.
func TestZoneAvoid(t *testing.T) {
	f := func(r *rig, avoid int, want ...int) {
		t.Helper()
		for _, kind := range Kinds() {
			c := r.chooser(t, kind, 1)
			for key := range uint64(100) {
				if got := c.Pick(key, avoid); !slices.Contains(want, got) {
					t.Fatalf("%s picked %d, want one of %v", kind, got, want)
				}
			}
		}
	}
	f(newRig(equal(4)...).local(0, 1), 0, 1)
	f(newRig(equal(3)...).local(0), 0, 1, 2)
	f(newRig(equal(3)...).local(0).backup(2), 0, 1)
	f(newRig(equal(3)...).local(0).backup(2).down(1), 0, 2)
	f(newRig(equal(3)...).local(0).backup(2).down(1, 2), 0, 0)
}
