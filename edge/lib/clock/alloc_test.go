//go:build !race

package clock

import (
	"testing"
	"testing/synctest"
)

// Time stands still here, so that no refresh (its one allocation a second) falls in.
func TestNoAllocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Coarse
		f := func(name string, work func()) {
			t.Helper()
			if n := testing.AllocsPerRun(1000, work); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
		f("Now", func() { Now() })
		f("HTTPDate", func() { c.HTTPDate() })
		f("UnixNano", func() { c.UnixNano(Now()) })
		f("Time", func() { c.Time(Now()) })
	})
}
