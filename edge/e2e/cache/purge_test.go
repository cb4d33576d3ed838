package cache

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// purgable is a target whose answers are fresh for a while and have tags.
func purgable(t *testing.T) (addr string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	return e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=100, stale-while-revalidate=100")
		w.Header().Set("Surrogate-Key", "all "+strings.Trim(r.URL.Path, "/")+" two")
		w.Header().Set("Cache-Tag", "with space, last")
		w.Header().Set("Vary", "X-Lang")
		fmt.Fprint(w, r.URL.Path)
	}), asked
}

// TestCachePurgeForms: a URL is purged however it is written, and the answer says how many have gone, each once.
func TestCachePurgeForms(t *testing.T) {
	addr, asked := purgable(t)
	for _, disk := range []bool{false, true} {
		conf := e2e.Cached(addr, "query_drop = [\"utm\"]\nsort_query = true\n")
		if disk {
			conf = e2e.OnDisk(addr, t.TempDir(), "query_drop = [\"utm\"]\nsort_query = true\n")
		}
		g := e2e.Start(t, trusting+conf)
		if disk {
			g.Loaded()
		}
		get := func(target string, fields ...string) {
			t.Helper()
			target, secure := strings.CutPrefix(target, "https:")
			if secure {
				fields = append(fields, "X-Forwarded-Proto: https")
			}
			c := e2e.DialRaw(t, g.Addr)
			c.Send("GET " + target + " HTTP/1.1\r\nHost: h.example\r\n" + strings.Join(append(fields, "", ""), "\r\n"))
			if a := c.Answer("GET"); a.StatusCode != 200 {
				t.Fatalf("%s: %d %s", target, a.StatusCode, a.Body)
			}
		}
		// f stores what is at targets, purges, and says how many of them are asked for again.
		f := func(want int, targets []string, selectors ...string) {
			t.Helper()
			for _, target := range targets {
				get(target)
			}
			for round, n := range []int{want, 0} { // what has gone does not go again
				if status, kind, body := g.Purges(selectors...); status != 200 || kind != "application/json" ||
					body != fmt.Sprintf("{\"purged\": %d}\n", n) {
					t.Errorf("disk %v, %q, round %d: %d %s %s, want %d", disk, selectors, round, status, kind, body, n)
				}
			}
			before := asked.Load()
			for _, target := range targets {
				get(target)
			}
			if n := int(asked.Load() - before); n != want {
				t.Errorf("disk %v, %q: %d are asked for again, want %d", disk, selectors, n, want)
			}
		}
		f(1, []string{"/caf%C3%A9"}, "url=http://h.example/caf%c3%a9")
		f(1, []string{"/caf%c3%a9"}, "url=http://h.example/café")
		f(1, []string{"/~x"}, "url=http://H.Example/%7Ex")
		f(1, []string{"/%7Ey/z"}, "url=http://h.example:80/~y/./q/../z")
		f(1, []string{"https:/s"}, "url=https://h.example:443/s")
		f(0, []string{"https:/s"}, "url=http://h.example:443/s")
		f(0, []string{"/s"}, "url=http://h.example:8080/s")
		f(1, []string{"/q?b=1&a=2&utm=x"}, "url=http://h.example/q?utm=y&a=2&b=1")
		f(1, []string{"/"}, "url=HTTP://h.example")
		f(2, []string{"/p/%c3%a9", "/p/b", "/o"}, "prefix=http://H.example:80/p/")
		f(1, []string{"/p/%c3%a9", "/p/b"}, "prefix=http://h.example/p/%c3")
		f(1, []string{"/w/~a", "/w/b"}, "prefix=http://h.example/./w/%7e")
		f(1, []string{"/m1", "/m2"}, "match=/m1$")
		f(2, []string{"/one", "/two", "/three"}, "tag=one", "tag= three ")
		f(2, []string{"/one", "/two", "/three"}, "tag=one", "tag=one", "url=http://h.example/three", "prefix=http://h.example/one")
		f(3, []string{"/four", "/five", "/six"}, "url=http://h.example/four", "prefix=http://h.example/fi", "match=/s.x")
		f(0, []string{"/four"}, "tag=nobody")
		if n := g.Purge("tag=space"); n == 0 {
			t.Error("a tag with white space is none of two")
		}
		// All there is: what was purged above is not counted again, variants are.
		g.Purge("all=1")
		get("/v", "X-Lang: de")
		get("/v", "X-Lang: en")
		get("/w")
		if n := g.Purge("url=http://h.example/v&soft=1"); n != 2 {
			t.Errorf("disk %v: softly %d", disk, n)
		}
		if n := g.Purge("url=http://h.example/v&soft=1"); n != 0 {
			t.Errorf("disk %v: softly again %d", disk, n)
		}
		if n := g.Purge("all=1&soft=1"); n != 1 {
			t.Errorf("disk %v: all softly %d", disk, n)
		}
		if n := g.Purge("all=true"); n != 3 {
			t.Errorf("disk %v: all %d", disk, n)
		}
		if n := g.Metric("penstock_cache_purged_total{"); n < 30 {
			t.Errorf("disk %v: %v are counted", disk, n)
		}
	}
}

