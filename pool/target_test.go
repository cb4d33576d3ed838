package pool

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/section"
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

func testConfig(most, waiting int) *section.Config {
	c := &section.Config{ConnectTimeout: 5e9, ResponseTimeout: 5e9, IdleTimeout: 60e9, StreamIdleTimeout: 60e9,
		MaxConnections: most, MaxWaiting: waiting, WaitTimeout: 5e9, MaxResponseHeaderBytes: 64 << 10,
		MaxResponseFields: 128}
	c.Settle()
	return c
}

func TestPlacesAreGivenOn(t *testing.T) {
	p := poolOf(testConfig(2, 1), "a:1")
	a := p.mustGet(t)
	p.put(a, true)
	b := p.mustGet(t)
	if b.a != a.a {
		t.Fatal("an idle place was not reused")
	}
	c := p.mustGet(t)
	if c.a == b.a {
		t.Fatal("two requests have one place")
	}
	// A third waits until one comes back; a fourth finds the queue full.
	got := make(chan inUse)
	next := func() {
		d, _ := p.get(newExchange())
		got <- d
	}
	go next()
	p.waitFor(1)
	if _, f := p.get(newExchange()); f != edge.PoolBusy {
		t.Fatalf("a full queue gives %v", f)
	}
	p.put(c, true)
	d := <-got
	if d.a != c.a {
		t.Fatal("the waiting request did not get the connection that came back")
	}
	// A waiting request also gets room when a connection is closed.
	go next()
	p.waitFor(1)
	p.put(d, false)
	e := <-got
	if e.a == nil || e.a == d.a {
		t.Fatal("room that became free was not given on")
	}
	tg := p.set.Load().members[0].Target
	if n := tg.transport.Open(); n != 2 {
		t.Fatalf("%d places counted, want 2", n)
	}
	p.put(b, true)
	p.put(e, true)
	tg.drop()
	if n := tg.transport.Open(); n != 0 {
		t.Fatalf("%d places counted after the target was dropped", n)
	}
}

func TestWaitEndsInTime(t *testing.T) {
	conf := testConfig(1, 5)
	conf.WaitTimeout = 1e6
	p := poolOf(conf, "a:1")
	c := p.mustGet(t)
	if _, f := p.get(newExchange()); f != edge.PoolWait {
		t.Fatalf("waiting in vain gives %v", f)
	}
	if p.shared.queue.Len() != 0 {
		t.Fatal("the queue keeps who has left")
	}
	p.put(c, false)
}
