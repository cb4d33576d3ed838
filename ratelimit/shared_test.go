package ratelimit

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/penstock-edge/penstock/edge"
)

// patient is [redis] of a server that is waited for as long as it takes, which is long under load.
func patient(address string) string {
	return fmt.Sprintf("[redis]\naddress = %q\nconnect_timeout = \"1m\"\n", address)
}

// fleetLimit is a limit of the fleet that lets so many pass.
func fleetLimit(name string, burst int, keys ...string) string {
	return one(name, burst, append(keys, `scope = "fleet"`, `fleet_timeout = "10s"`)...)
}

// up waits until the server has answered, or has ceased to.
func (g *gateway) up(want bool) {
	await(func() bool { return g.in.Status().([]Status)[0].Fleet.ServerUp == want })
}

// TestWaitsOnlyForTheServer: the gate goes on in the loop when the answer is at hand. It leaves it for nothing but an
// exact limit of the fleet, and for that only when the server is there and has to be asked.
func TestWaitsOnlyForTheServer(t *testing.T) {
	server := miniredis.RunT(t)
	const routes = "[[route]]\nprefix = \"/\"\nrate_limits = [%s]\n"
	exact := fleetLimit("exact", 3, `allow = ["10.0.0.0/8"]`, `deny = ["203.0.113.0/24"]`, `key = "header:x-key"`, `missing = "skip"`)
	fast := fleetLimit("fast", 100, `fleet = "fast"`)
	local := one("local", 4, `key = "header:x-key"`)
	g := newGateway(t, patient(server.Addr())+exact+fast+local+fmt.Sprintf(routes, `"fast", "exact", "local"`)+
		"[[route]]\npath = \"/fast\"\nrate_limits = [\"fast\"]\n[[route]]\npath = \"/local\"\nrate_limits = [\"local\"]\n")
	a := with("X-Key", "a")
	f := func(what string, waits bool, status int, has ...func(x *edge.Exchange)) {
		t.Helper()
		if r := g.ask(has...); r.status != status || r.waited != waits {
			t.Errorf("%s: status %d (%s), waited %v; want %d, %v; %v", what, r.status, r.code, r.waited, status, waits, r.head)
		}
	}
	g.up(true)
	f("the server is asked", true, 200, a)
	f("a limit that is told afterwards", false, 200, a, path("/fast"))
	f("one of this gateway", false, 200, a, path("/local"))
	f("on the allow-list", false, 200, a, from("10.1.1.1"))
	f("on the deny-list", false, 403, a, from("203.0.113.1"))
	f("without the key", false, 200)
	f("the server is asked again", true, 200, a)
	f("refused by the limit at hand, before the server is asked", false, 429, a)
	b := with("X-Key", "b")
	for range 3 {
		f("another key", true, 200, b)
	}
	f("refused by the server", true, 429, b)
	server.Close()
	for g.ask(with("X-Key", "c")).waited { // until the server is known to be gone
	}
	g.up(false)
	f("nobody to ask", false, 429, b)
	f("nobody to tell", false, 200, b, path("/fast"))
}

