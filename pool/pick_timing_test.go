package pool

import (
	"net"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/pool/guard"
)

// loopClient is the client's side of an exchange that a loop serves.
type loopClient struct {
	stillThere
	loop *poll.Loop
}

func (c *loopClient) Loop() (*poll.Loop, bool) { return c.loop, true }
func (c *loopClient) Resume(*poll.Loop)        {}
func (c *loopClient) Watch(*poll.Socket)       {}

// origin answers each piece that comes on each of its connections by an empty 200, until the benchmark ends.
func origin(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				for buf := make([]byte, 4096); ; {
					if _, err := c.Read(buf); err != nil {
						return
					}
					_, _ = c.Write(answer)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// BenchmarkPick is choosing a target and taking one of its idle connections, and giving it back.
func BenchmarkPick(b *testing.B) {
	loops, err := poll.Start(1)
	if err != nil {
		b.Fatal(err)
	}
	defer loops.Close()
	p := guarded().pool
	p.shared.guards.Store(&guard.Guards{})
	p.conf.Balance = "round_robin"
	p.change(origin(b), origin(b), origin(b), origin(b))
	client := &loopClient{loop: loops.Pick()}
	newX := func() *edge.Exchange {
		x := newExchange()
		x.Plan = &edge.Plan{Upstream: p}
		x.Method, x.Path, x.OutPath = []byte("GET"), []byte("/"), []byte("/")
		x.Conn, x.Loop = client, client
		x.Times.Policy = clock.Now()
		return x
	}
	for range 4 {
		x := newX()
		f := edge.Fetch(x)
		if f != nil {
			b.Fatal(f, x.Cause)
		}
		x.Finish(nil)
	}
	if err := loops.Turn(time.Minute); err != nil { // it hears of all that has come
		b.Fatal(err)
	}
	x := newX()
	for b.Loop() {
		x.Call.Flags = 0
		peer, f := p.Pick(x)
		if f != nil {
			b.Fatal(f)
		}
		if held(x) == nil || held(x).Starter == nil {
			b.Fatal("no connection")
		}
		peer.(*member).unclaim(x)
	}
}
