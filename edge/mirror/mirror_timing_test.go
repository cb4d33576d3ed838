package mirror

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

// BenchmarkCopy is what a mirrored request costs the goroutine that serves it.
func BenchmarkCopy(b *testing.B) {
	bench := newBench(b, `mirror = { pool = "shadow" }`)
	defer bench.stop()
	m, x := bench.mirror(), new(edge.Exchange)
	x.Slot = make([]any, bench.gen.Slots)
	x.Path, x.OutPath = []byte("/search"), []byte("/search")
	for _, name := range []string{"Accept", "User-Agent", "X-Forwarded-For", "X-Request-Id", "Cookie"} {
		x.Req.Set(name, "some value of some length")
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Run(x)
		(<-m.queue).release()
	}
}
