//go:build !race

// One goroutine, ten seconds under the race detector, which would find nothing.

package balance

import (
	"math/rand/v2"
	"testing"
)

// flow picks n times and keeps so many requests running, of which any one ends with each pick; it returns
// how often each target came. Others go before, so that the loads settle.
func (r *rig) flow(p Policy, n, busy int) []int {
	const before = 4000
	rng := rand.New(rand.NewPCG(1, 2))
	counts, running := make([]int, len(r.targets)), []int{}
	for k := range before + n {
		i := p.Pick(rng.Uint64(), -1)
		if i < 0 {
			panic("BUG: nobody was picked")
		}
		if k >= before {
			counts[i]++
		}
		r.targets[i].InFlight.Add(1)
		running = append(running, i)
		if len(running) > busy {
			j := rng.IntN(len(running))
			r.targets[running[j]].InFlight.Add(-1)
			running[j] = running[len(running)-1]
			running = running[:len(running)-1]
		}
	}
	for _, i := range running {
		r.targets[i].InFlight.Add(-1)
	}
	return counts
}

// A target that joins gets about its share of the ramp of what is fair, idle or busy, under every policy;
// somewhat more of small pools, which have nobody else to ask.
func TestRampGrows(t *testing.T) {
	f := func(kind string, n, perTarget int) {
		t.Helper()
		const picks = 20_000
		r := newRig(equal(n)...).ramp(0, 0.1)
		p := r.policy(t, kind, 3)
		last := 0
		for _, share := range []float64{0.1, 0.3, 0.6, 1} {
			got := r.ramp(0, share).flow(p, picks, perTarget*n)[0]
			fair := picks / float64(n)
			low, high := 0.7*share*fair, 1.9*share*fair+20
			if kind == consistentHashKind && n == 3 {
				high = 3.5*share*fair + 20 // the two others may carry 5/4 of their share only
			}
			if share == 1 {
				low, high = 0.85*fair, 1.15*fair
			}
			if float64(got) < low || float64(got) > high || got <= last {
				t.Errorf("%s, %d targets, %d in flight each, share %v: %d picks after %d, want %.0f to %.0f", kind,
					n, perTarget, share, got, last, low, high)
			}
			last = got
		}
	}
	for _, kind := range Kinds() {
		for _, n := range []int{3, 10, 16, 40} {
			f(kind, n, 0)
			f(kind, n, 5)
			f(kind, n, 50)
		}
	}
}
