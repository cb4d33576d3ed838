package forwarded

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

// BenchmarkForwarded starts each time from a copy of the head as it was received; "copy" is what that costs.
func BenchmarkForwarded(b *testing.B) {
	believing := believer()
	feature := func(x *edge.Exchange) {
		believing.Run(x)
		addForwarded{}.Run(x)
	}
	work := func(*edge.Exchange) {}
	f := func(name, peer string, lines ...string) {
		b.Run(name, func(b *testing.B) {
			lines = append(lines, "User-Agent: curl/8", "Accept: */*", "Accept-Encoding: gzip", "Cookie: a=1; b=2")
			x := exchange(b, peer, lines...)
			keep := exchange(b, peer, lines...)
			b.ReportAllocs()
			for b.Loop() {
				keep.Req.CopyTo(&x.Req)
				work(x)
			}
		})
	}
	f("copy", stranger)
	work = feature
	f("plain", stranger)
	f("claims", stranger, "X-Real-Ip: 6.6.6.6", "X-Forwarded-For: 1.1.1.1")
	f("trusted", proxy, "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "Via: 1.1 lb")
}

func BenchmarkSign(b *testing.B) {
	x := new(edge.Exchange)
	b.ReportAllocs()
	for b.Loop() {
		x.ResetHead()
		addVia{}.Run(x)
	}
}
