package pool

import (
	"net"
	"strconv"
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
)

// BenchmarkPick is choosing a target and taking one of its idle connections, and giving it back.
func BenchmarkPick(b *testing.B) {
	loops, err := poll.Start(1)
	if err != nil {
		b.Fatal(err)
	}
	defer loops.Close()
	loop := loops.Pick()
	p := guarded().pool
	p.shared.guards.Store(&guards{})
	p.conf.Balance = "round_robin"
	p.retries = lanes.NewCounter()
	var members []*member
	for i := range 4 {
		t, _ := p.shared.acquire(strconv.Itoa(i), targetSpec{address: "127.0.0.1:1", weight: 1}, proxyproto.None, 4)
		m := &member{Target: t, pool: p, spec: targetSpec{weight: 1}}
		members = append(members, m)
	}
	set, err := p.newSet(members)
	if err != nil {
		b.Fatal(err)
	}
	p.set.Store(set)
	for _, m := range members {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		near, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		s, err := loop.Take(near, onReady{})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		c := &conn{t: m.Target, nc: s, socket: s, plain: true}
		c.raw, _ = s.SyscallConn()
		m.conns.Add(1)
		m.idle.push(c)
	}
	x := newExchange()
	x.Method = []byte("GET")
	x.Loop = &loopClient{loop: loop, inside: true}
	x.Times.Policy = clock.Now()
	b.ResetTimer()
	for b.Loop() {
		x.Call.Flags = 0
		peer, f := p.Pick(x)
		if f != nil {
			b.Fatal(f)
		}
		m := peer.(*member)
		c, ok := x.Held.(*conn)
		if !ok {
			b.Fatal("no connection")
		}
		c.claimed = false
		m.Target.release(c, true, 0)
	}
}
