package requestid

import (
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

func BenchmarkRequestID(b *testing.B) {
	f := func(name string, trusted bool, line string) {
		b.Run(name, func(b *testing.B) {
			id := &identify{clock: new(clock.Coarse)}
			x := exchange(b, trusted, "Accept: */*", line)
			b.ReportAllocs()
			for b.Loop() {
				x.Times.Start = clock.Now()
				id.Run(x)
				forward{}.Run(x)
				reply{id}.Run(x)
			}
		})
	}
	f("made", false, "X-Request-Id: theirs")
	f("kept", true, "X-Request-Id: theirs")
}
