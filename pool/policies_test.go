package pool

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/pool/discovery"
	"github.com/penstock-edge/penstock/pool/order"
	"github.com/penstock-edge/penstock/pool/outcome"
	"github.com/penstock-edge/penstock/pool/section"
)

// The policies of a pool over a transport that has no network: each of them has to hold there as over HTTP/1.

// memoryPool returns a pool that runs until the test ends, whose targets a:1, b:1 and c:1 are in memory. keys
// are the rest of its section.
func memoryPool(t testing.TB, keys string, serve server) *Pool {
	t.Helper()
	return memoryPoolOf(t, "targets = [\"a:1\", \"b:1\", \"c:1\"]\n"+keys, inMemory(serve, false))
}

func memoryPoolOf(t testing.TB, keys string, over maker) *Pool {
	t.Helper()
	h := newHost("[pool.a]\nslow_start = \"0s\"\n" + keys)
	in := buildOver(h, over)
	p, _ := h.Upstream(h.Config.File.Root, "pool", "a").(*Pool)
	for _, err := range h.Config.File.Finish() {
		if strings.Contains(err.Error(), "pool") {
			t.Fatal(err)
		}
	}
	in.Start()
	t.Cleanup(in.Close)
	return p
}

// answer is how an exchange has ended.
type answer struct {
	status int
	target string
	code   string // of the fault
	x      *edge.Exchange
}

func get(p *Pool) *edge.Exchange {
	x := newExchange()
	x.Plan = &edge.Plan{Upstream: p}
	x.Method, x.Path = []byte("GET"), []byte("/")
	return x
}

// ask makes a whole exchange of x.
func ask(x *edge.Exchange) answer {
	f := edge.Fetch(x)
	a := answer{status: x.Status(), target: string(x.Resp.Get("X-Target")), x: x}
	if f != nil {
		a = answer{code: f.Code, x: x}
	}
	x.Finish(f)
	return a
}

// atRest fails when a target still has a request, or more places than are idle.
func atRest(t *testing.T, p *Pool) {
	t.Helper()
	for _, m := range p.set.Load().members {
		for m.inFlight.Load() != 0 {
			runtime.Gosched() // the loser of a race cleans up behind itself
		}
		m.closeIdle()
		for m.transport.Open() != 0 {
			runtime.Gosched() // in flight no more, and not yet given back
			m.closeIdle()
		}
	}
}

func TestMemoryChoice(t *testing.T) {
	p := memoryPool(t, "", nil)
	seen := map[string]int{}
	for range 30 {
		seen[ask(get(p)).target]++
	}
	if seen["a:1"] != 10 || seen["b:1"] != 10 || seen["c:1"] != 10 {
		t.Errorf("round robin gave %v", seen)
	}
	m := p.set.Load().members[0]
	if n := m.outcomes[outcome.OK].Sum(); n != 10 {
		t.Errorf("%d good answers counted, want 10", n)
	}
	if n := m.transport.Open(); n != 1 {
		t.Errorf("%d places for one request at a time", n)
	}
	atRest(t, p)
}

func TestMemoryRetry(t *testing.T) {
	f := func(keys, method string, first func() (int, *edge.Fault), status int, code string, attempts int) {
		t.Helper()
		var n atomic.Int64
		p := memoryPool(t, "[pool.a.retry]\nbackoff = \"0s\"\n"+keys, func(*call, *edge.Exchange) (int, *edge.Fault) {
			if n.Add(1) == 1 {
				return first()
			}
			return 200, nil
		})
		x := get(p)
		x.Method = []byte(method)
		a := ask(x)
		if a.status != status || a.code != code || a.x.Attempts != attempts {
			t.Errorf("%s %s: status %d, fault %q in %d attempts; want %d, %q in %d", keys, method, a.status, a.code,
				a.x.Attempts, status, code, attempts)
		}
		if n := p.retries.Sum(); n != uint64(attempts-1) {
			t.Errorf("%s: %d retries counted", keys, n)
		}
		atRest(t, p)
	}
	busy := func() (int, *edge.Fault) { return 503, nil }
	reset := func() (int, *edge.Fault) { return 0, edge.UpstreamReset }
	unsent := func() (int, *edge.Fault) { return 0, edge.UpstreamConnect }
	f("", "GET", busy, 200, "", 2)
	f("", "POST", busy, 503, "", 1)
	f("", "GET", reset, 200, "", 2)
	f("", "POST", reset, 0, "upstream_reset", 1)
	f("", "POST", unsent, 200, "", 2)
	f("on = [\"timeout\"]\n", "GET", busy, 503, "", 1)
	f("on = [\"timeout\"]\n", "GET", func() (int, *edge.Fault) { return 0, edge.UpstreamTimeout }, 200, "", 2)
	f("attempts = 1\n", "GET", reset, 0, "upstream_reset", 1)
}

