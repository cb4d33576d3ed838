package limits

import (
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// owed is a configuration with a route and a limit for each scope and algorithm: /node-gcra and so on. keys has those of an
// algorithm.
func owed(t *testing.T, target, redis, dir string, cost int, keys map[string]string) string {
	t.Helper()
	conf := "[[listener]]\naddress = \"{{addr}}\"\n[redis]\naddress = \"" + redis + "\"\n[pool.app]\ntargets = [\"" + target + "\"]\n"
	for scope, of := range map[string]string{"node": "", "exact": "scope = \"fleet\"\nfleet_timeout = \"5s\"\n",
		"fast": "scope = \"fleet\"\nfleet = \"fast\"\nfleet_lease = 10000\n"} {
		for algorithm, more := range keys {
			name := scope + "-" + algorithm
			conf += fmt.Sprintf("[[route]]\nprefix = \"/%s\"\npool = \"app\"\nrate_limits = [%q]\nrate_cost = %d\n", name, name, cost)
			conf += fmt.Sprintf("[rate_limit.%s]\nkey = \"header:X-Key\"\nalgorithm = %q\n%s%s", name, algorithm, of, more)
			if scope == "node" && algorithm == "quota" {
				conf += "file = \"" + filepath.Join(dir, "quota") + "\"\n"
			}
		}
	}
	return conf
}

// TestReloadOwesNoMoreThanTheLimit: however much was spent of a large limit, after a reload to a small one nobody waits longer than
// who has spent all of the small one.
func TestReloadOwesNoMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	redis, target, dir := e2e.StartRedis(t), e2e.Record(t, nil).Addr, t.TempDir()
	g := e2e.Start(t, owed(t, target, redis.Addr, dir, 362, map[string]string{
		"gcra":           "rate = \"1000/h\"\nburst = 10000\n",
		"sliding_window": "rate = \"10000/day\"\n",
		"quota":          "quota = 10000\nperiod = \"month\"\n",
	}))
	e2e.Eventually(t, "the server of the fleet answers", func() bool { return g.Metric("penstock_redis_up") == 1 })
	var all sync.WaitGroup
	for _, path := range []string{"/node-gcra", "/exact-gcra", "/fast-gcra", "/node-sliding_window", "/exact-sliding_window",
		"/fast-sliding_window", "/node-quota", "/exact-quota", "/fast-quota"} {
		for client := range 7 { // 2,534 of 10,000
			all.Go(func() {
				if a := g.Get(path, "X-Key", "a"); a.StatusCode != 200 {
					t.Errorf("%s, client %d: %d %v", path, client, a.StatusCode, a.Header)
				}
			})
		}
	}
	all.Wait()
	g.Write(owed(t, target, redis.Addr, dir, 1, map[string]string{
		"gcra":           "rate = \"1/min\"\nburst = 10\n",
		"sliding_window": "rate = \"10/min\"\n",
		"quota":          "quota = 10\nperiod = \"hour\"\n",
	}))
	if status, body := g.Reload(); status != 200 {
		t.Fatal(status, body)
	}
	f := func(path string, most int) {
		t.Helper()
		for client := range 4 {
			all.Go(func() {
				a := g.Get(path, "X-Key", "a")
				after, _ := strconv.Atoi(a.Header.Get("Retry-After"))
				if a.StatusCode == 429 && after < 1 || after > most {
					t.Errorf("%s, client %d: %d, Retry-After %d, want %d at most: %v", path, client, a.StatusCode, after, most, a.Header)
				}
			})
		}
		all.Wait()
	}
	for _, scope := range []string{"/node", "/exact", "/fast"} {
		f(scope+"-gcra", 60)
		f(scope+"-sliding_window", 67)
		f(scope+"-quota", 3600)
	}
	for _, path := range []string{"/node-gcra", "/exact-gcra", "/fast-gcra", "/node-sliding_window", "/exact-sliding_window", "/node-quota"} {
		// What was spent stays spent, as much of it as there is room for.
		if a := g.Get(path, "X-Key", "a"); a.StatusCode != 429 {
			t.Errorf("%s: %d, want 429", path, a.StatusCode)
		}
	}
}

// TestReloadOwesNoMoreThanABan: a ban is no longer than a reload says.
func TestReloadOwesNoMoreThanABan(t *testing.T) {
	t.Parallel()
	target := e2e.Record(t, nil).Addr
	conf := func(ban string) string {
		return e2e.LimitedTo(target, "rate = \"1000/s\"\nburst = 1\nkey = \"header:X-Key\"\npenalty = { strikes = 2, ban = \""+ban+"\" }\n")
	}
	g := e2e.Start(t, conf("168h"))
	after := func() int {
		n, _ := strconv.Atoi(g.Get("/x", "X-Key", "a").Header.Get("Retry-After"))
		return n
	}
	e2e.Eventually(t, "the key is banned", func() bool {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { g.Get("/x", "X-Key", "a") })
		}
		all.Wait()
		return after() > 600_000
	})
	f := func(ban string, least, most int) {
		t.Helper()
		g.Write(conf(ban))
		g.Reload()
		if n := after(); n < least || n > most {
			t.Errorf("after a reload to %s: Retry-After %d, want %d to %d", ban, n, least, most)
		}
	}
	f("2h", 7000, 7200)
	f("1m", 20, 60)
	f("1h", 1200, 3600)
}
