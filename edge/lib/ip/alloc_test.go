//go:build !race

package ip

import (
	"net/netip"
	"testing"
)

func TestNoAllocations(t *testing.T) {
	f := func(name string, work func()) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, work); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	trusted := set("10.0.0.0/8", "2001:db8::/32")
	peer, mapped := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.1")
	good := []byte("198.51.100.1:80, [2001:db8::1]:443, 10.0.0.2")
	bad := []byte("198.51.100.1, 1:2:3:4:5:6:7:8:9, 10.0.0.2")
	dst := make([]byte, 0, 64)
	f("RealClient", func() { RealClient(peer, good, trusted) })
	f("RealClient with a bad hop", func() { RealClient(mapped, bad, trusted) })
	f("Contains", func() { trusted.Contains(mapped) })
	f("AppendAddr", func() { AppendAddr(dst, mapped) })
	f("Parse", func() { Parse(good[:15]) })
	f("Parse of junk", func() { Parse(bad) })
}