// TestMemoryPutAside: the answer that is to be bettered is the client's when no other comes.
func TestMemoryPutAside(t *testing.T) {
	var asked []string
	p := memoryPool(t, "[pool.a.retry]\nbackoff = \"0s\"\n", func(c *call, _ *edge.Exchange) (int, *edge.Fault) {
		if asked = append(asked, c.of.address); len(asked) == 1 {
			return 503, nil
		}
		return 0, edge.UpstreamReset
	})
	a := ask(get(p))
	if len(asked) != 2 || asked[0] == asked[1] {
		t.Fatalf("asked were %v", asked)
	}
	if a.status != 503 || a.target != asked[0] || a.x.TargetName != asked[0] {
		t.Errorf("status %d of %q, counted for %q", a.status, a.target, a.x.TargetName)
	}
	set := p.set.Load()
	if set.find(asked[0]).outcomes[outcome.Error].Sum() != 1 || set.find(asked[1]).outcomes[outcome.Reset].Sum() != 1 {
		t.Error("the attempts were not counted for whom they were made")
	}
	atRest(t, p)
}

func TestMemoryBudget(t *testing.T) {
	p := memoryPool(t, "[pool.a.retry]\nbackoff = \"0s\"\nbudget_percent = 0\n",
		func(*call, *edge.Exchange) (int, *edge.Fault) { return 503, nil })
	for range 20 {
		ask(get(p))
	}
	if retries, refused := p.retries.Sum(), p.refused.Sum(); retries < 3 || retries+refused != 20 || refused == 0 {
		t.Errorf("%d retries, %d refused", retries, refused)
	}
}

func TestMemoryPerTryTimeout(t *testing.T) {
	p := memoryPool(t, "[pool.a.retry]\nper_try_timeout = \"1h\"\n", func(_ *call, x *edge.Exchange) (int, *edge.Fault) {
		if left := x.TryDeadline - clock.Now(); left <= 0 || left > 3600e9 {
			t.Errorf("an attempt has %d ns", left)
		}
		return 200, nil
	})
	ask(get(p))
}

func TestMemoryBreaker(t *testing.T) {
	f := func(keys string, want ...string) {
		t.Helper()
		p := memoryPool(t, "[pool.a.breaker]\nmin_requests = 3\nopen_for = \"1h\"\nmax_open_for = \"2h\"\n"+keys,
			func(c *call, _ *edge.Exchange) (int, *edge.Fault) {
				if c.of.address == "a:1" {
					return 500, nil
				}
				return 200, nil
			})
		seen := map[string]bool{}
		for range 30 {
			seen[fmt.Sprint(ask(get(p)).code)] = true
		}
		got := fmt.Sprint(seen, p.set.Load().members[0].state.Load() == isBroken)
		for _, w := range want {
			if got != w {
				t.Errorf("%s: %s, want %s", keys, got, w)
			}
		}
		atRest(t, p)
	}
	f("error_percent = 1\n", "map[:true breaker_open:true] false")
	f("per_target = true\nconsecutive_errors = 3\n", "map[:true] true")
}

func TestMemoryConcurrency(t *testing.T) {
	enter, leave := make(chan bool), make(chan bool)
	p := memoryPool(t, "[pool.a.concurrency]\nlimit = 1\nqueue = 0\n", func(*call, *edge.Exchange) (int, *edge.Fault) {
		enter <- true
		<-leave
		return 200, nil
	})
	first := make(chan answer)
	go func() { first <- ask(get(p)) }()
	<-enter
	if a := ask(get(p)); a.code != "pool_overloaded" {
		t.Errorf("a second request got %d, %q", a.status, a.code)
	}
	close(leave)
	if a := <-first; a.status != 200 {
		t.Errorf("the first request got %q", a.code)
	}
	go func() { first <- ask(get(p)) }()
	<-enter
	if a := <-first; a.status != 200 {
		t.Errorf("the limit keeps a place: %q", a.code)
	}
	atRest(t, p)
}