// TestCachePurgeDisk: what is on disk from before is counted too, and once, whether it is in memory again or not.
func TestCachePurgeDisk(t *testing.T) {
	addr, _ := purgable(t)
	g := e2e.Start(t, e2e.OnDisk(addr, t.TempDir()))
	g.Loaded()
	for _, path := range []string{"/a", "/b", "/c", "/d"} {
		g.Ask("GET", path, "Host: h.example", "X-Lang: de")
	}
	g.Purge("url=http://h.example/d")
	e2e.Eventually(t, "all is on disk", func() bool { return g.Metric("penstock_cache_disk_entries{") >= 8 }) // with a sign for each
	g.Stop()
	g.Again()
	g.Ask("GET", "/a", "Host: h.example", "X-Lang: de")
	for _, one := range []struct {
		query string
		want  int
	}{{"url=http://h.example/a", 1}, {"tag=two&soft=1", 2}, {"url=http://h.example/b", 1}, {"prefix=http://h.example/", 1}, {"all=1", 0}} {
		if n := g.Purge(one.query); n != one.want {
			t.Errorf("%s: %d have gone, want %d", one.query, n, one.want)
		}
	}
}

// TestCachePurgeRefused: what names nothing, or not clearly, purges nothing and says why.
func TestCachePurgeRefused(t *testing.T) {
	addr, asked := purgable(t)
	g := e2e.Start(t, e2e.Cached(addr, "sort_query = true\n"))
	g.Ask("GET", "/x", "Host: h.example")
	f := func(why string, selectors ...string) {
		t.Helper()
		status, kind, body := g.Purges(selectors...)
		var p struct {
			Status              int
			Detail, Code, Title string
		}
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != 400 || kind != "application/problem+json" || p.Status != 400 ||
			p.Code != "bad_request" || p.Title != "Bad Request" || !strings.Contains(p.Detail, why) {
			t.Errorf("%q: %d %s %s, want it to say %q", selectors, status, kind, body, why)
		}
	}
	f("nothing is named")
	f("must be a URL", "url=")
	f("must be a URL", "url=/x")
	f("must be a URL", "url=h.example/x")
	f("must be a URL", "url=ftp://h.example/x")
	f("must be a URL", "url=http:///x")
	f("white space", "url=http://h.example/a b")
	f("white space", "url=http://h.example/a\r\nX: y")
	f("fragment", "url=http://h.example/x#y")
	f("two hexadecimal digits", "url=http://h.example/%x")
	f("climbs", "url=http://h.example/../x")
	f("malformed Host", "url=http://u:p@h.example/x")
	f("must be a URL", "prefix=")
	f("must be a URL", "prefix=/x")
	f("dot segment", "prefix=http://h.example/x/..")
	f("before the query", "prefix=http://h.example/x?y")
	f("hexadecimal", "prefix=http://h.example/%c")
	f("must be one tag", "tag=")
	f("must be one tag", "tag= ")
	f("must be one tag", "tag=a b")
	f("must be one tag", "tag=a,b")
	f("expression", "match=")
	f("expression", "match=(")
	f("no selector", "ulr=http://h.example/x")
	f("no selector", "url=http://h.example/x?a=1", "b=2")
	f("must be 1", "all=0")
	f("must be 1", "all=")
	f("must be 1", "all=1", "soft=perhaps")
	f("twice", "all=1", "all=1")
	f("no other selector", "all=1", "tag=a")
	f("a time", "prefix=http://h.example/", "for=soon")
	f("for ends", "url=http://h.example/x", "for=1h")
	f("must be one tag", "url=http://h.example/x", "tag=")
	for _, query := range []string{"tag=%zz", "tag=a&tag=50%", "al%zl=1&all=1"} {
		resp, err := http.Post("http://"+g.Admin+"/cache/main/purge?"+query, "", nil)
		if err != nil || resp.StatusCode != 400 {
			t.Fatal(query, resp, err)
		}
		resp.Body.Close()
	}
	if g.Ask("GET", "/x", "Host: h.example"); asked.Load() != 1 {
		t.Error("what was refused has purged something")
	}
	resp, err := http.Post("http://"+g.Admin+"/cache/other/purge?all=1", "", nil)
	if err != nil || resp.StatusCode != 404 || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Error(resp, err)
	}
	resp.Body.Close()
}

