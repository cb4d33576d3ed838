package h1

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
)

// answering answers every request, and counts those that a loop and those that a goroutine has brought.
type answering struct{ looped, handed atomic.Int64 }

func (a *answering) Run(x *edge.Exchange) edge.Verdict {
	n := &a.handed
	if _, inside := x.Conn.(edge.LoopConn).Loop(); inside {
		n = &a.looped
	}
	n.Add(1)
	x.Answer(200, "", []byte("a"))
	return edge.Answered
}

// TestTurn: a client that sends many requests in one go has a turn in the loop, the rest is a goroutine's.
func TestTurn(t *testing.T) {
	site := newApp(t, nil, nil)
	l := newRig(t, site, &client.Settings{})
	try := func(looped, handed int) {
		t.Helper()
		a := &answering{}
		g := edge.NewGeneration(1, func() {})
		g.Early, g.Nowhere = []edge.Filter{a}, &edge.Plan{}
		site.Swap(g)
		far := l.dial(t)
		const request, last = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		if _, err := io.WriteString(far, strings.Repeat(request, looped+handed-1)+last); err != nil {
			t.Fatal(err)
		}
		l.accept(t, true)
		b, err := io.ReadAll(far)
		if n := strings.Count(string(b), "HTTP/1.1 200 OK"); err != nil || n != looped+handed {
			t.Errorf("%d answers, want %d; %v", n, looped+handed, err)
		}
		if got, rest := a.looped.Load(), a.handed.Load(); got != int64(looped) || rest != int64(handed) {
			t.Errorf("%d in the loop and %d in a goroutine, want %d and %d", got, rest, looped, handed)
		}
	}
	try(1, 0)
	try(64, 0)
	try(64, 1)
	try(64, 136)
}
