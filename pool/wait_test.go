package pool

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/pool/hashkey"
	"github.com/penstock-edge/penstock/pool/queue"
	"github.com/penstock-edge/penstock/pool/section"
	"github.com/penstock-edge/penstock/pool/transport"
)

// poolOf returns a pool of targets in memory, without anything that looks after it.
func poolOf(conf *section.Config, addrs ...string) *Pool {
	return poolOver(inMemory(nil, false), conf, addrs...)
}

// poolOver is poolOf for targets that are asked over other transports.
func poolOver(over maker, conf *section.Config, addrs ...string) *Pool {
	s := newShared("app", &descriptors.Budget{}, over)
	p := &Pool{Name: "app", conf: conf, shared: s, retries: lanes.NewCounter(), hedges: lanes.NewCounter(),
		refused: lanes.NewCounter(), latency: lanes.NewHistogram([]time.Duration{time.Second})}
	for v := range p.waits {
		p.waits[v] = lanes.NewCounter()
	}
	if conf.Balance == "" {
		conf.Balance = "round_robin"
	}
	p.key = hashkey.New(conf, 1)
	p.change(addrs...)
	s.join(p)
	return p
}

// change gives the pool other targets; those it had stay what they are.
func (p *Pool) change(addrs ...string) {
	var members []*member
	for _, addr := range addrs {
		spec := section.Target{Address: addr, Weight: 1}
		t, _ := p.shared.acquire(addr, spec, p.conf)
		m := &member{Target: t, pool: p, spec: spec}
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

// inUse is a place in use.
type inUse struct {
	x *edge.Exchange
	m *member
	a *transport.Attempt
}

// get makes x wait for a place, if need be.
func (p *Pool) get(x *edge.Exchange) (inUse, *edge.Fault) {
	x.MayWait = true
	m, f := p.find(x)
	if f != nil {
		return inUse{}, f
	}
	x.Attempts++
	if f := m.RoundTrip(x); f != nil {
		m.Release(x, f)
		return inUse{}, f
	}
	return inUse{x, m, held(x)}, nil
}

func (p *Pool) mustGet(t *testing.T) inUse {
	t.Helper()
	h, f := p.get(newExchange())
	if f != nil {
		t.Fatal(f)
	}
	return h
}

// put gives a place back as after an answer.
func (p *Pool) put(h inUse, keep bool) {
	var f *edge.Fault
	if !keep {
		f = edge.UpstreamTruncated
	}
	h.m.Release(h.x, f)
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
	for i := range targets {
		addrs = append(addrs, fmt.Sprintf("t:%d", i+1))
	}
	conf := testConfig(most, clients)
	conf.Balance, conf.HashKey, conf.WaitTimeout = balance, "path", 60e9
	p := poolOf(conf, addrs...)
	p.shared.attended.Store(true) // by nobody: each wake-up must come by itself
	var taken sync.Map
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
				if _, twice := taken.LoadOrStore(h.a, true); twice {
					t.Error("a connection is in two hands")
				}
				if n := h.m.transport.Open(); n > most {
					t.Errorf("%d connections to one target", n)
				}
				for range rand.IntN(10) {
					runtime.Gosched()
				}
				taken.Delete(h.a)
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
		tg.drop()
		if n := tg.transport.Open(); n != 0 {
			t.Errorf("%d places are lost", n)
		}
	}
	if served.Load() == 0 || left.Load() == 0 {
		t.Errorf("%d served, %d left: the test tests nothing", served.Load(), left.Load())
	}
}

// TestGoneGetNothing: from the moment it is known that clients have left they keep nobody out of a full queue, and a
// connection that becomes free is not for them.
func TestGoneGetNothing(t *testing.T) {
	conf := testConfig(1, 2)
	conf.WaitTimeout = 60e9
	p := poolOf(conf, "a:1")
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
	next := make(chan inUse)
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
	if last.a != first.a {
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
