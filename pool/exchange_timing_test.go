package pool

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/poll"
)

// waitingClient is a client in a loop whose exchange goes on in the benchmark.
type waitingClient struct {
	loopClient
	news chan bool
}

func (c *waitingClient) Resume(*poll.Loop) { c.news <- true }

// BenchmarkExchange is a whole exchange with a target on this machine, from the choice to the release, with the
// pool's guards and counters.
func BenchmarkExchange(b *testing.B) {
	loops, err := poll.Start(1)
	if err != nil {
		b.Fatal(err)
	}
	defer loops.Close()
	p := guarded().pool
	p.conf.Balance = "round_robin"
	p.change(origin(b))
	client := &waitingClient{loopClient{loop: loops.Pick()}, make(chan bool, 1)}
	x := newExchange()
	x.Plan = &edge.Plan{Upstream: p}
	x.Method, x.Path, x.OutPath = []byte("GET"), []byte("/"), []byte("/")
	x.Conn, x.Loop = client, client
	x.Times.Policy = clock.Now()
	if f := edge.Fetch(x); f != nil {
		b.Fatal(f, x.Cause)
	}
	x.Finish(nil)
	x.MayWait = false
	b.ReportAllocs()
	for b.Loop() {
		x.Call, x.Attempts = edge.Call{}, 0
		peer, f := p.Pick(x)
		if f != nil {
			b.Fatal(f)
		}
		x.Attempts = 1
		m := peer.(*member)
		if !m.Start(x) {
			b.Fatal("not sent")
		}
		for {
			progress, f := m.Receive(x)
			if f != nil {
				b.Fatal(f)
			}
			if progress == edge.Ended {
				break
			}
			<-client.news
		}
		m.Release(x, nil)
		p.End(x)
	}
}
