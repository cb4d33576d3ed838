package pool

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/pool/queue"
)

// poolOf returns a pool of targets, without anything that looks after it.
func poolOf(conf *Config, addrs ...string) *Pool {
	s := newShared("app")
	p := &Pool{Name: "app", conf: conf, shared: s, retries: lanes.NewCounter(), hedges: lanes.NewCounter(),
		refused: lanes.NewCounter()}
	for v := range p.waits {
		p.waits[v] = lanes.NewCounter()
	}
	if conf.Balance == "" {
		conf.Balance = "round_robin"
	}
	p.key = newHashKey(conf, 1)
	p.change(addrs...)
	s.join(p)
	return p
}

// change gives the pool other targets; those it had stay what they are.
func (p *Pool) change(addrs ...string) {
	var members []*member
	for _, addr := range addrs {
		t, _ := p.shared.acquire(addr, targetSpec{address: addr, weight: 1}, p.conf.proxy, 16)
		m := &member{Target: t, pool: p, spec: targetSpec{address: addr, weight: 1}}
		for i := range m.outcomes {
			m.outcomes[i] = lanes.NewCounter()
		}
		members = append(members, m)
	}
	set, err := p.newSet(members)
	if err != nil {
		panic(err)
	}
	p.set.Store(set)
	p.shared.mu.Lock()
	p.shared.settle()
	p.shared.mu.Unlock()
}

// held is a connection in use.
type held struct {
	x *edge.Exchange
	m *member
	c *conn
}

// get makes x wait for a connection, if need be.
func (p *Pool) get(x *edge.Exchange) (held, *edge.Fault) {
	x.MayWait = true
	m, f := p.find(x)
	if f != nil {
		return held{}, f
	}
	x.Attempts++
	c, f := m.connect(x)
	if f != nil {
		m.Release(x, f)
		return held{}, f
	}
	return held{x, m, c}, nil
}

func (p *Pool) mustGet(t *testing.T) held {
	t.Helper()
	h, f := p.get(newExchange())
	if f != nil {
		t.Fatal(f)
	}
	return h
}

// put gives a connection back as after an answer.
func (p *Pool) put(h held, keep bool) {
	h.x.Held = nil
	h.c.x, h.c.body.x, h.c.up.x = nil, nil, nil
	h.m.inFlight.Add(-1)
	h.m.Target.release(h.c, keep, clock.Now())
}

func (p *Pool) waitFor(n int) {
	for p.shared.queue.Len() != n {
		runtime.Gosched()
	}
}

// TestWaitStorm: many requests, some of whose clients leave, wait for few connections to targets that come and
// go. No connection is in two hands, nobody is left waiting while something is free, and at the end all is
// as it was.
func TestWaitStorm(t *testing.T) {
	was := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // a line for each target that comes or goes
	t.Cleanup(func() { slog.SetDefault(was) })
	for _, balance := range []string{"round_robin", "least_connections", "consistent_hash", "random"} {
		t.Run(balance, func(t *testing.T) { storm(t, balance) })
	}
}

func storm(t *testing.T, balance string) {
	const targets, most, clients = 3, 2, 40
	rounds := 60
	if testing.Short() {
		rounds = 20
	}
	var addrs []string
	for range targets {
		addr, _ := listenerFor(t)
		addrs = append(addrs, addr)
	}
	conf := testConfig(most, clients)
	conf.Balance, conf.HashKey, conf.WaitTimeout = balance, "path", 60e9
	p := poolOf(conf, addrs...)
	p.shared.attended.Store(true) // by nobody: each wake-up must come by itself
	var inUse sync.Map
	var served, left atomic.Int64
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for n := 0; n < rounds; n++ {
				x := newExchange()
				x.Method, x.Path = []byte("GET"), fmt.Appendf(nil, "/%d/%d", i, n)
				client := &leaver{}
				x.Conn = client
				if rand.IntN(4) == 0 {
					go func() {
						client.gone.Store(true)
						p.shared.queue.Sweep(clock.Now()) // as attend does
					}()
				}
				h, f := p.get(x)
				switch {
				case f == edge.ClientGone:
					left.Add(1)
					continue
				case f == edge.NoUpstream: // all were out at that moment
					n--
					runtime.Gosched()
					continue
				case f != nil:
					t.Errorf("%v", f)
					continue
				}
				served.Add(1)
				if _, taken := inUse.LoadOrStore(h.c, true); taken {
					t.Error("a connection is in two hands")
				}
				if n := h.m.conns.Load(); n > most {
					t.Errorf("%d connections to one target", n)
				}
				for range rand.IntN(10) {
					runtime.Gosched()
				}
				inUse.Delete(h.c)
				p.put(h, rand.IntN(3) > 0)
			}
		})
	}
	stop := make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			m := p.set.Load().members[rand.IntN(len(p.set.Load().members))]
			p.shared.mark(m.Target, isDrained, n%2 == 0, "")
			if n%5 == 0 {
				p.change(addrs[rand.IntN(targets):]...)
			}
			runtime.Gosched()
		}
	})
	wg.Wait()
	close(stop)
	changes.Wait()
	if p.shared.queue.Len() != 0 {
		t.Errorf("%d wait still", p.shared.queue.Len())
	}
	for _, addr := range addrs {
		tg := p.shared.targets[addr]
		if tg.inFlight.Load() != 0 {
			t.Errorf("%d in flight at the end", tg.inFlight.Load())
		}
		idle := int64(0)
		for tg.idle.pop(0) != nil {
			idle++
		}
		if idle != tg.conns.Load() {
			t.Errorf("%d connections counted, %d there", tg.conns.Load(), idle)
		}
	}
	if served.Load() == 0 || left.Load() == 0 {
		t.Errorf("%d served, %d left: the test tests nothing", served.Load(), left.Load())
	}
}

// TestGoneGetNothing: from the moment it is known that clients have left they keep nobody out of a full queue, and a
// connection that becomes free is not for them.
func TestGoneGetNothing(t *testing.T) {
	addr, _ := listenerFor(t)
	conf := testConfig(1, 2)
	conf.WaitTimeout = 60e9
	p := poolOf(conf, addr)
	p.shared.attended.Store(true) // by nobody
	first := p.mustGet(t)
	client, ended := &leaver{}, make(chan *edge.Fault)
	for range 2 {
		go func() {
			x := newExchange()
			x.Conn = client
			_, f := p.get(x)
			ended <- f
		}()
	}
	p.waitFor(2)
	client.gone.Store(true)
	next := make(chan held)
	go func() {
		h, f := p.get(newExchange())
		if f != nil {
			t.Errorf("there is no room: %v", f)
		}
		next <- h
	}()
	for range 2 {
		if f := <-ended; f != edge.ClientGone {
			t.Errorf("who has left got %v", f)
		}
	}
	p.waitFor(1)
	client.gone.Store(false)
	go func() {
		x := newExchange()
		x.Conn = client
		_, f := p.get(x)
		ended <- f
	}()
	p.waitFor(2)
	p.put(first, true)
	h := <-next
	client.gone.Store(true)
	p.put(h, true)
	if f := <-ended; f != edge.ClientGone {
		t.Errorf("who has left got %v", f)
	}
	last := p.mustGet(t)
	if last.c != first.c {
		t.Error("the connection is lost")
	}
	p.put(last, false)
	if n := p.waits[queue.Left].Sum(); n != 3 {
		t.Errorf("%d were counted that left, want 3", n)
	}
}

// leaver is a client that may leave.
type leaver struct{ gone atomic.Bool }

func (l *leaver) Gone() bool { return l.gone.Load() }
func (l *leaver) Abort()     {}
