//go:build !race

package metric

import (
	"io"
	"testing"
)

// A scrape costs the same memory however many series there are.
func TestWriteAllocations(t *testing.T) {
	f := func(routes int) float64 {
		r := NewRegistry()
		fill(r.Scope(), routes)
		return testing.AllocsPerRun(20, func() { _ = r.Write(io.Discard) })
	}
	few, many := f(500), f(5000)
	if many > few {
		t.Errorf("%v allocations for 500 routes, %v for 5000", few, many)
	}
}
