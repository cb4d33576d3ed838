//go:build !race

package h1

import (
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
)

// TestAllocLoop: an exchange in a loop, and one in a goroutine, allocate nothing.
func TestAllocLoop(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	tg, s, c := fast(t, answer), settings(1), looped(t)
	warm(t, tg, s, c)
	x := loopRequest(c)
	f := func(inLoop bool) {
		t.Helper()
		if n := testing.AllocsPerRun(200, func() {
			a := tg.Claim(x, s)
			a.X = x
			if inLoop {
				a.Starter.Start(x)
				if _, f := c.receive(a); f != nil {
					t.Fatal(f)
				}
			} else if f := a.Stream.RoundTrip(x); f != nil {
				t.Fatal(f)
			}
			x.Out.Close()
			x.Out = nil
			a.Stream.Release(nil)
		}); n != 0 {
			t.Errorf("in a loop %v: %v allocations", inLoop, n)
		}
	}
	f(true)
	f(false)
}

// TestAllocProxyClaim: finding the connection of a client costs no memory.
func TestAllocProxyClaim(t *testing.T) {
	tg := proxyTarget(t, proxyproto.V1)
	s := settings(4)
	x := from("192.0.2.1:1000", "")
	c := opened(t, tg, x, s)
	c.Release(nil)
	if n := testing.AllocsPerRun(100, func() {
		a := tg.Claim(x, s)
		if a != &c.a {
			t.Fatal("not the client's connection")
		}
		a.Stream.Release(nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
