package pool

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/pool/order"
	"github.com/penstock-edge/penstock/pool/outcome"
	"github.com/penstock-edge/penstock/pool/section"
)

// replies are what attempts end with, in their order, whoever is asked: statuses, or faults by name. The last one
// holds for all that follow.
func replies(text string, asked *[]string) server {
	var mu sync.Mutex
	list := strings.Fields(text)
	return func(c *call, _ *edge.Exchange) (int, *edge.Fault) {
		mu.Lock()
		defer mu.Unlock()
		*asked = append(*asked, c.of.address[:1])
		r := list[0]
		if len(list) > 1 {
			list = list[1:]
		}
		switch r {
		case "unsent":
			return 0, edge.UpstreamConnect
		case "stale":
			return 0, edge.UpstreamStale
		case "reset":
			return 0, edge.UpstreamReset
		case "late":
			return 0, edge.UpstreamTimeout
		case "gone":
			return 0, edge.ClientGone
		}
		return int(r[0]-'0')*100 + int(r[1]-'0')*10 + int(r[2]-'0'), nil
	}
}

// TestAttemptOrder: who is asked, and what the client gets. The turn of a pool with this name begins with b.
func TestAttemptOrder(t *testing.T) {
	const three = `targets = ["a:1", "b:1", "c:1"]`
	const backup = `targets = ["a:1", "b:1", { address = "c:1", backup = true }]`
	f := func(targets, retry, all, order string, status int, code string) {
		t.Helper()
		var asked []string
		p := memoryPoolOf(t, targets+"\nretry = { backoff = \"0s\", "+retry+" }\n", inMemory(replies(all, &asked), false))
		a := ask(get(p))
		if got := strings.Join(asked, ""); got != order || a.status != status || a.code != code {
			t.Errorf("%s, %s: asked %s, status %d, %q; want %s, %d, %q", retry, all, got, a.status, a.code, order, status, code)
		}
		atRest(t, p)
	}
	f(three, "attempts = 3", "200", "b", 200, "")
	f(three, "attempts = 3", "503 503 200", "bca", 200, "")
	f(three, "attempts = 3", "503 503 502 200", "bca", 502, "")
	f(three, "attempts = 3", "503 404", "bc", 404, "")
	f(three, "attempts = 3", "503 reset late", "bca", 503, "") // the only answer there was
	f(three, "attempts = 3", "reset reset reset", "bca", 0, "upstream_reset")
	f(three, "attempts = 3", "reset late 200", "bc", 0, "upstream_timeout")
	f(three, "attempts = 3, on = [\"timeout\"]", "late 200", "bc", 200, "")
	f(three, "attempts = 3, on = [\"500-599\"]", "reset", "b", 0, "upstream_reset")
	f(three, "attempts = 3", "gone", "b", 0, "client_gone")
	f(three, "attempts = 9, budget_percent = 0", "unsent unsent 200", "bca", 200, "") // nothing was done twice
	f(backup, "attempts = 2", "503 503", "ba", 503, "")
	f(backup, "attempts = 3", "503 503 200", "bac", 200, "")
	f(three, "attempts = 1", "stale 200", "bc", 200, "") // a connection that was dead is no attempt of the policy
	f(three, "attempts = 1", "stale stale", "bc", 0, "upstream_reset")
}

// TestAllTriedAgain: with more attempts than targets each of them is asked before one is asked twice.
func TestAllTriedAgain(t *testing.T) {
	var asked []string
	p := memoryPool(t, "retry = { backoff = \"0s\", attempts = 6, budget_percent = 100 }\n", replies("503", &asked))
	for range 20 {
		asked = nil
		ask(get(p))
		seen := map[string]bool{}
		for i, who := range asked {
			if i < 3 && seen[who] {
				t.Fatalf("asked were %v", asked)
			}
			seen[who] = true
		}
	}
	atRest(t, p)
}

// TestUnsentNeedsNoBudget: what did not reach a target is asked of another one however little may be done twice.
func TestUnsentNeedsNoBudget(t *testing.T) {
	p := memoryPool(t, "retry = { backoff = \"0s\", attempts = 3, budget_percent = 0 }\n", func(c *call, _ *edge.Exchange) (int, *edge.Fault) {
		if c.of.address != "b:1" {
			return 0, edge.UpstreamConnect
		}
		return 200, nil
	})
	for range 20 {
		if a := ask(get(p)); a.status != 200 {
			t.Fatalf("status %d, %q in %d attempts", a.status, a.code, a.x.Attempts)
		}
	}
	if p.refused.Sum() != 0 || p.retries.Sum() < 10 {
		t.Errorf("%d retries, %d refused", p.retries.Sum(), p.refused.Sum())
	}
	atRest(t, p)
}

