//go:build !race

package balance

import "testing"

// The largest pool there may be: no index runs over 16 bits. One goroutine, seconds under the race
// detector, which would find nothing.
func TestLargest(t *testing.T) {
	r := newRig(equal(MaxTargets)...)
	for i := range r.targets {
		r.targets[i].Weight = 1 + int32(i%3)
	}
	r.targets[MaxTargets-1].Weight = MaxWeight
	for _, kind := range []string{roundRobinKind, consistentHashKind} {
		p := r.policy(t, kind, 9)
		for key := range uint64(1000) {
			if i := p.Pick(key, -1); i < 0 || i >= MaxTargets {
				t.Fatalf("%s picked %d", kind, i)
			}
		}
	}
}
