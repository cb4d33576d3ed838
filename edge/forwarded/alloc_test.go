//go:build !race

package forwarded

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestNoAllocations(t *testing.T) {
	b := believer()
	f := func(name string, x *edge.Exchange) {
		t.Helper()
		keep := new(edge.Exchange)
		x.Req.CopyTo(&keep.Req)
		n := testing.AllocsPerRun(1000, func() {
			keep.Req.CopyTo(&x.Req) // allocates nothing once there is room
			b.Run(x)
			addForwarded{}.Run(x)
			x.ResetHead()
			addVia{}.Run(x)
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	f("plain", exchange(t, stranger, "Accept: */*"))
	f("claims", exchange(t, stranger, "Accept: 1", "X-Real-Ip: 6.6.6.6", "X-Forwarded-For: 1", "X-Forwarded-For: 2"))
	f("trusted", exchange(t, proxy, "X-Forwarded-For: 1.1.1.1, 10.0.0.3", "X-Forwarded-Proto: https", "Via: 1.1 a"))
	f("socket", exchange(t, socket, "X-Forwarded-For: 1.1.1.1, 10.0.0.3"))
}