// TestTargetThatAsksForPatience: is not asked again before, and another one is.
func TestTargetThatAsksForPatience(t *testing.T) {
	f := func(targets, after string, order string) {
		t.Helper()
		var asked []string
		p := memoryPoolOf(t, targets+"\nretry = { backoff = \"0s\", attempts = 2 }\n", inMemory(
			func(c *call, x *edge.Exchange) (int, *edge.Fault) {
				asked = append(asked, c.of.address[:1])
				return 503, nil
			}, false))
		m := p.set.Load().members[0]
		x := get(p)
		x.Plan.Upstream = saying{p, after}
		if a := ask(x); a.status != 503 || strings.Join(asked, "") != order {
			t.Errorf("%s, %q: status %d, asked %v, want %s", targets, after, a.status, asked, order)
		}
		if n := m.outcomes[outcome.Error].Sum(); n == 0 {
			t.Errorf("%s: not counted", targets)
		}
		atRest(t, p)
	}
	f(`targets = ["a:1"]`, "", "aa")
	f(`targets = ["a:1"]`, "0", "aa")
	f(`targets = ["a:1"]`, "3", "a")
	f(`targets = ["a:1"]`, "Wed, 21 Oct 2026 07:28:00 GMT", "a")
	f(`targets = ["a:1", "b:1"]`, "3", "ba")
}

// saying is a pool whose answers say Retry-After.
type saying struct {
	*Pool
	after string
}

func (s saying) Pick(x *edge.Exchange) (edge.Peer, *edge.Fault) {
	peer, f := s.Pool.Pick(x)
	if f != nil {
		return nil, f
	}
	return patientPeer{peer.(*member), s.after}, nil
}

type patientPeer struct {
	*member
	after string
}

func (p patientPeer) RoundTrip(x *edge.Exchange) *edge.Fault {
	f := p.member.RoundTrip(x)
	if f == nil && p.after != "" {
		x.Resp.Set("Retry-After", p.after)
	}
	return f
}

// TestLeavesBeforeTheSecond: nothing is asked again for a client that has left.
func TestLeavesBeforeTheSecond(t *testing.T) {
	client := &leaver{}
	var asked atomic.Int64
	p := memoryPool(t, "retry = { backoff = \"1m\", max_backoff = \"1m\", attempts = 3 }\n", func(*call, *edge.Exchange) (int, *edge.Fault) {
		asked.Add(1)
		client.gone.Store(true)
		return 503, nil
	})
	x := get(p)
	x.Conn = client
	if a := ask(x); a.code != "" && a.code != edge.ClientGone.Code || asked.Load() != 1 {
		t.Errorf("status %d, %q, %d were asked", a.status, a.code, asked.Load())
	}
	atRest(t, p)
}

// TestBodyIsSentAgain: a second attempt has the whole body of the first one; without room to remember it there is none.
func TestBodyIsSentAgain(t *testing.T) {
	f := func(keys, method string, bodies ...string) {
		t.Helper()
		var got []string
		p := memoryPool(t, "retry = { backoff = \"0s\", "+keys+" }\n", func(_ *call, x *edge.Exchange) (int, *edge.Fault) {
			b, err := io.ReadAll(x.In)
			if err != nil {
				t.Error(err)
			}
			x.InBytes += int64(len(b)) // as what reads it of a connection counts
			got = append(got, string(b))
			return 503, nil
		})
		x := get(p)
		x.Method = []byte(method)
		x.In, x.InLen = edge.ReaderBody{R: strings.NewReader("hello")}, 5
		if a := ask(x); a.status != 503 || strings.Join(got, " ") != strings.Join(bodies, " ") {
			t.Errorf("%s %s: %d, %q, want %q", keys, method, a.status, got, bodies)
		}
		atRest(t, p)
	}
	f("replay_bytes = \"64KiB\"", "PUT", "hello", "hello")
	f("replay_bytes = \"5B\"", "PUT", "hello", "hello")
	f("replay_bytes = \"4B\"", "PUT", "hello")
	f("replay_bytes = \"64KiB\"", "POST", "hello")
}

