package pool

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
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

func mustGetFor(t *testing.T, p *Pool, x *edge.Exchange) held {
	t.Helper()
	h, f := p.get(x)
	if f != nil {
		t.Fatal(f)
	}
	return h
}

// TestProxyConnectionsAreOfOneClient: an idle connection serves only requests that would get its header.
func TestProxyConnectionsAreOfOneClient(t *testing.T) {
	addr, _ := listenerFor(t)
	conf := testConfig(3, 1)
	conf.proxy = proxyproto.V1
	p := poolOf(conf, addr)
	a := mustGetFor(t, p, from("192.0.2.1:1000", ""))
	if want := "PROXY TCP4 192.0.2.1 10.0.0.1 1000 80\r\n"; a.c.header != want || !a.c.owes {
		t.Fatalf("header %q, owed %v; want %q", a.c.header, a.c.owes, want)
	}
	p.put(a, true)
	f := func(stands string, x *edge.Exchange, reused bool) {
		t.Helper()
		h := mustGetFor(t, p, x)
		if h.c.reused != reused {
			t.Errorf("%s: reused %v", stands, h.c.reused)
		}
		p.put(h, true)
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
	if n := p.set.Load().members[0].conns.Load(); n != 3 {
		t.Errorf("%d connections counted, want 3", n)
	}
}

// TestProxyWaitersGetNoOtherClients: who waits for a place gets the place, not the connection in it.
func TestProxyWaitersGetNoOtherClients(t *testing.T) {
	addr, _ := listenerFor(t)
	conf := testConfig(1, 100)
	conf.proxy = proxyproto.V2
	p := poolOf(conf, addr)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 1000).String()
			for range 20 {
				x := from(peer, "")
				h, f := p.get(x)
				if f != nil {
					t.Error(f)
					return
				}
				src, dst := x.ClientEnds()
				if want := string(proxyproto.V2.Append(nil, src, dst)); h.c.header != want {
					t.Errorf("%s: header %q, want %q", peer, h.c.header, want)
				}
				p.put(h, true)
			}
		})
	}
	wg.Wait()
	if n := p.set.Load().members[0].conns.Load(); n > 1 {
		t.Errorf("%d connections counted", n)
	}
}

// TestProxyAllocatesNothing: finding the connection of a client costs no memory.
func TestProxyAllocatesNothing(t *testing.T) {
	addr, _ := listenerFor(t)
	conf := testConfig(4, 1)
	conf.proxy = proxyproto.V1
	p := poolOf(conf, addr)
	x := from("192.0.2.1:1000", "")
	h := mustGetFor(t, p, x)
	p.put(h, true)
	tg := p.set.Load().members[0].Target
	if n := testing.AllocsPerRun(100, func() {
		c := tg.reuse(x, conf)
		if c != h.c {
			t.Fatal("not the client's connection")
		}
		tg.idle.push(c)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
