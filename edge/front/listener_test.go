package front

import (
	"net/netip"
	"testing"
)

// TestPerIP: a /64 of IPv6 is one address.
func TestPerIP(t *testing.T) {
	var p perIP
	f := func(a string, want bool) {
		t.Helper()
		if got := p.enter(netip.MustParseAddr(a), 2); got != want {
			t.Errorf("%s enters: %v", a, got)
		}
	}
	f("2001:db8::1", true)
	f("2001:db8::ffff:2", true)
	f("2001:db8::3", false)
	f("2001:db8:0:1::1", true)
	f("192.0.2.1", true)
	f("192.0.2.2", true)
	p.leave(netip.MustParseAddr("2001:db8::1"))
	f("2001:db8::3", true)
	for _, a := range []string{"2001:db8::1", "2001:db8::1", "2001:db8:0:1::9", "192.0.2.1", "192.0.2.2"} {
		p.leave(netip.MustParseAddr(a))
	}
	if len(p.n) > 0 {
		t.Errorf("%v is left", p.n)
	}
}