// TestHedges: what a race of two comes to. The first attempt waits until the second has ended.
func TestHedges(t *testing.T) {
	f := func(name, second, first string, status int, code string, won uint64) {
		t.Helper()
		hedged := make(chan bool)
		var asked []string
		one, two := replies(first, &asked), replies(second, &asked)
		p := memoryPool(t, "[pool.a.hedge]\nafter = \"1ms\"\n", func(c *call, x *edge.Exchange) (int, *edge.Fault) {
			if x.Call.Flags&isHedge != 0 {
				defer close(hedged)
				return two(c, x)
			}
			<-hedged
			if first == "wait" {
				return c.wait(x)
			}
			return one(c, x)
		})
		a := ask(get(p))
		if a.status != status || a.code != code || a.x.Attempts != 2 || p.hedgeWon.Sum() != won {
			t.Errorf("%s: status %d, %q in %d attempts, %d won; want %d, %q, %d", name, a.status, a.code, a.x.Attempts,
				p.hedgeWon.Sum(), status, code, won)
		}
		if code == "" && a.x.TargetName != a.target {
			t.Errorf("%s: the answer of %q is counted for %q", name, a.target, a.x.TargetName)
		}
		atRest(t, p)
		total := uint64(0)
		for _, m := range p.set.Load().members {
			for o := range m.outcomes {
				total += m.outcomes[o].Sum()
			}
		}
		if total != 2 {
			t.Errorf("%s: %d attempts are counted of 2", name, total)
		}
	}
	f("the second answers", "200", "wait", 200, "", 1)
	f("the second errs, the first answers", "503", "200", 200, "", 0)
	f("the second dies, the first answers", "reset", "200", 200, "", 0)
	f("the second errs, the first dies", "503", "reset", 503, "", 1)
	f("both die", "reset", "reset", 0, "upstream_reset", 0)
}

// TestNoHedge: what gets no second attempt, however long the first one takes.
func TestNoHedge(t *testing.T) {
	f := func(name, targets string, hedgeable, due bool, change func(x *edge.Exchange)) {
		t.Helper()
		p := memoryPoolOf(t, targets+"\nhedge = { after = \"1ms\" }\n", inMemory(nil, false))
		m, x := p.set.Load().members[0], get(p)
		x.Attempts = 1
		x.Call.Tried[0] = m
		change(x)
		if got := m.hedgeable(x); got != hedgeable {
			t.Errorf("%s: hedgeable %v", name, got)
		}
		if got := m.hedgeDue(x); got != due || m.hedgeable(x) {
			t.Errorf("%s: due %v, and then hedgeable %v", name, got, m.hedgeable(x))
		}
	}
	const three = `targets = ["a:1", "b:1", "c:1"]`
	nothing := func(*edge.Exchange) {}
	f("GET", three, true, true, nothing)
	f("POST", three, false, true, func(x *edge.Exchange) { x.Method = []byte("POST") })
	f("an upgrade", three, false, true, func(x *edge.Exchange) { x.Upgrade = []byte("websocket") })
	f("the second attempt", three, false, true, func(x *edge.Exchange) { x.Attempts = 2 })
	f("a body that is not here", three, false, true, func(x *edge.Exchange) {
		x.Method, x.In, x.InLen = []byte("PUT"), edge.ReaderBody{R: strings.NewReader("a")}, 1
	})
	f("a body that is", three, true, true, func(x *edge.Exchange) {
		x.Method, x.In, x.InLen = []byte("PUT"), edge.NewBytesBody([]byte("a")), 1
	})
	f("nobody else", `targets = ["a:1"]`, true, false, nothing)
	f("the others drain", `targets = ["a:1", { address = "b:1", drain = true }]`, true, false, nothing)
}

// TestHedgeBudget: hedges have the budget of retries; when it is spent there are none.
func TestHedgeBudget(t *testing.T) {
	var hedges atomic.Int64
	p := memoryPool(t, "retry = { budget_percent = 0 }\nhedge = { after = \"1ms\" }\n", nil)
	m, now := p.set.Load().members[0], clock.Now()
	for range 10 {
		x := get(p)
		x.Attempts = 1
		if m.hedgeDue(x) {
			hedges.Add(1)
		}
		if x.Call.Flags&isRaced == 0 {
			t.Error("it is asked twice")
		}
	}
	if left := p.budgetLeft(now); hedges.Load() != 3 || p.refused.Sum() != 7 || left != 0 {
		t.Errorf("%d hedges, %d refused, %d left", hedges.Load(), p.refused.Sum(), left)
	}
	if again, _ := m.Retry(get(p), edge.UpstreamReset); again {
		t.Error("a retry beyond what hedges have spent")
	}
}

