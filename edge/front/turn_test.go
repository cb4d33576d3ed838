package front

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// answering answers every request with a body, and counts them.
type answering struct {
	body []byte
	n    int
}

func (a *answering) Run(x *edge.Exchange) edge.Verdict {
	a.n++
	x.Answer(200, "", a.body)
	return edge.Answered
}

// TestTurn: a client that sends many requests in one go has a turn and goes on in a goroutine; one that has sent
// nothing more waits in the loop.
func TestTurn(t *testing.T) {
	var current edge.Current
	f := New(&current, metric.NewRegistry().Scope(), nil, 1)
	if err := f.startLoops(); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := f.loops.Listen(nl, false)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	l := newListener(f, "test", socket)
	l.settings.Store(&settings{headBuffer: readBuffer, maxHead: 1000, headerTimeout: time.Hour, idleTimeout: time.Hour})
	try := func(requests int, turns ...int) {
		t.Helper()
		a := &answering{body: []byte("a")}
		g := edge.NewGeneration(1, func() {})
		g.Early, g.Nowhere = []edge.Filter{a}, &edge.Plan{}
		current.Swap(g)
		far, err := net.Dial("tcp", nl.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		if _, err := io.WriteString(far, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", requests)); err != nil {
			t.Fatal(err)
		}
		read := make(chan int)
		go func() {
			b, _ := io.ReadAll(far) // ends when the other side closes
			read <- strings.Count(string(b), "HTTP/1.1 200 OK")
		}()
		ac, err := socket.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := &conn{l: l, greeted: true}
		c.nc = &c.socket
		c.br.Reset(c, readBuffer, readBuffer)
		if err := f.loops.Hold(&c.socket, ac, c); err != nil {
			t.Fatal(err)
		}
		l.enter(c)
		if err := c.socket.Begin(false); err != nil {
			t.Fatal(err)
		}
		for c.socket.Fresh() {
			runtime.Gosched() // until the loop has heard of them
		}
		for i, want := range turns {
			end := blocked
			if i == len(turns)-1 {
				end = given
			}
			a.n = 0
			if got := c.run(); got != end || a.n != want {
				t.Fatalf("%d requests, turn %d: %d answered, then %d; want %d, then %d",
					requests, i, a.n, got, want, end)
			}
		}
		c.socket.Close()
		l.forget(c)
		if n := <-read; n != requests {
			t.Errorf("%d answers to %d requests", n, requests)
		}
	}
	try(1, 1)
	try(64, 64)
	try(65, 64, 1)
	try(200, 64, 64, 64, 8)
}
