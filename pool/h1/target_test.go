package h1

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config/clienttls"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
	"github.com/penstock-edge/penstock/pool/resolve"
	"github.com/penstock-edge/penstock/pool/transport"
)

// stillThere is a client that never leaves.
type stillThere struct{}

func (stillThere) Gone() bool { return false }
func (stillThere) Abort()     {}

func newExchange() *edge.Exchange {
	x := &edge.Exchange{}
	x.Conn = stillThere{}
	return x
}

// listenerFor accepts and keeps connections until the test ends.
func listenerFor(t *testing.T) (string, func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	var mu sync.Mutex
	var open []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range open {
			c.Close()
		}
	})
	return l.Addr().String(), func() int { return int(n.Load()) }
}

func settings(most int) *transport.Settings {
	return &transport.Settings{ConnectTimeout: 5e9, ResponseTimeout: 5e9, StreamIdleTimeout: 60e9, MaxPlaces: most,
		MaxHeadBytes: 64 << 10, MaxHeadFields: 128, TLS: &clienttls.Settings{}, Mended: lanes.NewCounter()}
}

func common() *Common {
	return &Common{Pool: "app", Files: &descriptors.Budget{}, CloseIdle: func() {}, Lacks: func(string, error) {}}
}

func targetAt(addr string) *Target {
	return New(common(), addr, resolve.New(addr, nil), proxyproto.None, 16)
}

// opened returns a connection that x has claimed, and on which nothing was sent.
func opened(t *testing.T, tg *Target, x *edge.Exchange, s *transport.Settings) *conn {
	t.Helper()
	a := tg.Claim(x, s)
	if a == nil {
		t.Fatal("no place")
	}
	c := a.Stream.(*conn)
	a.X = x
	if f := c.ready(x); f != nil {
		t.Fatal(f, x.Cause)
	}
	return c
}

func TestClaimReusesAndCaps(t *testing.T) {
	addr, accepted := listenerFor(t)
	tg, s := targetAt(addr), settings(2)
	a := opened(t, tg, newExchange(), s)
	if a.reused {
		t.Fatal("the first connection is not new")
	}
	a.Release(nil)
	b := opened(t, tg, newExchange(), s)
	if b != a || !b.reused {
		t.Fatal("an idle connection was not reused")
	}
	c := opened(t, tg, newExchange(), s)
	if c == b {
		t.Fatal("two exchanges have one connection")
	}
	if tg.Claim(newExchange(), s) != nil || tg.Claim(nil, s) != nil {
		t.Fatal("a third place of two")
	}
	c.asked = true
	c.Release(edge.UpstreamReset)
	if n := tg.Open(); n != 1 {
		t.Fatalf("%d connections counted, one of two has failed", n)
	}
	room := tg.Claim(nil, s)
	if room == nil || tg.Open() != 2 {
		t.Fatal("what has failed leaves no room")
	}
	room.Stream.Release(nil)
	b.Release(nil)
	tg.Retire(b.lastUsed.Load() - 1)
	if n := tg.Open(); n != 1 {
		t.Fatalf("%d connections after the old ones were closed", n)
	}
	tg.Retire(b.lastUsed.Load())
	if n := tg.Open(); n != 0 {
		t.Fatalf("%d connections after all were closed", n)
	}
	if accepted() > 2 {
		t.Fatalf("%d connections were opened for 2", accepted())
	}
}

// TestFreshOpensAnother: after a connection that was dead none of the idle ones is trusted.
func TestFreshOpensAnother(t *testing.T) {
	addr, _ := listenerFor(t)
	tg, s := targetAt(addr), settings(1)
	opened(t, tg, newExchange(), s).Release(nil)
	for _, unseen := range []bool{false, true} {
		x := newExchange()
		x.Fresh = true
		var a *transport.Attempt
		if unseen {
			a = tg.Claim(nil, s)
		} else {
			a = tg.Claim(x, s)
		}
		c := a.Stream.(*conn)
		a.X = x
		if f := c.ready(x); f != nil || c.reused || tg.Open() != 1 {
			t.Errorf("claimed unseen %v: fault %v, reused %v, %d open", unseen, f, c.reused, tg.Open())
		}
		c.Release(nil)
	}
}

func TestDeadConnectionsAreNotReused(t *testing.T) {
	conns := make(chan net.Conn, 4)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	f := func(what string, unseen bool, spoil func(net.Conn)) {
		t.Helper()
		tg, s := targetAt(l.Addr().String()), settings(1)
		a := opened(t, tg, newExchange(), s)
		a.Release(nil)
		spoil(<-conns)
		for a.alive(newExchange()) {
			runtime.Gosched() // until what was sent has arrived
		}
		x := newExchange()
		var again *transport.Attempt
		if unseen {
			again = tg.Claim(nil, s)
		} else {
			again = tg.Claim(x, s)
		}
		c := again.Stream.(*conn)
		again.X = x
		if fault := c.ready(x); fault != nil || c.reused || !c.alive(x) || tg.Open() != 1 {
			t.Errorf("%s: fault %v, reused %v, %d open", what, fault, c.reused, tg.Open())
		}
		(<-conns).Close()
		c.asked = true
		c.Release(edge.UpstreamReset)
	}
	for _, unseen := range []bool{false, true} {
		f("closed", unseen, func(c net.Conn) { c.Close() })
		f("poisoned", unseen, func(c net.Conn) { c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")) })
		f("reset", unseen, func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() })
	}
}

// TestClaimStorm: no connection is in two hands, no more are open than may be, and all come back.
func TestClaimStorm(t *testing.T) {
	addr, _ := listenerFor(t)
	tg, s := targetAt(addr), settings(3)
	var inUse sync.Map
	var served atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 300 {
				x := newExchange()
				x.Fresh = n%50 == 49
				claimer := x
				if (n+i)%3 == 0 {
					claimer = nil // as for a waiter
				}
				a := tg.Claim(claimer, s)
				if a == nil {
					runtime.Gosched()
					continue
				}
				c := a.Stream.(*conn)
				if _, taken := inUse.LoadOrStore(c, true); taken {
					t.Error("a connection is in two hands")
				}
				a.X = x
				if n%5 > 0 { // else it is not needed any more
					if f := c.ready(x); f != nil {
						t.Error(f, x.Cause)
					}
					served.Add(1)
				}
				if n := tg.Open(); n > 3 {
					t.Errorf("%d connections", n)
				}
				c.Interrupt()
				inUse.Delete(c)
				a.X = nil
				c.Release(nil)
			}
		})
	}
	wg.Wait()
	if served.Load() == 0 {
		t.Error("the test tests nothing")
	}
	idle := int64(0)
	for c := tg.idle.pop(0); c != nil; c = tg.idle.pop(0) {
		idle++
		c.close()
	}
	if idle != tg.Open() {
		t.Errorf("%d connections counted, %d there", tg.Open(), idle)
	}
}