// TestPanicOfATransport: what panics in an attempt leaves no place in use, beside a loop and in a race.
func TestPanicOfATransport(t *testing.T) {
	for _, keys := range []string{"", "hedge = { after = \"1m\" }\n", "retry = {}\nconcurrency = { limit = 1 }\n"} {
		p := memoryPool(t, keys, func(*call, *edge.Exchange) (int, *edge.Fault) { panic("a transport") })
		for range 3 {
			if a := ask(get(p)); a.code != edge.Internal.Code && a.status != 500 {
				t.Errorf("%q: status %d, %q", keys, a.status, a.code)
			}
		}
		for _, m := range p.set.Load().members {
			if n := m.inFlight.Load(); n != 0 {
				t.Errorf("%q: %d in flight at %s", keys, n, m.Address)
			}
		}
	}
}

// TestFallbacks: who answers in place of a pool that has nobody to ask, or must not ask.
func TestFallbacks(t *testing.T) {
	f := func(text, want string, spoil func(h *house)) {
		t.Helper()
		h := newHouse(t)
		h.load(text)
		spoil(h)
		x := get(h.pool("a"))
		a := ask(x)
		got := a.target
		if a.status != 200 {
			got = fmt.Sprint(a.status)
		}
		if a.code != "" {
			got = a.code
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	drain := func(names ...string) func(h *house) {
		return func(h *house) {
			for _, name := range names {
				for _, m := range h.pool(name).set.Load().members {
					h.pool(name).command(m.Address, func(o *order.Order, spec *section.Target) { o.Drain.Put(true, spec.Drain) })
				}
			}
		}
	}
	const a, b = "[pool.a]\ntargets = [\"a:1\"]\n", "[pool.b]\ntargets = [\"b:1\"]\n"
	f(a+b, "no_upstream", drain("a"))
	f(a+"fallback = { pool = \"b\" }\n"+b, "a:1", drain())
	f(a+"fallback = { pool = \"b\" }\n"+b, "b:1", drain("a"))
	f(a+"fallback = { pool = \"b\" }\n"+b, "no_upstream", drain("a", "b"))
	f(a+"fallback = { pool = \"b\" }\n"+b+"fallback = { pool = \"c\" }\n[pool.c]\ntargets = [\"c:1\"]\n", "c:1", drain("a", "b"))
	f(a+"fallback = { pool = \"b\" }\nbreaker = { consecutive_errors = 1, open_for = \"1h\", max_open_for = \"1h\" }\n"+b, "b:1", func(h *house) {
		h.answer = func(c *call, _ *edge.Exchange) (int, *edge.Fault) { return 500, nil }
		if a := ask(get(h.pool("a"))); a.status != 500 || a.target != "a:1" {
			t.Errorf("while its breaker is closed: %d of %q", a.status, a.target)
		}
		h.answer = nil
	})
	f(a+"fallback = { status = 418 }\n", "418", drain("a"))
}

// TestFallbackHasGuards: a pool that answers for another one counts the request as its own, and the other one does not.
func TestFallbackHasGuards(t *testing.T) {
	enter, leave := make(chan bool), make(chan bool)
	h := newHouse(t)
	h.load("[pool.a]\ntargets = [\"a:1\"]\nconcurrency = { limit = 5 }\nretry = {}\nfallback = { pool = \"b\" }\n" +
		"[pool.b]\ntargets = [\"b:1\"]\nconcurrency = { limit = 1, queue = 0 }\n")
	h.answer = func(*call, *edge.Exchange) (int, *edge.Fault) {
		enter <- true
		<-leave
		return 200, nil
	}
	h.order("a", "a:1/drain", "")
	first := make(chan answer)
	go func() { first <- ask(get(h.pool("a"))) }()
	<-enter
	if a, b := h.pool("a").shared.all.Limiter.InFlight(), h.pool("b").shared.all.Limiter.InFlight(); a != 0 || b != 1 {
		t.Errorf("%d places of the pool that was asked are in use, and %d of the one that answers", a, b)
	}
	if a := ask(get(h.pool("a"))); a.code != "pool_overloaded" {
		t.Errorf("beyond the limit of the one that answers: %d, %q", a.status, a.code)
	}
	close(leave)
	if a := <-first; a.target != "b:1" {
		t.Errorf("%d, %q", a.status, a.code)
	}
	for _, name := range []string{"a", "b"} {
		if n := h.pool(name).shared.all.Limiter.InFlight(); n != 0 {
			t.Errorf("%d places of %s are in use at the end", n, name)
		}
		atRest(t, h.pool(name))
	}
}
