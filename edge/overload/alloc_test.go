//go:build !race

package overload

import (
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestAllocGuard(t *testing.T) {
	g := newGauge(&fake{})
	d := newTestGuard(g, edge.ClassDefault, "X-Priority")
	x := &edge.Exchange{}
	f := func(value string, chance uint32) {
		t.Helper()
		x.Req.Set("X-Priority", value)
		for c := range g.chance {
			g.chance[c].Store(chance)
		}
		if n := testing.AllocsPerRun(1000, func() { d.Run(x) }); n != 0 {
			t.Errorf("%v allocations at a chance of %d", n, chance)
		}
	}
	for _, chance := range []uint32{0, 30_000, 65_536} {
		f("", chance)
		f("sheddable", chance)
		f("nonsense", chance)
		f(strings.Repeat("a", 8000), chance)
	}
}
