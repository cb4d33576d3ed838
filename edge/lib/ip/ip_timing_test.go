package ip

import (
	"net/netip"
	"testing"
)

func BenchmarkRealClient(b *testing.B) {
	trusted := set("10.0.0.0/8", "2001:db8::/32")
	peer := netip.MustParseAddr("10.0.0.1")
	f := func(name, xff string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			line := []byte(xff)
			for b.Loop() {
				RealClient(peer, line, trusted)
			}
		})
	}
	f("no header", "")
	f("one hop", "198.51.100.1")
	f("three hops", "198.51.100.1, 2001:db8::1, 10.0.0.2")
	f("bad hop", "198.51.100.1, unknown")
}

func BenchmarkParse(b *testing.B) {
	f := func(text string) {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			line := []byte(text)
			for b.Loop() {
				Parse(line)
			}
		})
	}
	f("198.51.100.1")
	f("[2001:db8:12:34::5678]:443")
}

func BenchmarkAppendAddr(b *testing.B) {
	f := func(text string) {
		b.Run(text, func(b *testing.B) {
			dst, a := make([]byte, 0, 64), netip.MustParseAddr(text)
			b.ReportAllocs()
			for b.Loop() {
				AppendAddr(dst, a)
			}
		})
	}
	f("198.51.100.1")
	f("2001:db8:12:34::5678")
}

func BenchmarkContains(b *testing.B) {
	b.ReportAllocs()
	var list []netip.Prefix
	for i := range 20000 {
		a := netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 0})
		list = append(list, netip.PrefixFrom(a, 24))
	}
	s, a := NewSet(list), netip.MustParseAddr("20.40.40.7")
	for b.Loop() {
		s.Contains(a)
	}
}
