package guard

import (
	"runtime"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/health"
	"github.com/penstock-edge/penstock/pool/limit"
)

type client struct{ gone bool }

func (c client) Gone() bool { return c.gone }
func (client) Abort()       {}

func newExchange() *edge.Exchange {
	x := &edge.Exchange{}
	x.Conn = client{}
	return x
}

func refusals(t *testing.T) *health.Statuses {
	t.Helper()
	s, err := health.ParseStatuses("503")
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestFirst(t *testing.T) {
	x := newExchange()
	if !First(x) || First(x) {
		t.Error("the guards are asked another number of times than once")
	}
}

// TestNone: without guards nothing is refused and nothing kept.
func TestNone(t *testing.T) {
	g, x := &Guards{}, newExchange()
	if g.Any() || g.Ask(x) != nil || !g.TryPlace(x) {
		t.Error("nobody refuses")
	}
	g.End(x, refusals(t))
}

func TestBreaker(t *testing.T) {
	f := func(status int, fault *edge.Fault, attempts int, opens bool) {
		t.Helper()
		g := &Guards{Breaker: breaker.New(&breaker.Config{ConsecutiveErrors: 2, ErrorPercent: 100, MinRequests: 100,
			Window: 10 * time.Second, OpenFor: 10 * time.Minute, MaxOpenFor: time.Hour, Probes: 1}, nil)}
		now := int64(time.Hour)
		for range 2 {
			x := newExchange()
			x.Call.Began, x.Times.Done = now, now
			if f := g.Ask(x); f != nil {
				t.Fatal(f)
			}
			x.Call.Status, x.Fault, x.Attempts = status, fault, attempts
			g.End(x, refusals(t))
		}
		x := newExchange()
		x.Call.Began = now
		refused := g.Ask(x)
		if (refused != nil) != opens {
			t.Fatalf("status %d, fault %v in %d attempts: refused with %v", status, fault, attempts, refused)
		}
		if opens && (refused.Code != "breaker_open" || refused.RetryAfter != 300) {
			t.Errorf("refused with %+v", refused)
		}
		x.Times.Done = now
		g.End(x, refusals(t))
	}
	f(200, nil, 1, false)
	f(404, nil, 1, false)
	f(500, nil, 1, true)
	f(0, edge.UpstreamReset, 1, true)
	f(0, edge.NoUpstream, 0, false) // no target was asked
	f(0, edge.ClientGone, 1, false)
	f(0, edge.PoolBusy, 1, false)
}

func TestOpenFaults(t *testing.T) {
	f := func(seconds, after int) {
		t.Helper()
		if got := open(seconds); got.RetryAfter != after || got.Status != 503 {
			t.Errorf("%d: %+v", seconds, got)
		}
	}
	f(-1, 1)
	f(0, 1)
	f(7, 7)
	f(300, 300)
	f(3600, 300)
}

func TestPlace(t *testing.T) {
	g := &Guards{Limiter: limit.New(&limit.Config{Limit: 1, Queue: 1, QueueTimeout: time.Hour, QueueTarget: time.Hour})}
	first, second := newExchange(), newExchange()
	for range 2 {
		if !g.TryPlace(first) {
			t.Fatal("there is no place")
		}
	}
	if g.Limiter.InFlight() != 1 {
		t.Fatalf("%d places are taken by one", g.Limiter.InFlight())
	}
	if g.TryPlace(second) {
		t.Fatal("a second place of one")
	}
	if f := g.Place(second, 1, time.Hour); f != edge.MustWait {
		t.Errorf("in a loop: %v", f)
	}
	second.MayWait = true
	got := make(chan *edge.Fault)
	go func() { got <- g.Place(second, 1, time.Hour) }()
	for g.Limiter.Waiting() == 0 {
		runtime.Gosched()
	}
	third := newExchange()
	if f := g.Place(third, 1, time.Hour); f != shed {
		t.Errorf("with a full queue: %v", f)
	}
	g.End(first, refusals(t))
	if f := <-got; f != nil || g.Limiter.InFlight() != 1 {
		t.Errorf("who has waited: %v, %d in flight", f, g.Limiter.InFlight())
	}
	g.End(second, refusals(t))
	if n := g.Limiter.InFlight(); n != 0 {
		t.Errorf("%d are in flight at the end", n)
	}
}

// TestPlaceGone: a client that left while it waited holds no place.
func TestPlaceGone(t *testing.T) {
	g := &Guards{Limiter: limit.New(&limit.Config{Limit: 1, Queue: 1, QueueTimeout: time.Hour, QueueTarget: time.Hour})}
	first, x := newExchange(), newExchange()
	g.TryPlace(first)
	x.Conn, x.MayWait = client{gone: true}, true
	got := make(chan *edge.Fault)
	go func() { got <- g.Place(x, 1, time.Hour) }()
	if f := <-got; f != edge.ClientGone {
		t.Errorf("%v", f)
	}
	g.End(x, refusals(t))
	g.End(first, refusals(t))
	if n := g.Limiter.InFlight(); n != 0 {
		t.Errorf("%d are in flight at the end", n)
	}
}

func TestHeadTime(t *testing.T) {
	f := func(fault *edge.Fault, answer int64, want time.Duration) {
		t.Helper()
		x := newExchange()
		x.Fault, x.Times.Answer, x.Call.Began = fault, answer, 100
		if got := headTime(x, 1000); got != want {
			t.Errorf("%v, answer at %d: %d, want %d", fault, answer, got, want)
		}
	}
	f(nil, 300, 200)
	f(nil, 0, 900)
	f(edge.UpstreamReset, 300, 900)
}