func TestMemoryAdmission(t *testing.T) {
	p := memoryPool(t, "[pool.a.admission]\nmin_requests = 1\n", func(*call, *edge.Exchange) (int, *edge.Fault) {
		return 503, nil
	})
	for ask(get(p)).code != "upstream_throttled" {
	} // the share is computed some times a second
}

func TestMemoryOutlier(t *testing.T) {
	p := memoryPool(t, "[pool.a.outlier]\nconsecutive_gateway_errors = 3\neject_for = \"1h\"\nmax_eject_for = \"2h\"\n",
		func(c *call, _ *edge.Exchange) (int, *edge.Fault) {
			if c.of.address == "b:1" {
				return 0, edge.UpstreamReset
			}
			return 200, nil
		})
	failed := 0
	for range 60 {
		if ask(get(p)).code != "" {
			failed++
		}
	}
	m := p.set.Load().members[1]
	if failed != 3 || m.state.Load() != isEjected {
		t.Errorf("%d requests failed, state %b", failed, m.state.Load())
	}
	if _, what := m.stumble.Get(); what != "upstream_reset" {
		t.Errorf("its last error is %q", what)
	}
	atRest(t, p)
}

// TestMemoryHedge: the attempt that does not answer is called off, and its place given back.
func TestMemoryHedge(t *testing.T) {
	first := make(chan string, 1)
	p := memoryPool(t, "[pool.a.hedge]\nafter = \"1ms\"\n", func(c *call, x *edge.Exchange) (int, *edge.Fault) {
		if x.Call.Flags&isHedge != 0 {
			return 200, nil
		}
		first <- c.of.address
		return c.wait(x)
	})
	a := ask(get(p))
	silent := <-first
	if a.status != 200 || a.target == silent || a.x.TargetName != a.target || a.x.Attempts != 2 {
		t.Errorf("status %d of %q in %d attempts, fault %q", a.status, a.target, a.x.Attempts, a.code)
	}
	atRest(t, p)
	m := p.set.Load().find(silent)
	if p.hedges.Sum() != 1 || p.hedgeWon.Sum() != 1 || m.outcomes[outcome.Cancelled].Sum() != 1 {
		t.Errorf("%d hedges, %d won, %d cancelled", p.hedges.Sum(), p.hedgeWon.Sum(), m.outcomes[outcome.Cancelled].Sum())
	}
}

// TestMemoryLoop: an attempt that a loop has begun is heard there, or goes on in a race when its hedge is due.
func TestMemoryLoop(t *testing.T) {
	gate, entered := make(chan bool), make(chan bool, 1)
	var n atomic.Int64
	serve := func(*call, *edge.Exchange) (int, *edge.Fault) {
		if n.Add(1) == 1 {
			entered <- true
			<-gate
		}
		return 200, nil
	}
	p := memoryPoolOf(t, "targets = [\"a:1\", \"b:1\"]\n[pool.a.hedge]\nafter = \"1ms\"\n", inMemory(serve, true))
	client := &loopClient{}
	begin := func() (*member, *edge.Exchange) {
		x := get(p)
		x.Conn, x.Loop = client, client
		x.Times.Policy = clock.Now()
		peer, f := p.Pick(x)
		if f != nil {
			t.Fatal(f)
		}
		x.Attempts = 1
		if !peer.(*member).Start(x) {
			t.Fatal("the loop cannot begin")
		}
		return peer.(*member), x
	}
	hear := func(m *member, x *edge.Exchange) edge.Outcome {
		for {
			if progress, f := m.Receive(x); progress != edge.Pending || f != nil {
				return progress
			}
			runtime.Gosched()
		}
	}
	m, x := begin()
	<-entered
	if got := hear(m, x); got != edge.Blocked {
		t.Fatalf("a silent target: %d, want Blocked", got)
	}
	if f := m.RoundTrip(x); f != nil || x.TargetName == m.Address || x.Attempts != 2 {
		t.Errorf("the race: %v from %s in %d attempts", f, x.TargetName, x.Attempts)
	}
	if a := held(x); a.X != x || a.Raced || a.Due != 0 {
		t.Errorf("the winner's place serves another exchange, raced %v, due %d", a.Raced, a.Due)
	}
	m.Release(x, nil)
	p.shared.hedgeDelay.Store(1 << 60) // a slow machine has no hedge either
	m, x = begin()
	if got := hear(m, x); got != edge.Ended || x.TargetName != m.Address || x.Status() != 200 {
		t.Errorf("an answer that has come: %d of %s, status %d", got, x.TargetName, x.Status())
	}
	m.Release(x, nil)
	close(gate)
	atRest(t, p)
}

