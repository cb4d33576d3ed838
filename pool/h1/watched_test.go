package h1

import (
	"net"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/poll"
)

// loopClient is the client's side of an exchange that a loop serves.
type loopClient struct {
	loop   *poll.Loop
	inside bool
}

func (c *loopClient) Loop() (*poll.Loop, bool) { return c.loop, c.inside }
func (c *loopClient) Resume(*poll.Loop)        {}
func (c *loopClient) Watch(*poll.Socket)       {}

// onReady calls f in the loop.
type onReady struct{ f func() }

func (h onReady) Ready()   { h.f() }
func (h onReady) Expired() {}
func (h onReady) Hangup()  {}

// adopt gives one end of a connection to the loop, and returns the other.
func adopt(t *testing.T, loop *poll.Loop, h poll.Handler) (*poll.Socket, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s, err := loop.AdoptConn(near, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); far.Close() })
	return s, far
}

// TestWatched: the kernel is asked about an idle connection unless the loop must have heard of all that
// came on it before the request.
func TestWatched(t *testing.T) {
	loops, err := poll.Start(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loops.Close)
	here, elsewhere := loops.Pick(), loops.Pick()
	near, _ := adopt(t, here, onReady{})
	other, _ := adopt(t, elsewhere, onReady{})
	done := make(chan struct{})
	asked, far := adopt(t, here, onReady{func() {
		defer close(done)
		f := func(want bool, what string, change func(c *conn, x *edge.Exchange, l *loopClient)) {
			l := &loopClient{loop: here, inside: true}
			x := newExchange()
			x.Loop, x.Method = l, []byte("GET")
			c := &conn{socket: near}
			c.lastUsed.Store(here.Round() - 1)
			change(c, x, l)
			if got := c.watched(x); got != want {
				t.Errorf("%s: watched %v, want %v", what, got, want)
			}
		}
		f(true, "idle in the same loop", func(*conn, *edge.Exchange, *loopClient) {})
		f(false, "idle since this round", func(c *conn, _ *edge.Exchange, _ *loopClient) {
			c.lastUsed.Store(here.Round())
		})
		f(false, "of another loop", func(c *conn, _ *edge.Exchange, _ *loopClient) { c.socket = other })
		f(false, "asked by a goroutine", func(_ *conn, _ *edge.Exchange, l *loopClient) { l.inside = false })
		f(false, "no loop", func(_ *conn, x *edge.Exchange, _ *loopClient) { x.Loop = nil })
		f(false, "under TLS", func(c *conn, _ *edge.Exchange, _ *loopClient) { c.socket = nil })
		f(false, "must not be repeated", func(_ *conn, x *edge.Exchange, _ *loopClient) {
			x.Method = []byte("POST")
		})
	}})
	if !asked.Await() {
		t.Fatal("the socket is not idle")
	}
	if _, err := far.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestIdleListsHomeFirst(t *testing.T) {
	loops, err := poll.Start(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loops.Close)
	one, two := loops.Pick(), loops.Pick()
	onOne, _ := adopt(t, one, onReady{})
	onTwo, _ := adopt(t, two, onReady{})
	a, b := &conn{socket: onOne}, &conn{socket: onTwo}
	all := newIdleLists(2, 2)
	if !all.push(a) || !all.push(b) || !all.any() {
		t.Fatal("no room")
	}
	if c := all.pop(two.Index()); c != b {
		t.Error("a foreign connection came before one at home")
	}
	if c := all.pop(two.Index()); c != a {
		t.Error("a foreign connection was not lent")
	}
	if all.pop(0) != nil || all.any() {
		t.Error("something is left")
	}
	extra := &conn{socket: onOne}
	if !all.push(a) || !all.push(extra) {
		t.Error("another list's room was not used")
	}
	if all.push(b) {
		t.Error("more connections than there is room for")
	}
	for room := range 9 {
		n := 0
		for lists, i := newIdleLists(room, 4), 0; i < 4; i++ {
			n += len(lists[i].slots)
		}
		if n != room {
			t.Errorf("room for %d, want %d", n, room)
		}
	}
}
