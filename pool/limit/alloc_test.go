//go:build !race

package limit

import "testing"

func TestAllocNothing(t *testing.T) {
	f := func(name string, work func()) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, work); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	l, full, th := New(fixed(10, 5)), New(fixed(1, 0)), NewThrottle(admission())
	full.TryAcquire()
	th.chance.Store(30_000)
	f("TryAcquire and Release", func() { l.TryAcquire(); l.Release() })
	f("TryAcquire in vain", func() { full.TryAcquire() })
	f("Admit", func() { l.Admit(1, ClassDefault) })
	f("Admit in vain", func() { full.Admit(1, ClassDefault) })
	f("Wait without a queue", func() { full.Wait(1, ClassDefault, 2, here) })
	f("Throttle", func() {
		th.Refuse(ClassSheddable)
		th.Request(3)
		th.Accept(3)
	})
	adapt, now := New(adaptive()), int64(0)
	f("Tick", func() {
		now += 100 * ms
		adapt.Tick(now, Sample{Count: 5, Typical: 5})
		th.Tick(now)
	})
}
