package balance

import (
	"math"
	"testing"
)

// within fails when a count lies more than six standard deviations from its share.
func within(t *testing.T, counts []int, shares []float64) {
	t.Helper()
	var picks, whole float64
	for i := range counts {
		picks += float64(counts[i])
		whole += shares[i]
	}
	for i, n := range counts {
		p := shares[i] / whole
		if math.Abs(float64(n)-picks*p) > 6*math.Sqrt(picks*p*(1-p)) {
			t.Fatalf("target %d got %d of %.0f, its share is %.0f", i, n, picks, picks*p)
		}
	}
}

func TestRandomByWeight(t *testing.T) {
	f := func(r *rig, shares ...float64) {
		t.Helper()
		within(t, r.counts(r.policy(t, randomKind, 0), 40_000), shares)
	}
	f(newRig(1, 1), 1, 1)
	f(newRig(5, 1, 1), 5, 1, 1)
	f(newRig(1, 2, 3, 4), 1, 2, 3, 4)
	f(newRig(1, 2, 3, 4).down(3), 1, 2, 3, 0)
	f(newRig(1, 2, 3, 4).down(3).backup(2), 1, 2, 0, 0)
	shares := make([]float64, 500)
	r := newRig(equal(500)...)
	for i := range 497 {
		r.targets[i].State.Store(1)
	}
	r.targets[498].Weight = 3
	r.targets[499].Weight = 6
	copy(shares[497:], []float64{1, 3, 6})
	f(r, shares...)
}

func TestRandomTwoChoices(t *testing.T) {
	r := newRig(1, 1)
	r.targets[0].InFlight.Store(3)
	r.targets[1].InFlight.Store(4)
	p := r.policy(t, randomKind, 0)
	for range 100 {
		if p.Pick(0, -1) != 0 { // of two, both are always drawn
			t.Fatal("picked the busier of two")
		}
	}
	r.targets[1].Weight = 2 // 4/2 is less than 3/1
	p = r.policy(t, randomKind, 0)
	for range 100 {
		if p.Pick(0, -1) != 1 {
			t.Fatal("picked the busier for its weight")
		}
	}
}
