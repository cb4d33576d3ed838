//go:build !race

package bodylimit

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestNoAllocations(t *testing.T) {
	x, l := new(edge.Exchange), &limit{max: 10}
	for _, x.InLen = range []int64{5, 50} {
		if n := testing.AllocsPerRun(1000, func() { l.Run(x) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
