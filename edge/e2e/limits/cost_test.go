package limits

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCostNeverPasses: a cost that a limit never has is an error of the file, at the place where it stands.
func TestCostNeverPasses(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	defer all.Wait()
	check := func(want, limits, route string) {
		name := filepath.Join(t.TempDir(), "penstock.toml")
		conf := "[[listener]]\naddress = \":8080\"\n[redis]\naddress = \"127.0.0.1:1\"\n" + limits + "\n[[route]]\nprefix = \"/\"\n" + route +
			"\nrespond = { status = 200 }\n"
		if err := os.WriteFile(name, []byte(conf), 0o600); err != nil {
			t.Error(err)
		}
		status, stdout, stderr := e2e.Command(t, "check", name)
		got := stdout + stderr
		switch {
		case want == "" && status != 0, want != "" && status != 1:
			t.Errorf("%s %s: status %d\n%s", limits, route, status, got)
		case want != "" && (!strings.Contains(got, want) || strings.Count(strings.TrimSpace(got), "\n") > 0):
			t.Errorf("%s %s: want one error with %q:\n%s", limits, route, want, got)
		}
	}
	f := func(want, limits, route string) { all.Go(func() { check(want, limits, route) }) }
	const small = "[rate_limit.a]\nrate = \"1/min\"\nburst = 2\n"
	const large = "[rate_limit.b]\nrate = \"100/min\"\nalgorithm = \"sliding_window\"\n"
	f("", small, "rate_limits = [\"a\"]")
	f("", small, "rate_limits = [\"a\"]\nrate_cost = 2")
	f("", small, "rate_limits = [\"a\"]\nrate_cost = 0")
	f(":12:1: route[1].rate_cost: ", small, "rate_limits = [\"a\"]\nrate_cost = 5")
	f(`limit "a"`, small+large, "rate_limits = [\"b\", \"a\"]\nrate_cost = 5")
	f(":8:1: rate_limit.a.cost: ", small+"cost = 5", "rate_limits = [\"a\"]")
	f(":8:1: rate_limit.a.cost: ", small+"cost = 5", "rate_limits = [\"a\"]\nrate_cost = 1")
	f(":8:1: rate_limit.a.cost: ", small+"cost = 5\n"+large, "rate_limits = [\"b\"]")
	f("rate_cost", large, "rate_limits = [\"b\"]\nrate_cost = 101")
	f("", large, "rate_limits = [\"b\"]\nrate_cost = 100")
	f("rate_cost", "[rate_limit.a]\nrate = \"10/h\"", "rate_limits = [\"a\"]\nrate_cost = 2") // the burst is 1
	f("rate_cost", "[rate_limit.a]\nalgorithm = \"quota\"\nquota = 4\nscope = \"fleet\"", "rate_limits = [\"a\"]\nrate_cost = 5")
	f("rate_cost", "[rate_limit.a]\nalgorithm = \"quota\"\nquota = 4\nfile = \"/tmp/x.quota\"", "rate_limits = [\"a\"]\nrate_cost = 5")
	f("rate_limit.a.cost: ", "[rate_limit.a]\nalgorithm = \"quota\"\nquota = 4\ncost = 5\nscope = \"fleet\"", "rate_limits = [\"a\"]")
	f("rate_cost", small+"scope = \"fleet\"", "rate_limits = [\"a\"]\nrate_cost = 3")
	f("rate_cost", small+"mode = \"observe\"", "rate_limits = [\"a\"]\nrate_cost = 3")
	f("rate_cost", small+"scope = \"fleet\"\nfleet = \"fast\"", "rate_limits = [\"a\"]\nrate_cost = 3")
	f("", "[rate_limit.c]\nalgorithm = \"concurrency\"\nmax_in_flight = 1", "rate_limits = [\"c\"]\nrate_cost = 3")
	f("rate_limit.a.burst: ", "[rate_limit.a]\nrate = \"1/min\"\nburst = 0", "rate_limits = [\"a\"]")
	f("rate_cost: ", small, "rate_limits = [\"a\"]\nrate_cost = -1")
	f("rate_limits", small, "rate_limits = [\"a\", \"a\"]")
}

