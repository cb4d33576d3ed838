package config

import (
	"net"
	"net/netip"
	"testing"
)

func TestOwn(t *testing.T) {
	c := Load("f", []byte(`
[admin]
address = "127.0.0.1:9901"
[[listener]]
address = ":8080"
[[listener]]
address = "10.9.8.7:8081"
[[listener]]
address = "unix:/run/penstock/data.sock"
[[listener]]
address = "edge.example:8082"
[[listener]]
address = "127.0.0.1:0"
`), Options{})
	o := c.Own()
	f := func(address, want string) {
		t.Helper()
		if got := o.Find(address); got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
	const admin, all = "the admin address", "the listener at line 5"
	f("127.0.0.1:9901", admin)
	f("localhost:9901", admin)
	f("[::ffff:127.0.0.1]:9901", admin)
	f("0.0.0.0:9901", admin)
	f("[::]:9901", admin)
	f("127.0.0.2:9901", "")
	f("[::1]:9901", "")
	f("10.0.0.1:9901", "")
	f("127.0.0.1:8080", all)
	f("127.5.5.5:8080", all)
	f("[::1]:8080", all)
	f("0.0.0.0:8080", all)
	f("192.0.2.1:8080", "")
	f("app.internal:8080", "")
	f("10.9.8.7:8081", "the listener at line 7")
	f("127.0.0.1:8081", "")
	f("0.0.0.0:8081", "")
	f("unix:/run/penstock/../penstock/data.sock", "the listener at line 9")
	f("unix:/run/other.sock", "")
	f("EDGE.example:8082", "the listener at line 11")
	f("127.0.0.1:0", "")
	f("nonsense", "")
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.(*net.IPNet).IP)
		if got := o.FindAddr(ip, 8080); got != all {
			t.Errorf("%s is %q", ip, got)
		}
		if got := o.FindAddr(ip, 80); got != "" {
			t.Errorf("%s is %q on another port", ip, got)
		}
	}
	var none *Own
	if none.Find("127.0.0.1:1") != "" || none.FindAddr(netip.MustParseAddr("127.0.0.1"), 1) != "" {
		t.Error("nobody's addresses have one")
	}
}
