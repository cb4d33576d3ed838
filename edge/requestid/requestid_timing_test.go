package requestid

import (
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

func BenchmarkRequestID(b *testing.B) {
	id := &identify{clock: new(clock.Coarse)}
	x := exchange(b, false, "Accept: */*", "X-Request-Id: theirs")
	b.ReportAllocs()
	for b.Loop() {
		x.Times.Start = clock.Now()
		id.Run(x)
		forward{}.Run(x)
		reply{id}.Run(x)
	}
}
