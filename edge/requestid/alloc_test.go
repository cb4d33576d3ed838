//go:build !race

package requestid

import (
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

func TestNoAllocations(t *testing.T) {
	f := func(name string, work func()) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, work); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	id := &identify{clock: new(clock.Coarse)}
	x := exchange(t, false, "X-Request-Id: theirs")
	f("made", func() { id.Run(x) })
	f("forward", func() { forward{}.Run(x) })
	f("reply", func() { reply{id}.Run(x) })
	y := exchange(t, true, "X-Request-Id: theirs")
	f("kept", func() { id.Run(y) })
	z := exchange(t, false)
	z.RequestID = []byte("mine")
	f("several", func() {
		for range 2 {
			z.Req.Add(name, "theirs")
			z.Resp.Add(name, "theirs")
		}
		forward{}.Run(z)
		reply{id}.Run(z)
	})
}
