//go:build !race

package split

import (
	"net/netip"
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestNoAllocations(t *testing.T) {
	f := func(sticky, cookie string) {
		t.Helper()
		b, _ := build1(t, "split = [{ pool = \"a\" }, { pool = \"b\" }]\n"+sticky)
		x := newExchange(b)
		x.Client, x.Cookie = netip.MustParseAddr("2001:db8::1"), []byte(cookie)
		x.Req.Set("X-User", "somebody")
		n := testing.AllocsPerRun(1000, func() {
			clear(x.Slot)
			x.Arm = 0
			x.ResetHead()
			pick(t, x)
			for _, ph := range []edge.Phase{edge.Respond, edge.Log} {
				for _, f := range x.Plan.Filters(ph) {
					f.Run(x)
				}
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", sticky, n)
		}
	}
	f("", "")
	f(`sticky = "ip"`, "")
	f(`sticky = "header:X-User"`, "")
	f(`sticky = "cookie:id"`, "a=b; id=somebody")
	f(`sticky = "cookie:id"`, "")
}