// TestServerGone: what becomes of requests while the server does not answer, and when it does again.
func TestServerGone(t *testing.T) {
	f := func(keys string, before, without []int, code string) {
		t.Helper()
		server := miniredis.RunT(t)
		g := newGateway(t, patient(server.Addr())+fleetLimit("main", 3, strings.Split(keys, "\n")...))
		g.up(true)
		for _, status := range before {
			g.expect(status)
		}
		server.SetError("LOADING it has just begun")
		for g.status("main").Fleet.ServerUp {
			g.ask(from("198.51.100.1")) // some in a row without an answer, and it is taken to be gone
		}
		for i, status := range without {
			r := g.expect(status)
			if r.waited || status == 503 && (r.code != code || r.head["Retry-After"] != "1") {
				t.Errorf("%s: request %d without a server: %q, %v", keys, i, r.code, r.head)
			}
		}
		s := g.status("main")
		if s.Fleet.Fallbacks < uint64(len(without)) || s.Scope != "fleet" || s.Fleet.Nodes != 1 {
			t.Errorf("%s: %+v, %+v", keys, s, s.Fleet)
		}
		if code != "" && s.Decisions["unknown"] < uint64(len(without)) {
			t.Errorf("%s: %v", keys, s.Decisions)
		}
		if n := g.counter("penstock_redis_losses_total"); n == "0" || g.counter("penstock_redis_up") != "0" {
			t.Errorf("%s: the server was lost %s times", keys, n)
		}
		server.SetError("")
		g.up(true)
		g.expect(200, from("192.0.2.99"))
	}
	f(`on_failure = "deny"`, []int{200, 200}, []int{503, 503}, "rate_limit_unavailable")
	f("on_failure = \"deny\"\nanswer = { status = 403 }", []int{200}, []int{503}, "rate_limit_unavailable")
	f(`on_failure = "allow"`, []int{200, 200, 200, 429}, []int{200, 200, 200, 200, 200}, "")
	f(`on_failure = "local"`, []int{200}, []int{200, 200, 429, 429}, "")
	f("on_failure = \"local\"\ncount = \"200\"", []int{200}, []int{200, 200, 429}, "")
	f("on_failure = \"allow\"\ncount = \"200\"", []int{200}, []int{200, 200, 200, 200}, "")
	f("on_failure = \"deny\"\nfleet = \"fast\"", nil, []int{503}, "rate_limit_unavailable")
	f("on_failure = \"deny\"\nmode = \"observe\"", []int{200, 200}, []int{200, 200}, "")
}

// TestFleetExactly: over several gateways not one more passes than the limit says, and who is refused by one of two
// limits is charged by neither.
func TestFleetExactly(t *testing.T) {
	server := miniredis.RunT(t)
	text := patient(server.Addr()) + fleetLimit("few", 7) + fleetLimit("room", 1000)
	gateways := []*gateway{newGateway(t, text), newGateway(t, text), newGateway(t, text)}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for _, g := range gateways {
		g.up(true)
		for range 3 {
			wg.Go(func() {
				for range 6 {
					switch r := g.ask(); r.status {
					case 200:
						passed.Add(1)
					case 429:
					default:
						t.Errorf("status %d (%s)", r.status, r.code)
					}
				}
			})
		}
	}
	wg.Wait()
	if n := passed.Load(); n != 7 {
		t.Errorf("%d have passed, want 7", n)
	}
	for _, g := range gateways {
		if r := g.expect(429); r.left("few") != "0" || r.left("room") != "993" {
			t.Errorf("%v", r.head)
		}
		if s := g.status("few"); s.Fleet.Fallbacks != 0 || s.Fleet.Mode != "exact" {
			t.Errorf("%+v", s.Fleet)
		}
	}
	if status, body := gateways[0].post("few", "key=192.0.2.7"); status != 200 || !strings.Contains(body, "1") {
		t.Errorf("%d %s", status, body)
	}
	if r := gateways[1].expect(200); r.left("few") != "6" || r.left("room") != "992" {
		t.Errorf("forgotten by another gateway: %v", r.head)
	}
}