func TestMemorySticky(t *testing.T) {
	p := memoryPool(t, "sticky = { cookie = \"seat\" }\n", nil)
	x := get(p)
	if f := edge.Fetch(x); f != nil {
		t.Fatal(f)
	}
	m, _ := x.Call.Stick.(*member)
	if m == nil || m.Address != string(x.Resp.Get("X-Target")) {
		t.Fatalf("the client sticks to %v", x.Call.Stick)
	}
	x.Finish(nil)
	for range 10 {
		y := get(p)
		y.Cookie = []byte("seat=" + p.sticky.Key.Value(p.Name, m.Address))
		if a := ask(y); a.target != m.Address || y.Call.Stick != nil {
			t.Errorf("its request went to %q", a.target)
		}
	}
	atRest(t, p)
}

func TestMemoryDrainAndFallback(t *testing.T) {
	p := memoryPool(t, "fallback = { status = 418 }\n", nil)
	for _, address := range []string{"a:1", "b:1"} {
		p.command(address, func(o *order.Order, spec *section.Target) { o.Drain.Put(true, spec.Drain) })
	}
	for range 10 {
		if a := ask(get(p)); a.target != "c:1" {
			t.Errorf("status %d of %q", a.status, a.target)
		}
	}
	p.command("c:1", func(o *order.Order, spec *section.Target) { o.Drain.Put(true, spec.Drain) })
	if a := ask(get(p)); a.status != 418 || a.target != "" {
		t.Errorf("nobody is there, and the answer is %d of %q", a.status, a.target)
	}
	atRest(t, p)
}

// TestMemoryDiscovery: targets come and go while one of them is asked; what is idle at one that has gone is
// closed, and what is in use when it comes back.
func TestMemoryDiscovery(t *testing.T) {
	enter, leave := make(chan bool), make(chan bool)
	p := memoryPool(t, "", func(c *call, _ *edge.Exchange) (int, *edge.Fault) {
		if c.of.address == "d:1" {
			enter <- true
			<-leave
		}
		return 200, nil
	})
	p.apply([]discovery.Endpoint{{Address: "d:1", Weight: 65535}})
	busy := make(chan answer)
	go func() {
		for {
			if a := ask(get(p)); a.target == "d:1" {
				busy <- a
				return
			}
		}
	}()
	<-enter
	gone := p.set.Load().find("d:1")
	p.apply(nil)
	if n := gone.transport.Open(); n != 1 {
		t.Errorf("%d places of a target that is gone and still answers", n)
	}
	close(leave)
	<-busy
	if n := gone.transport.Open(); n != 0 {
		t.Errorf("%d places of a target that is gone", n)
	}
	for range 9 {
		if a := ask(get(p)); a.target == "d:1" {
			t.Error("a target that is gone was asked")
		}
	}
	atRest(t, p)
}

// TestMemoryClientGone: a client that leaves while it waits for a place gets none.
func TestMemoryClientGone(t *testing.T) {
	enter, leave := make(chan bool), make(chan bool)
	p := memoryPoolOf(t, "targets = [\"a:1\"]\nmax_connections = 1\nwait_timeout = \"5m\"\n",
		inMemory(func(*call, *edge.Exchange) (int, *edge.Fault) {
			enter <- true
			<-leave
			return 200, nil
		}, false))
	first, second := make(chan answer), make(chan answer)
	go func() { first <- ask(get(p)) }()
	<-enter
	x, client := get(p), &leaver{}
	x.Conn = client
	go func() { second <- ask(x) }()
	p.waitFor(1)
	client.gone.Store(true)
	if a := <-second; a.code != edge.ClientGone.Code {
		t.Errorf("who has left got %d, %q", a.status, a.code)
	}
	close(leave)
	if a := <-first; a.status != 200 {
		t.Errorf("the first one got %q", a.code)
	}
	atRest(t, p)
}
