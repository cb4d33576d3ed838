//go:build !race

package lanes

import (
	"testing"
	"time"
)

func TestNoAllocations(t *testing.T) {
	f := func(name string, work func()) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, work); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	c, g, h := NewCounter(), NewGauge(), NewHistogram(make50(14))
	var s Snap
	h.Snapshot(&s)
	f("Counter.Add", func() { c.Add(7, 2) })
	f("Counter.Sum", func() { c.Sum() })
	f("Gauge.Add", func() { g.Add(7, -2) })
	f("Histogram.Observe", func() { h.Observe(7, time.Second) })
	f("Histogram.Snapshot", func() { h.Snapshot(&s) })
}
