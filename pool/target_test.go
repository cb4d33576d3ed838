package pool

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge"
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

func testConfig(most, waiting int) *Config {
	return &Config{ConnectTimeout: 5e9, ResponseTimeout: 5e9, IdleTimeout: 60e9, StreamIdleTimeout: 60e9,
		MaxConnections: most, MaxWaiting: waiting, WaitTimeout: 5e9}
}

func TestIdleSlotsOneOwner(t *testing.T) {
	s := &idleSlots{slots: make([]atomic.Pointer[conn], 8)}
	owners := make([]atomic.Int32, 8)
	conns := make([]*conn, 8)
	index := map[*conn]int{}
	for i := range conns {
		conns[i] = &conn{}
		index[conns[i]] = i
		if !s.push(conns[i]) {
			t.Fatal("no room for the first eight")
		}
	}
	if s.push(&conn{}) {
		t.Fatal("a ninth connection found a slot")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 20_000 {
				c := s.pop()
				if c == nil {
					continue
				}
				if owners[index[c]].Add(1) != 1 {
					t.Error("a connection has two owners")
				}
				runtime.Gosched()
				owners[index[c]].Add(-1)
				if !s.push(c) {
					t.Error("a connection found no slot")
				}
			}
		}()
	}
	wg.Wait()
	seen := map[*conn]bool{}
	for c := s.pop(); c != nil; c = s.pop() {
		seen[c] = true
	}
	if len(seen) != 8 {
		t.Fatalf("%d connections left of 8", len(seen))
	}
}

func TestIdleSlotsLastInFirstOut(t *testing.T) {
	s := &idleSlots{slots: make([]atomic.Pointer[conn], 4)}
	a, b, c := &conn{}, &conn{}, &conn{}
	s.push(a)
	s.push(b)
	s.push(c)
	if s.pop() != c || s.pop() != b {
		t.Fatal("the last one in is not the first one out")
	}
	s.push(b)
	if s.pop() != b || s.pop() != a || s.pop() != nil {
		t.Fatal("order lost after a push")
	}
}

func TestAcquireReusesAndCaps(t *testing.T) {
	addr, accepted := listenerFor(t)
	p := poolOf(testConfig(2, 1), addr)
	a := p.mustGet(t)
	p.put(a, true)
	b := p.mustGet(t)
	if b.c != a.c || !b.c.reused {
		t.Fatal("an idle connection was not reused")
	}
	c := p.mustGet(t)
	if c.c == b.c {
		t.Fatal("two requests have one connection")
	}
	// A third waits until one comes back; a fourth finds the queue full.
	got := make(chan held)
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
	if d.c != c.c {
		t.Fatal("the waiting request did not get the connection that came back")
	}
	// A waiting request also gets room when a connection is closed.
	go next()
	p.waitFor(1)
	p.put(d, false)
	e := <-got
	if e.c == nil || e.c == d.c {
		t.Fatal("room that became free was not given on")
	}
	tg := p.set.Load().members[0].Target
	if n := tg.conns.Load(); n != 2 {
		t.Fatalf("%d connections counted, want 2", n)
	}
	p.put(b, true)
	p.put(e, true)
	tg.drop()
	if n := tg.conns.Load(); n != 0 {
		t.Fatalf("%d connections counted after the target was dropped", n)
	}
	if accepted() > 3 {
		t.Fatalf("%d connections were opened for 3", accepted())
	}
}

func TestWaitEndsInTime(t *testing.T) {
	addr, _ := listenerFor(t)
	conf := testConfig(1, 5)
	conf.WaitTimeout = 1e6
	p := poolOf(conf, addr)
	c := p.mustGet(t)
	if _, f := p.get(newExchange()); f != edge.PoolWait {
		t.Fatalf("waiting in vain gives %v", f)
	}
	if p.shared.queue.Len() != 0 {
		t.Fatal("the queue keeps who has left")
	}
	p.put(c, false)
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
	f := func(what string, spoil func(net.Conn)) {
		t.Helper()
		p := poolOf(testConfig(1, 0), l.Addr().String())
		a := p.mustGet(t)
		p.put(a, true)
		spoil(<-conns)
		for a.c.alive(newExchange()) {
			runtime.Gosched() // until what was sent has arrived
		}
		b := p.mustGet(t)
		if b.c == a.c {
			t.Fatalf("%s: the connection was used again", what)
		}
		(<-conns).Close()
		p.put(b, false)
	}
	f("closed", func(c net.Conn) { c.Close() })
	f("poisoned", func(c net.Conn) { c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")) })
	f("reset", func(c net.Conn) { c.(*net.TCPConn).SetLinger(0); c.Close() })
}
