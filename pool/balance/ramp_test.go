package balance

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
)

// ramp sets the share that a target takes of its picks; 1 ends its slow start.
func (r *rig) ramp(i int, share float64) *rig {
	if r.targets[i].Ramp == nil {
		r.targets[i].Ramp = new(atomic.Uint32)
	}
	r.targets[i].Ramp.Store(uint32(65536*share) % 65536)
	return r
}

// Whoever is in its slow start, somebody is always picked, and one that may be.
func TestRampServesAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for round := range 100 {
		r := randomRig(rng)
		for i := range r.targets {
			if rng.IntN(2) == 0 {
				r.ramp(i, rng.Float64())
			}
			r.targets[i].Local = rng.IntN(3) == 0
		}
		for _, kind := range Kinds() {
			p := r.policy(t, kind, rng.Uint64())
			for range 40 {
				avoid := rng.IntN(len(r.targets)+2) - 1
				if got, want := p.Pick(rng.Uint64(), avoid), r.allowed(avoid); !slices.Contains(want, got) {
					t.Fatalf("round %d: %s picked %d avoiding %d, want one of %v", round, kind, got, avoid, want)
				}
			}
		}
	}
}

func TestRampPick(t *testing.T) {
	f := func(what string, r *rig, avoid int, want ...int) {
		t.Helper()
		for _, kind := range Kinds() {
			p := r.policy(t, kind, 1)
			for key := range uint64(300) {
				if got := p.Pick(key, avoid); !slices.Contains(want, got) {
					t.Fatalf("%s: %s picked %d, want one of %v", what, kind, got, want)
				}
			}
		}
	}
	f("the only one", newRig(1).ramp(0, 0.1), -1, 0)
	f("the only one, avoided", newRig(1).ramp(0, 0.1), 0, 0)
	f("the other is down", newRig(1, 1).ramp(0, 0.1).down(1), -1, 0)
	f("the other has just failed", newRig(1, 1).ramp(0, 0.1), 1, 0)
	f("a backup is no help", newRig(1, 1).ramp(0, 0.1).backup(1), -1, 0)
	f("backups among themselves", newRig(1, 1, 1).ramp(1, 0.1).backup(1, 2).down(0), -1, 1, 2)
	f("all of them", newRig(1, 1).ramp(0, 0.1).ramp(1, 0.1), -1, 0, 1)
}

// A key moves once to the target that joins, and stays.
func TestRampMovesKeysOnce(t *testing.T) {
	r := newRig(equal(10)...).ramp(0, 0.01)
	p := r.policy(t, consistentHashKind, 1)
	moved := map[uint64]bool{}
	for share := 0.02; share <= 1; share += 0.02 {
		r.ramp(0, share)
		for key := range uint64(2000) {
			at := p.Pick(key, -1) == 0
			if moved[key] && !at {
				t.Fatalf("key %d moved back at share %.2f", key, share)
			}
			moved[key] = moved[key] || at
		}
	}
}

func TestLoad(t *testing.T) {
	f := func(inFlight int64, share float64, want int64) {
		t.Helper()
		r := newRig(1).ramp(0, share)
		r.targets[0].InFlight.Store(inFlight)
		g := newGroup(r.targets, everyone, 0)
		if got := g[0].load(); got != want {
			t.Errorf("%d in flight at share %v: load %d, want %d", inFlight, share, got, want)
		}
	}
	f(0, 0.1, 0)
	f(7, 1, 7)
	f(7, 0.5, 14)
	f(3, 0.25, 12)
	f(2, 0.00002, 200) // one in a hundred at least
}
