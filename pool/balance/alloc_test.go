//go:build !race

package balance

import "testing"

// With everything that a pool can have: zones, targets in their slow start, backups, some down.
func TestPickAllocatesNothingAtAll(t *testing.T) {
	for _, kind := range Kinds() {
		for _, spill := range []bool{false, true} {
			r := fullRig(1000)
			c := r.chooser(t, kind, 1)
			c.Spill(spill)
			key, n := uint64(0), 0
			allocs := testing.AllocsPerRun(2000, func() {
				key += 0x9e3779b97f4a7c15
				i := c.Pick(key, n)
				n = (n + 1) % 1000
				r.targets[i].InFlight.Add(1)
			})
			if allocs != 0 {
				t.Errorf("%s, spilling %v: %v allocations", kind, spill, allocs)
			}
		}
	}
}

func TestLatencyAllocatesNothing(t *testing.T) {
	var l Latency
	now := base
	if n := testing.AllocsPerRun(100, func() {
		now += int64(ms)
		l.Observe(now, 5*ms)
		l.Fail(now, ms)
		l.Decay(now)
		l.Value()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

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
