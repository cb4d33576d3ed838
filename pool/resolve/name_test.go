package resolve

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestNameKeepsTheLastGoodAnswer(t *testing.T) {
	var answer []netip.Addr
	var failure error
	r := New("app.internal:8080", nil)
	r.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if host != "app.internal" {
			t.Fatalf("asked for %q", host)
		}
		return append([]netip.Addr(nil), answer...), failure
	}
	f := func(found []string, err error, fails bool, want ...string) {
		t.Helper()
		answer, failure = nil, err
		for _, a := range found {
			answer = append(answer, netip.MustParseAddr(a))
		}
		if got := r.Resolve(t.Context(), time.Now().Add(time.Minute)); (got != nil) != fails {
			t.Fatalf("error %v", got)
		}
		var have []string
		if addrs := r.addrs.Load(); addrs != nil {
			for _, a := range *addrs {
				have = append(have, a.String())
			}
		}
		if len(have) != len(want) || (len(want) > 0 && have[0] != want[0]) {
			t.Fatalf("addresses %v, want %v", have, want)
		}
	}
	f(nil, errors.New("no server answers"), true)
	f([]string{"10.0.0.1", "::ffff:10.0.0.2"}, nil, false, "10.0.0.1", "10.0.0.2")
	f(nil, errors.New("timeout"), true, "10.0.0.1", "10.0.0.2")
	f(nil, nil, true, "10.0.0.1", "10.0.0.2")
	f([]string{"10.0.0.3"}, nil, false, "10.0.0.3")
	r.own = func(a netip.Addr, port uint16) bool { return a.IsLoopback() && port == 8080 }
	f([]string{"127.0.0.1", "10.0.0.4", "::1"}, nil, false, "10.0.0.4")
	f([]string{"::ffff:127.0.0.1"}, nil, true) // the gateway itself
}

// TestDialTriesAllAddresses: one address of a name that refuses does not make the target unreachable.
func TestDialTriesAllAddresses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := New("app.internal:"+port, nil)
	r.lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.0.1")}, nil
	}
	for range 4 {
		c, err := r.Dial(t.Context(), time.Now().Add(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	l.Close()
	if c, err := r.Dial(t.Context(), time.Now().Add(10*time.Second)); err == nil {
		c.Close()
		t.Fatal("a connection to nobody")
	}
}

func TestNameForms(t *testing.T) {
	f := func(address, network string, named bool) {
		t.Helper()
		if r := New(address, nil); r.network != network || r.Named() != named {
			t.Fatalf("%q: network %q, named %v", address, r.network, r.Named())
		}
	}
	f("10.0.0.1:80", "tcp", false)
	f("[::1]:80", "tcp", false)
	f("unix:/run/app.sock", "unix", false)
	f("localhost:80", "tcp", true)
}
