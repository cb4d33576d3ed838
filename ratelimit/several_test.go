package ratelimit

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

// one is a limit that lets so many pass, and gives none back before the test has ended.
func one(name string, burst int, keys ...string) string {
	return fmt.Sprintf("[rate_limit.%s]\nrate = \"1/day\"\nburst = %d\n%s\n", name, burst, strings.Join(keys, "\n"))
}

// left returns what is left of a limit by the field of an answer; "": the field has nothing of it.
func (r *reply) left(name string) string {
	_, rest, _ := strings.Cut(r.head["RateLimit"], `"`+name+`";r=`)
	n, _, _ := strings.Cut(rest, ";")
	return n
}

// TestSeveralLimits: who is refused by one limit is charged by none, whatever their order, and is told of the one for which
// there is longest to wait.
func TestSeveralLimits(t *testing.T) {
	small, large := one("small", 2), one("large", 5)
	slow := "[rate_limit.slow]\nrate = \"1/h\"\nburst = 2\n"
	places := "[rate_limit.places]\nalgorithm = \"concurrency\"\nmax_in_flight = 1\n"
	for _, order := range []string{small + large + slow + places, places + slow + large + small, large + places + small + slow} {
		g := newGateway(t, order)
		g.expect(200)
		if r := g.expect(200); r.left("small") != "0" || r.left("slow") != "0" || r.left("large") != "3" || r.left("places") != "0" {
			t.Errorf("after two: %v", r.head)
		}
		for range 3 {
			r := g.expect(429)
			if r.left("large") != "3" || r.head["Retry-After"] != "86400" && r.head["Retry-After"] != "86399" {
				t.Errorf("refused: %v", r.head)
			}
			if strings.Count(r.head["RateLimit-Policy"], "pk=") != 4 {
				t.Errorf("refused by one, and told of %q", r.head["RateLimit-Policy"])
			}
		}
		for name, want := range map[string]uint64{"small": 3, "slow": 0, "large": 0, "places": 0} {
			if n := g.decided(name, limited); n != want {
				t.Errorf("%s has refused %d, want %d", name, n, want)
			}
		}
		if n := g.status("places").Keys; n != 0 {
			t.Errorf("%d keys have requests under way", n)
		}
		r := g.expect(200, from("192.0.2.8"))
		if r.left("small") != "1" || r.left("large") != "4" {
			t.Errorf("another client: %v", r.head)
		}
	}
}

// TestNeverLimit: a limit that will never let the request pass refuses it for longer than all others, and Retry-After
// does not say when.
func TestNeverLimit(t *testing.T) {
	g := newGateway(t, one("cheap", 5, "cost_header = \"X-Cost\"")+one("dear", 5, "count = \"200\"")+
		"[[route]]\nprefix = \"/\"\nrate_limits = [\"cheap\", \"dear\"]\n[[route]]\npath = \"/free\"\nrate_limits = [\"cheap\"]\nrate_cost = 0\n")
	g.expect(200)
	g.expect(200, path("/free"))
	for range 4 {
		g.expect(200)
	}
	g.expect(429)
	if r := g.expect(200, path("/free")); r.left("cheap") != "0" {
		t.Errorf("what costs nothing: %v", r.head)
	}
	g.reload(one("cheap", 5) + one("dear", 3, "cost = 3"))
	if r := g.expect(429); r.head["Retry-After"] == "" {
		t.Errorf("%v", r.head)
	}
	if errs := g.load(one("cheap", 5) + one("dear", 3, "cost = 4")); !strings.Contains(errs, "no request would ever pass") {
		t.Errorf("%q", errs)
	}
}

// TestManyAskAtOnce: of requests that all limits let pass when they are asked, and that are too many when they are
// charged, the right number passes, and the others have spent nothing.
func TestManyAskAtOnce(t *testing.T) {
	const workers, each = 8, 50
	f := func(text string, most int64) {
		t.Helper()
		g := newGateway(t, text+one("room", 10_000))
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range each {
					if g.ask().status == 200 {
						passed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if passed.Load() != most {
			t.Errorf("%s: %d have passed, want %d", text, passed.Load(), most)
		}
		if r := g.ask(); r.left("room") != fmt.Sprint(10_000-most) {
			t.Errorf("%s: %d have passed, and %s are left of 10000", text, most, r.left("room"))
		}
		if n := g.decided("room", allowed); n != uint64(most) {
			t.Errorf("%s: %d were counted as allowed", text, n)
		}
	}
	f(one("few", 7), 7)
	f(one("few", 7)+one("fewer", 3), 3)
	f(one("few", 7, "exact = true")+one("fewer", 5, "algorithm = \"gcra\""), 5)
	f("[rate_limit.few]\nrate = \"30/day\"\nalgorithm = \"sliding_window\"\n"+one("fewer", 12), 12)
}

// TestPlaces: a place is taken from the request's head to the end of its answer, and comes back however that ends.
func TestPlaces(t *testing.T) {
	g := newGateway(t, "[rate_limit.places]\nalgorithm = \"concurrency\"\nmax_in_flight = 2\n"+one("few", 100))
	enter, leave := make(chan bool), make(chan string)
	g.answer = func(x *edge.Exchange) edge.Verdict {
		if string(x.Path) == "/quick" {
			x.Answer(200, "", nil)
			return edge.Answered
		}
		enter <- true
		switch <-leave {
		case "panic":
			panic("a filter")
		case "drop":
			return edge.Drop
		case "fault":
			x.Fault = edge.NoUpstream
			return edge.Answered
		}
		x.Answer(200, "", nil)
		return edge.Answered
	}
	ended := make(chan *reply)
	begin := func() {
		go func() { ended <- g.ask() }()
		<-enter
	}
	begin()
	for _, how := range []string{"answer", "fault", "panic", "drop", "answer"} {
		begin()
		if r := g.expect(429, path("/quick")); r.left("places") != "0" || r.head["Retry-After"] != "1" {
			t.Errorf("two are under way: %v", r.head)
		}
		if r := g.expect(200, path("/quick"), from("192.0.2.99")); r.left("places") != "1" {
			t.Errorf("another client: %v", r.head)
		}
		leave <- how
		<-ended
	}
	leave <- "answer"
	if r := <-ended; r.status != 200 {
		t.Errorf("the first one got %d", r.status)
	}
	if s := g.status("places"); s.Keys != 0 || s.Most != 2 {
		t.Errorf("all have ended: %+v", s)
	}
}

// TestObserve: a limit that only looks refuses nobody, charges what passes, and says how much is left.
func TestObserve(t *testing.T) {
	g := newGateway(t, one("look", 2, "mode = \"observe\"", "penalty = { strikes = 1 }", "key = \"header:X-Key\"", "missing = \"refuse\"")+
		one("firm", 4))
	for i, want := range []string{"1", "0", "0", "0"} {
		if r := g.expect(200, with("X-Key", "a")); r.left("look") != want || r.head["Retry-After"] != "" {
			t.Errorf("request %d: %v", i, r.head)
		}
	}
	g.expect(429, with("X-Key", "a"))
	g.expect(429)
	s := g.status("look")
	if s.Decisions["allowed"] != 2 || s.Decisions["observed"] != 3 || s.Decisions["limited"] != 0 || s.Banned != 0 || s.Mode != "observe" {
		t.Errorf("%+v", s)
	}
}
