package own

import (
	"net/netip"
	"testing"

	"github.com/penstock-edge/penstock/edge/config"
)

// TestAddresses: an address that the gateway listens on is found, and counted each time.
func TestAddresses(t *testing.T) {
	file := config.Load("t.toml", []byte("[[listener]]\naddress = \"127.0.0.1:8080\"\n"), config.Options{})
	var a Addresses
	a.SetFirst(file.Own())
	f := func(addr string, own bool) {
		t.Helper()
		at := netip.MustParseAddrPort(addr)
		before := a.Found()
		if got := a.Is(at.Addr(), at.Port()); got != own {
			t.Errorf("%s: own %v", addr, got)
		}
		if found := a.Found() - before; (found == 1) != own {
			t.Errorf("%s: %d counted", addr, found)
		}
	}
	f("127.0.0.1:8080", true)
	f("127.0.0.1:8080", true)
	f("127.0.0.1:8081", false)
	f("192.0.2.1:8080", false)
	a.SetFirst(config.Load("t.toml", []byte("[[listener]]\naddress = \"127.0.0.1:8081\"\n"), config.Options{}).Own())
	f("127.0.0.1:8080", true)
	a.Set(config.Load("t.toml", []byte("[[listener]]\naddress = \"127.0.0.1:8081\"\n"), config.Options{}).Own())
	f("127.0.0.1:8080", false)
	f("127.0.0.1:8081", true)
}
