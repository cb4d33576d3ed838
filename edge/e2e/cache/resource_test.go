package cache

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// resources is a configuration with two pools and these routes, which may have no names.
func resources(a, b, keys string, routes ...string) string {
	return fmt.Sprintf("[[listener]]\naddress = \"{{addr}}\"\n[pool.a]\ntargets = [%q]\n[pool.b]\ntargets = [%q]\n"+
		"[cache.main]\nsize = \"16MiB\"\n%s\n", a, b, keys) + strings.Join(routes, "\n")
}

// named is a target that tells its name and what it sees.
func named(t *testing.T, name string, mu *sync.Mutex, asked map[string]int) string {
	return e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[name]++
		mu.Unlock()
		w.Header().Set("Cache-Control", "max-age=100")
		host := "its own"
		if strings.HasPrefix(r.Host, "h.example") {
			host = r.Host
		}
		fmt.Fprintf(w, "%s %s of %s %s", name, r.URL.Path, host, r.Header.Get("X-Beta"))
	})
}

// TestCacheResource: what is stored belongs to what was asked of whom, wherever the route stands that asked: a reload
// that moves routes keeps it, and one that has them ask for something else, or somebody else, never serves it. So it
// is in memory and on disk.
func TestCacheResource(t *testing.T) {
	for _, disk := range []bool{false, true} {
		var mu sync.Mutex
		asked := map[string]int{}
		keys := ""
		if disk {
			keys = fmt.Sprintf("disk = %q\ndisk_size = \"64MiB\"\n", t.TempDir())
		}
		a, b := named(t, "a", &mu, asked), named(t, "b", &mu, asked)
		const cache = "cache = \"main\"\n"
		route := func(lines ...string) string {
			return "[[route]]\nhosts = [\"h.example\"]\n" + strings.Join(lines, "\n") + "\n"
		}
		x, y := route(`prefix = "/x"`, `pool = "a"`, cache), route(`prefix = "/y"`, `pool = "b"`, cache)
		g := e2e.Start(t, resources(a, b, keys, x, y))
		if disk {
			g.Loaded()
		}
		// f asks for a path after the file has become this one; more says how often the targets are asked for that.
		f := func(what, path, want string, more int, fields ...string) {
			t.Helper()
			mu.Lock()
			before := asked["a"] + asked["b"]
			mu.Unlock()
			got := g.Ask("GET", path, append(fields, "Host: h.example")...)
			mu.Lock()
			defer mu.Unlock()
			if n := asked["a"] + asked["b"] - before; strings.TrimSpace(got.Body) != want || n != more {
				t.Errorf("disk %v, %s: %s is %q after %d requests to targets, want %q after %d", disk, what, path, got.Body, n, want, more)
			}
		}
		become := func(more string, routes ...string) {
			t.Helper()
			if disk { // what is on disk alone counts
				e2e.Eventually(t, "all is on disk", func() bool { return g.Metric("penstock_cache_disk_entries{") >= 2 })
				g.Stop()
				g.Write(resources(a, b, keys+more, routes...))
				g.Again()
				return
			}
			g.Write(resources(a, b, keys+more, routes...))
			if status, why := g.Reload(); status != 200 {
				t.Fatal(why)
			}
		}
		f("at first", "/x", "a /x of h.example", 1)
		f("at first", "/y", "b /y of h.example", 1)
		become("", route(`prefix = "/new"`, `pool = "a"`, cache), x, y)
		f("one is put above", "/x", "a /x of h.example", 0)
		f("one is put above", "/y", "b /y of h.example", 0)
		become("", y, x)
		f("swapped", "/x", "a /x of h.example", 0)
		f("swapped", "/y", "b /y of h.example", 0)
		become("", route(`prefix = "/x"`, `pool = "b"`, cache), route(`prefix = "/y"`, `pool = "a"`, cache))
		f("other pools", "/x", "b /x of h.example", 1)
		f("other pools", "/y", "a /y of h.example", 1)
		become("", route(`prefix = "/x"`, `pool = "a"`, `strip_prefix = "/x"`, cache))
		f("a prefix is taken off", "/x/y", "a /y of h.example", 1)
		become("", route(`path = "/x/{id}"`, `pool = "a"`, `rewrite = "/other/{id}"`, cache))
		f("rewritten", "/x/y", "a /other/y of h.example", 1)
		become("", route(`path = "/x/{id}"`, `pool = "a"`, `rewrite = "/others/{id}"`, cache))
		f("rewritten in another way", "/x/y", "a /others/y of h.example", 1)
		become("", route(`prefix = "/x"`, `pool = "a"`, `preserve_host = false`, cache))
		f("under the target's own name", "/x", "a /x of its own", 1)
		become("", route(`prefix = "/x"`, "name = \"named\"", `pool = "a"`, `timeout = "20s"`, cache))
		f("with a name, and a time", "/x", "a /x of h.example", 0)
		become("", route(`prefix = "/x"`, `split = [{ pool = "a", weight = 9 }, { pool = "b", weight = 0 }]`, cache))
		f("the same pool as all of a split", "/x", "a /x of h.example", 0)
		become("", route(`prefix = "/x"`, `pool = "a"`, `headers = { "X-Beta" = "yes" }`, cache), x)
		f("another route by a field", "/x", "a /x of h.example yes", 1, "X-Beta: yes")
		f("another route by a field", "/x", "a /x of h.example", 0)
		become("key_headers = [\"X-Beta\"]\n", x)
		f("another field in the key", "/x", "a /x of h.example yes", 1, "X-Beta: yes")
		become("key_headers = [\"X-Gamma\"]\n", x)
		f("a third one", "/x", "a /x of h.example", 1, "X-Gamma: yes")
		become("", x)
		if n := g.Purge("url=http://h.example/x"); n < 4 {
			t.Errorf("disk %v: purged %d", disk, n)
		}
		f("purged, whoever asks", "/x", "a /x of h.example", 1)
	}
}

// TestCacheResourceAtOnce: while the file changes, requests are answered by what the route of their time asks for.
func TestCacheResourceAtOnce(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	a, b := named(t, "a", &mu, asked), named(t, "b", &mu, asked)
	conf := func(pool string) string {
		return resources(a, b, "", fmt.Sprintf("[[route]]\nprefix = \"/\"\npool = %q\ncache = \"main\"\n", pool))
	}
	g := e2e.Start(t, conf("a"))
	for i, pool := range []string{"a", "b", "a", "b"} {
		g.Write(conf(pool))
		if status, why := g.Reload(); status != 200 {
			t.Fatal(why)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if got := g.Ask("GET", "/x", "Host: h.example"); !strings.HasPrefix(got.Body, pool+" ") {
					t.Errorf("%d: %q, want it from %s", i, got.Body, pool)
				}
			})
		}
		all.Wait()
	}
	mu.Lock()
	defer mu.Unlock()
	if asked["a"] > 8 || asked["b"] > 8 {
		t.Errorf("the targets were asked %v times", asked)
	}
}