// TestCostsOfAnswers: a target may say anything about a cost; nobody is refused for ever, and no field of it leaves.
func TestCostsOfAnswers(t *testing.T) {
	t.Parallel()
	redis := e2e.StartRedis(t)
	target := strings.TrimPrefix(e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		for _, v := range r.URL.Query()["cost"] {
			w.Header().Add("X-Cost", v)
		}
	}), "http://")
	scopes := map[string]string{"node": "", "exact": "scope = \"fleet\"\nfleet_timeout = \"5s\"\n", "fast": "scope = \"fleet\"\nfleet = \"fast\"\n"}
	conf := "[[listener]]\naddress = \"{{addr}}\"\n[redis]\naddress = \"" + redis.Addr + "\"\n[pool.app]\ntargets = [\"" + target + "\"]\n"
	for scope, keys := range scopes {
		conf += fmt.Sprintf("[[route]]\nprefix = \"/%s\"\npool = \"app\"\nrate_limits = [\"%s\", \"also-%s\"]\n", scope, scope, scope)
		conf += fmt.Sprintf("[rate_limit.%s]\nrate = \"1/h\"\nburst = 20\nkey = \"header:X-Key\"\ncost_header = \"x-cost\"\ncost = 3\n%s", scope, keys)
		conf += fmt.Sprintf("[rate_limit.also-%s]\nrate = \"1000/day\"\nalgorithm = \"sliding_window\"\nkey = \"header:X-Key\"\n"+
			"cost_header = \"x-cost\"\nallow = [\"192.0.2.0/24\"]\n%s", scope, keys)
	}
	g := e2e.Start(t, conf+"[server]\ntrusted_proxies = [\"127.0.0.1\"]\n")
	e2e.Eventually(t, "the server of the fleet answers", func() bool { return g.Metric("penstock_redis_up") == 1 })
	var all sync.WaitGroup
	f := func(query, left, also string) {
		t.Helper()
		for scope := range scopes {
			all.Go(func() {
				a := g.Get("/"+scope+"?"+query, "X-Key", query)
				state := a.Header.Get("RateLimit")
				if a.StatusCode != 200 || a.Header.Get("X-Cost") != "" || !strings.Contains(state, "\""+scope+"\";r="+left+";") ||
					!strings.Contains(state, "\"also-"+scope+"\";r="+also+";") {
					t.Errorf("%s: %q: %d, %q left, want %s and %s; %v", scope, query, a.StatusCode, state, left, also, a.Header)
				}
			})
		}
	}
	f("", "17", "999")
	f("cost=", "17", "999")
	f("cost=5", "15", "995")
	f("cost=0", "20", "1000")
	f("cost=-5", "20", "1000")
	f("cost=-99999999999999999999", "20", "1000")
	f("cost=21", "0", "979")
	f("cost=1000000001", "0", "0")
	f("cost=99999999999999999999999999", "0", "0")
	f("cost=abc", "17", "999")
	f("cost=1.5", "17", "999")
	f("cost=5x", "17", "999")
	f("cost=%2B5", "17", "999")
	f("cost=5&cost=5", "15", "995")
	f("cost=2&cost=9", "11", "991")
	f("cost=9&cost=2&cost=", "11", "991")
	f("cost=9,+2", "11", "991")
	f("cost=abc&cost=7", "13", "993")
	all.Wait()
	g.Counted(`penstock_rate_limit_bad_costs_total{limit="node"}`, 5)
	// A client without a limit sees no cost either.
	if a := g.Get("/node?cost=4", "X-Key", "z", "X-Forwarded-For", "192.0.2.1"); a.Header.Get("X-Cost") != "" {
		t.Errorf("%v", a.Header)
	}
}