// TestFleetAndLocal: a request that the server refuses has spent nothing of the limits of this gateway, and one that they
// refuse nothing on the server.
func TestFleetAndLocal(t *testing.T) {
	server := miniredis.RunT(t)
	places := "[rate_limit.places]\nalgorithm = \"concurrency\"\nmax_in_flight = 5\n"
	g := newGateway(t, patient(server.Addr())+fleetLimit("main", 2)+one("here", 3, `key = "header:x-key"`)+places)
	g.up(true)
	a := with("X-Key", "a")
	g.expect(200, a)
	g.expect(200, a)
	for range 3 {
		if r := g.expect(429, a); r.left("here") != "1" || r.left("main") != "0" || r.left("places") != "5" {
			t.Errorf("refused by the server: %v", r.head)
		}
	}
	other := from("192.0.2.8")
	if r := g.expect(200, a, other); r.left("here") != "0" || r.left("main") != "1" {
		t.Errorf("another client with the same key: %v", r.head)
	}
	g.expect(429, a, other)
	if r := g.expect(200, with("X-Key", "c"), other); r.left("main") != "0" || r.left("places") != "4" {
		t.Errorf("refused here, and charged on the server: %v", r.head)
	}
}

// TestLeavesBeforeTheAnswer: of a client that goes while the server is asked nothing is kept, here or there.
func TestLeavesBeforeTheAnswer(t *testing.T) {
	server := miniredis.RunT(t)
	g := newGateway(t, patient(server.Addr())+fleetLimit("main", 5)+one("here", 5)+
		"[rate_limit.places]\nalgorithm = \"concurrency\"\nmax_in_flight = 5\n")
	g.up(true)
	g.expect(200)
	server.Lock() // it does not answer
	r := g.ask(func(x *edge.Exchange) { x.Conn = client{gone: true} })
	server.Unlock()
	if r.code != edge.ClientGone.Code || !r.waited {
		t.Errorf("status %d, %q", r.status, r.code)
	}
	await(func() bool { return g.ask(from("192.0.2.8")).status == 200 })
	if r := g.expect(200); r.left("here") != "3" || r.left("places") != "4" {
		t.Errorf("after one that has left: %v", r.head)
	}
	if s := g.status("main"); s.Fleet.Fallbacks != 0 || g.status("places").Keys != 0 {
		t.Errorf("%+v", s.Fleet)
	}
}

// TestMistakesOfTheFleet: what makes no sense of limits that gateways share.
func TestMistakesOfTheFleet(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		g := newGateway(t, "")
		if errs := g.load(text); !strings.Contains(errs, want) || errs == "" {
			t.Errorf("%s: %q, want %q", text, errs, want)
		}
	}
	redis := patient("127.0.0.1:1")
	f(fleetLimit("a", 1), "a limit of the fleet needs [redis]")
	f("[redis]\n"+fleetLimit("a", 1), "the server's host and port")
	f("[redis]\naddress = 7\n"+fleetLimit("a", 1), "must be a host and a port")
	f("[redis]\naddress = \"nowhere\"\n"+fleetLimit("a", 1), "redis.address")
	f(redis+"[rate_limit.a]\nalgorithm = \"concurrency\"\nmax_in_flight = 1\nscope = \"fleet\"\n", "requests under way are counted on one node")
	f(one("a", 1, `on_failure = "deny"`), "means nothing without scope")
	f(one("a", 1, `fleet_timeout = "1s"`), "means nothing without scope")
	f(redis+fleetLimit("a", 1, "fleet_lease = 3"), `means nothing to fleet = "exact"`)
	f(redis+fleetLimit("a", 1, `on_failure = "maybe"`), "on_failure")
	f(redis+"[rate_limit.a]\nalgorithm = \"quota\"\nquota = 1\nscope = \"fleet\"\nfile = \"/tmp/x\"\n", "is kept by the server")
	f("[rate_limit.a]\nalgorithm = \"quota\"\nquota = 1\n", "needs a file to survive restarts")
	f("[rate_limit.a]\nalgorithm = \"quota\"\nquota = 1\nfile = \"plan\"\n", "must be an absolute path")
	f("[rate_limit.a]\nalgorithm = \"quota\"\nquota = 1\nfile = \"/tmp/x\"\nzone = \"Mars/Base\"\n", "no time zone is called")
	f("[rate_limit.a]\nalgorithm = \"quota\"\nfile = \"/tmp/x\"\n", "needs a number for each period")
}
