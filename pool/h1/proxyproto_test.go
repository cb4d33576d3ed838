package h1

import (
	"net/netip"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
	"github.com/penstock-edge/penstock/pool/resolve"
)

// ends are those of a client's connection.
type ends struct{ peer, local netip.AddrPort }

func (e ends) Ends() (peer, local netip.AddrPort) { return e.peer, e.local }

// from returns an exchange of the client at an address, whom the gateway believes to be somebody else when
// client is not empty.
func from(peer, client string) *edge.Exchange {
	x := newExchange()
	e := ends{netip.MustParseAddrPort(peer), netip.MustParseAddrPort("10.0.0.1:80")}
	x.Ends, x.Peer, x.Client = e, e.peer.Addr(), e.peer.Addr()
	if client != "" {
		x.Client = netip.MustParseAddr(client)
	}
	return x
}

// TestProxyConnectionsAreOfOneClient: an idle connection serves only requests that would get its header.
func TestProxyConnectionsAreOfOneClient(t *testing.T) {
	tg := proxyTarget(t, proxyproto.V1)
	s := settings(3)
	a := opened(t, tg, from("192.0.2.1:1000", ""), s)
	if want := "PROXY TCP4 192.0.2.1 10.0.0.1 1000 80\r\n"; a.header != want || !a.owes {
		t.Fatalf("header %q, owed %v; want %q", a.header, a.owes, want)
	}
	a.Release(nil)
	f := func(stands string, x *edge.Exchange, reused bool) {
		t.Helper()
		c := opened(t, tg, x, s)
		if c.reused != reused {
			t.Errorf("%s: reused %v", stands, c.reused)
		}
		c.Release(nil)
	}
	f("the same client", from("192.0.2.1:1000", ""), true)
	f("another port", from("192.0.2.1:1001", ""), false)
	f("another address", from("192.0.2.2:1000", ""), false)
	// All three places are taken by connections of others now: the oldest of them make room.
	f("a fourth", from("192.0.2.3:1000", ""), false)
	f("the fourth again", from("192.0.2.3:1000", ""), true)
	f("behind a trusted proxy", from("192.0.2.3:1000", "2001:db8::7"), false)
	f("behind it from another port", from("192.0.2.3:1001", "2001:db8::7"), true)
	f("the gateway's own", newExchange(), false)
	f("the gateway's own again", newExchange(), true)
	if n := tg.Open(); n != 3 {
		t.Errorf("%d connections counted, want 3", n)
	}
}

// TestProxyWaitersGetNoOtherClients: a waiter gets the place, not the connection in it.
func TestProxyWaitersGetNoOtherClients(t *testing.T) {
	tg := proxyTarget(t, proxyproto.V2)
	s := settings(1)
	for i := range 8 {
		x := from(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 1000).String(), "")
		a := tg.Claim(nil, s)
		if a == nil {
			t.Fatal("no place")
		}
		c := a.Stream.(*conn)
		if a.X = x; c.ready(x) != nil {
			t.Fatal(x.Cause)
		}
		src, dst := x.ClientEnds()
		if want := string(proxyproto.V2.Append(nil, src, dst)); c.header != want {
			t.Errorf("header %q, want %q", c.header, want)
		}
		c.Release(nil)
	}
	if n := tg.Open(); n != 1 {
		t.Errorf("%d connections counted", n)
	}
}

func proxyTarget(t *testing.T, v proxyproto.Version) *Target {
	addr, _ := listenerFor(t)
	return New(common(), addr, resolve.New(addr, nil), v, 16)
}