// TestCachePurgeAtOnce: of several that purge the same at once, while it is asked for, one has purged each answer, and
// nobody is served it after that.
func TestCachePurgeAtOnce(t *testing.T) {
	addr, _ := purgable(t)
	g := e2e.Start(t, e2e.Cached(addr, ""))
	const paths = 50
	for round := range 3 {
		for i := range paths {
			g.Ask("GET", fmt.Sprint("/", i), "Host: h.example")
		}
		var all sync.WaitGroup
		var gone atomic.Int64
		for _, query := range []string{"all=1", "tag=all", "prefix=http://h.example/", "match=.", "all=1", "tag=two"} {
			all.Go(func() { gone.Add(int64(g.Purge(query))) })
		}
		all.Wait()
		if n := gone.Load(); n != paths {
			t.Errorf("round %d: %d answers have gone, of %d", round, n, paths)
		}
		for i := range paths {
			if a := g.Ask("GET", fmt.Sprint("/", i), "Host: h.example"); strings.Contains(a.Get("Cache-Status"), "hit") {
				t.Errorf("/%d: %s", i, a.Get("Cache-Status"))
			}
		}
	}
}

// TestCachePurgeByRequests: what an unsafe request changes is forgotten whatever way it, or the answer's Location,
// writes the URL.
func TestCachePurgeByRequests(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	o.On("/a/é", 200, "a", "Cache-Control: max-age=100")
	o.On("/b~", 200, "b", "Cache-Control: max-age=100")
	for _, location := range []string{"http://H.example:80/%62%7e#there", "/x/../b%7E", "http://h.example/b~"} {
		o.On("/change", 201, "", "Location: "+location)
		g.Ask("GET", "/b~", "Host: h.example")
		n := o.Count("/b~")
		g.Ask("POST", "/change", "Host: h.example.")
		if g.Ask("GET", "/b~", "Host: h.example"); o.Count("/b~") != n+1 {
			t.Errorf("%s: what changed is served", location)
		}
	}
	g.Ask("GET", "/a/%c3%a9", "Host: h.example")
	g.Ask("DELETE", "/a/./%C3%A9", "Host: h.example:80")
	if g.Ask("GET", "/a/%c3%a9", "Host: h.example"); o.Count("/a/é") != 3 {
		t.Errorf("asked %d times", o.Count("/a/é"))
	}
}
