//go:build !race

package outlier

import "testing"

// Attempts allocate nothing, those that fail neither.
func TestAllocAccounting(t *testing.T) {
	var s Streak
	c := plain()
	if n := testing.AllocsPerRun(1000, func() {
		s.Success()
		Tripped(c, TargetError, s.Error(TargetError))
		Tripped(c, GatewayError, s.Error(GatewayError))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// An ejection that begins and ends allocates nothing either.
func TestAllocEjection(t *testing.T) {
	var e Ejection
	c := plain()
	now := second
	if n := testing.AllocsPerRun(1000, func() {
		if !Allowed(c, 4, 1) || e.Over(now) {
			t.Fatal("it is out, or may not be")
		}
		now = e.Eject(c, now)
		if !e.Over(now) {
			t.Fatal("it is still out")
		}
		now++
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
