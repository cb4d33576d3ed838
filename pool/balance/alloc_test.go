//go:build !race

package balance

import "testing"

func TestPickAllocatesNothing(t *testing.T) {
	for _, kind := range Kinds() {
		for _, n := range []int{1, 2, 16, 1000} {
			for _, down := range []int{0, n / 2, n - 1, n} {
				r := newRig(equal(n)...)
				for i := range down {
					r.targets[i].State.Store(1)
				}
				p := r.policy(t, kind, 1)
				body := []byte("203.0.113.7")
				key := uint64(0)
				allocs := testing.AllocsPerRun(100, func() {
					key++
					if i := p.Pick(key^HashKey(1, body), 0); i >= 0 {
						r.targets[i].InFlight.Add(1)
					}
				})
				if allocs != 0 {
					t.Errorf("%s, %d of %d down: %v allocations", kind, down, n, allocs)
				}
			}
		}
	}
}
