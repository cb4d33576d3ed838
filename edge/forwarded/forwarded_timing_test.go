package forwarded

import "testing"

func BenchmarkForwarded(b *testing.B) {
	f := func(name, peer string, lines ...string) {
		b.Run(name, func(b *testing.B) {
			lines = append(lines, "User-Agent: curl/8", "Accept: */*", "Accept-Encoding: gzip", "Cookie: a=1; b=2")
			x := exchange(b, peer, lines...)
			keep := exchange(b, peer, lines...)
			believing := believer()
			b.ReportAllocs()
			for b.Loop() {
				keep.Req.CopyTo(&x.Req)
				believing.Run(x)
				tell{}.Run(x)
			}
		})
	}
	f("plain", stranger)
	f("claims", stranger, "X-Real-Ip: 6.6.6.6", "X-Forwarded-For: 1.1.1.1")
	f("trusted", proxy, "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "Via: 1.1 lb")
}
