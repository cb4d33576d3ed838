package cache

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCacheHit: what is fresh is not fetched again, and says how old it is (RFC 9111 sections 3, 4, 4.2 and 5.1).
func TestCacheHit(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	o.On("/a", 200, "hello", "Cache-Control: max-age=100", "Age: 7", "ETag: \"v1\"", "X-Thing: 1",
		"Cache-Status: inner; hit")
	first := g.Ask("GET", "/a")
	if v := first.Values("Cache-Status"); len(v) != 2 || v[0] != "inner; hit" { // RFC 9211 section 2
		t.Errorf("%q", v)
	}
	first.Header.Set("Cache-Status", first.Values("Cache-Status")[1])
	if first.Status != 200 || first.Body != "hello" || !strings.HasPrefix(first.Get("Cache-Status"), "penstock; fwd=uri-miss; fwd-status=200; ttl=9") ||
		!strings.HasSuffix(first.Get("Cache-Status"), "; stored") {
		t.Errorf("%+v", first)
	}
	for range 3 {
		a := g.Ask("GET", "/a")
		a.Set("Cache-Status", a.Values("Cache-Status")[1])
		if a.Status != 200 || a.Body != "hello" || a.Get("X-Thing") != "1" || !strings.HasPrefix(a.Get("Cache-Status"), "penstock; hit; ttl=9") ||
			a.Get("Age") != "7" && a.Get("Age") != "8" {
			t.Errorf("%+v", a)
		}
	}
	if h := g.Ask("HEAD", "/a"); h.Status != 200 || h.Body != "" || h.Get("Content-Length") != "5" {
		t.Errorf("HEAD: %+v", h)
	}
	if n := g.Ask("GET", "/a", "If-None-Match: \"v1\""); n.Status != 304 || n.Body != "" || n.Get("ETag") != `"v1"` || n.Get("X-Thing") != "" {
		t.Errorf("304: %+v", n)
	}
	if n := o.Count("/a"); n != 1 {
		t.Errorf("the target was asked %d times", n)
	}
	g.Counted(`penstock_cache_requests_total{cache="main",status="hit"}`, 5)
}

// TestCacheNotStored: what RFC 9111 section 3 forbids, and what is not safe, is asked for each time.
func TestCacheNotStored(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	f := func(name string, request []string, answer ...string) {
		t.Helper()
		path := "/" + strings.ReplaceAll(name, " ", "-")
		o.On(path, 200, name, answer...)
		for range 2 {
			if a := g.Ask("GET", path, request...); a.Status != 200 || a.Body != name {
				t.Errorf("%s: %+v", name, a)
			}
		}
		if n := o.Count(path); n != 2 {
			t.Errorf("%s: the target was asked %d times", name, n)
		}
	}
	f("nothing said", nil)
	f("no-store", nil, "Cache-Control: no-store, max-age=10")
	f("private", nil, "Cache-Control: private, max-age=10")
	f("stale already", nil, "Cache-Control: max-age=0")
	f("expires invalid", nil, "Expires: 0")
	f("set-cookie", nil, "Cache-Control: max-age=10", "Set-Cookie: a=b")
	f("vary any", nil, "Cache-Control: max-age=10", "Vary: *")
	f("authorization", []string{"Authorization: Basic eA=="}, "Cache-Control: max-age=10")
	f("cookie", []string{"Cookie: a=b"}, "Cache-Control: max-age=10")
	f("request no-store", []string{"Cache-Control: no-store"}, "Cache-Control: max-age=10")
	f("request no-cache", []string{"Cache-Control: no-cache"}, "Cache-Control: max-age=10")
	f("request max-age", []string{"Cache-Control: max-age=0"}, "Cache-Control: max-age=0, public")
	f("pragma", []string{"Pragma: no-cache"}, "Cache-Control: max-age=10") // RFC 9111 section 5.4
	f("content-range", nil, "Cache-Control: max-age=10", "Content-Range: bytes 0-1/2")
	o.On("/500", 500, "x", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT")
	g.Ask("GET", "/500")
	if g.Ask("GET", "/500"); o.Count("/500") != 2 {
		t.Error("a 500 was stored")
	}
	o.On("/auth", 200, "public", "Cache-Control: public, max-age=10")
	for range 2 { // RFC 9111 section 3.5
		g.Ask("GET", "/auth", "Authorization: Basic eA==")
	}
	if o.Count("/auth") != 1 {
		t.Error("a public answer to an authorized request was not stored")
	}
}

// TestCacheRevalidation: a stale answer is asked about, and a 304 makes it fresh (sections 4.3.1 to 4.3.4).
func TestCacheRevalidation(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	var asked atomic.Int64
	o.Do("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("X-Count", fmt.Sprint(asked.Add(1)))
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(304)
			return
		}
		fmt.Fprint(w, strings.Repeat("body ", 2000))
	})
	for i := range 3 {
		a := g.Ask("GET", "/a")
		if a.Status != 200 || len(a.Body) != 10_000 || a.Get("X-Count") != fmt.Sprint(i+1) {
			t.Errorf("%d: %d, %d bytes, %v", i, a.Status, len(a.Body), a.Header)
		}
		if i > 0 && !strings.HasPrefix(a.Get("Cache-Status"), "penstock; fwd=stale; fwd-status=304") {
			t.Error(a.Get("Cache-Status"))
		}
	}
	// A 304 about something else than what is stored does not make that fresh.
	o.Do("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", `"v2"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(304)
			return
		}
		fmt.Fprint(w, "new")
	})
	if a := g.Ask("GET", "/a"); a.Body != "new" || a.Get("ETag") != `"v2"` {
		t.Errorf("%+v", a)
	}
}

// TestCacheVary: answers that depend on fields are given out for the same fields alone (section 4.1).
func TestCacheVary(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	o.Do("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("Vary", "accept-language, Accept-Encoding")
		coding := ""
		for _, one := range []string{"br", "gzip"} {
			if strings.Contains(r.Header.Get("Accept-Encoding"), one) {
				coding = one
				w.Header().Set("Content-Encoding", one)
				break
			}
		}
		fmt.Fprint(w, r.Header.Get("Accept-Language")+"/"+coding)
	})
	for range 2 {
		for _, c := range [][3]string{{"en", "gzip", "en/gzip"}, {"de", "gzip", "de/gzip"}, {"en", "deflate, gzip;q=0.5", "en/gzip"}, {"en", "", "en/"},
			{"en", "br", "en/br"}, {"", "gzip;q=0", "/"}} {
			a := g.Ask("GET", "/a", "Accept-Language: "+c[0], "Accept-Encoding: "+c[1])
			if a.Body != c[2] {
				t.Errorf("%v: %q", c, a.Body)
			}
		}
	}
	if n := o.Count("/a"); n != 5 {
		t.Errorf("the target was asked %d times, want 5", n)
	}
}

// TestCacheCollapse: many clients that ask for what is not stored wait for one fetch, and read it while it
// comes.
func TestCacheCollapse(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	begun, finish := make(chan struct{}, 100), make(chan struct{})
	o.Do("/a", func(w http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		w.Header().Set("Cache-Control", "max-age=100")
		fmt.Fprint(w, strings.Repeat("a", 50_000))
		w.(http.Flusher).Flush()
		<-finish
		fmt.Fprint(w, strings.Repeat("b", 50_000))
	})
	n := 200
	if os.Getenv("PENSTOCK_LOAD_SECONDS") != "" {
		n = 10_000
	}
	var wg sync.WaitGroup
	halves := atomic.Int64{}
	for range n {
		wg.Go(func() {
			c := e2e.DialRaw(t, g.Addr)
			c.Send(e2e.Lines("GET /a HTTP/1.1"))
			resp, err := http.ReadResponse(c.R, nil)
			if err != nil {
				t.Error(err)
				return
			}
			half := make([]byte, 50_000)
			if _, err := io.ReadFull(resp.Body, half); err != nil {
				t.Error(err)
			}
			halves.Add(1)
			rest, err := io.ReadAll(resp.Body)
			if string(half)+string(rest) != strings.Repeat("a", 50_000)+strings.Repeat("b", 50_000) || err != nil {
				t.Errorf("%d bytes and %d, %v", len(half), len(rest), err)
			}
		})
	}
	<-begun
	e2e.Eventually(t, "all have the first half", func() bool { return halves.Load() == int64(n) })
	close(finish)
	wg.Wait()
	k := o.Count("/a")
	t.Logf("%d clients, %d fetches", n, k)
	if k != 1 {
		t.Errorf("%d fetches", k)
	}
	if a := g.Ask("GET", "/a", "Host: example.com"); !strings.HasPrefix(a.Get("Cache-Status"), "penstock; hit") || len(a.Body) != 100_000 {
		t.Errorf("%d bytes, %s", len(a.Body), a.Get("Cache-Status"))
	}
}

// TestCacheCollapseVary: of many clients that want different variants of what is not stored, one asks for
// each.
func TestCacheCollapseVary(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	begun, finish := make(chan struct{}, 100), make(chan struct{})
	o.Do("/a", func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-finish
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("Vary", "X-Lang")
		fmt.Fprint(w, r.Header.Get("X-Lang"))
	})
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			lang := fmt.Sprint("lang ", i%3)
			if a := g.Ask("GET", "/a", "X-Lang: "+lang); a.Body != lang {
				t.Errorf("%q", a.Body)
			}
		})
	}
	<-begun
	e2e.Eventually(t, "all wait", func() bool { return g.Metric("penstock_cache_fetches{") == 1 })
	close(finish)
	wg.Wait()
	if n := o.Count("/a"); n != 3 {
		t.Errorf("the target was asked %d times", n)
	}
}

// TestCacheCollapseVaryLate: who comes while a body is under way finds by Vary which fetch brings its answer.
func TestCacheCollapseVaryLate(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	finish := make(chan struct{})
	o.Do("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("Vary", "X-Lang")
		fmt.Fprint(w, "first half, ")
		_ = http.NewResponseController(w).Flush() // the gateway may have gone
		<-finish
		fmt.Fprint(w, r.Header.Get("X-Lang"))
	})
	var under []*http.Response
	for range 5 { // each has its head before the next one asks
		req, err := http.NewRequest("GET", "http://"+g.Addr+"/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Lang", "de")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		under = append(under, resp)
	}
	close(finish)
	for _, resp := range under {
		b, err := io.ReadAll(resp.Body)
		if string(b) != "first half, de" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	if n := o.Count("/a"); n != 1 {
		t.Errorf("the target was asked %d times", n)
	}
}

// TestCacheCutFetch: an answer that breaks off is not stored, and nobody takes it for whole.
func TestCacheCutFetch(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	for _, framing := range []string{"length", "chunked"} {
		o.Do("/"+framing, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=100")
			if framing == "length" {
				w.Header().Set("Content-Length", "100000")
			}
			fmt.Fprint(w, strings.Repeat("a", 50_000))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})
		for range 2 {
			req, _ := http.NewRequest("GET", "http://"+g.Addr+"/"+framing, nil)
			resp, err := e2e.PlainTransport.RoundTrip(req)
			if err != nil {
				continue // no head came, since the end was there before it
			}
			if b, err := io.ReadAll(resp.Body); err == nil && resp.StatusCode == 200 {
				t.Errorf("%s: %d bytes as a whole answer", framing, len(b))
			}
			resp.Body.Close()
		}
		if n := o.Count("/" + framing); n != 2 {
			t.Errorf("%s: %d fetches", framing, n)
		}
	}
}

// TestCacheStale: stale answers are used as they say, and in no other case (RFC 5861, RFC 9111 section 5.2.2.2).
func TestCacheStale(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	version := atomic.Int64{}
	fails := atomic.Bool{}
	set := func(path, cc string) {
		o.Do(path, func(w http.ResponseWriter, _ *http.Request) {
			if fails.Load() {
				w.WriteHeader(503)
				return
			}
			w.Header().Set("Cache-Control", cc)
			w.Header().Set("Age", "10")
			fmt.Fprint(w, version.Add(1))
		})
	}
	set("/swr", "max-age=9, stale-while-revalidate=100")
	if a := g.Ask("GET", "/swr"); a.Body != "1" {
		t.Errorf("%+v", a)
	}
	if a := g.Ask("GET", "/swr"); a.Body != "1" || !strings.Contains(a.Get("Cache-Status"), "hit; ttl=-") {
		t.Errorf("%+v", a)
	}
	e2e.Eventually(t, "it was fetched anew", func() bool { return o.Count("/swr") == 2 })
	e2e.Eventually(t, "the new one is served", func() bool { return g.Ask("GET", "/swr").Body != "1" })

	version.Store(0)
	set("/sie", "max-age=9, stale-if-error=100")
	set("/strict", "max-age=9, must-revalidate, stale-if-error=100")
	set("/shared", "s-maxage=9, stale-if-error=100")
	set("/alone", "s-maxage=9")
	g.Ask("GET", "/sie")
	g.Ask("GET", "/shared")
	g.Ask("GET", "/alone")
	g.Ask("GET", "/strict")
	fails.Store(true)
	if a := g.Ask("GET", "/sie"); a.Status != 200 || !strings.HasSuffix(a.Get("Cache-Status"), "detail=stale-if-error") {
		t.Errorf("%+v", a)
	}
	if a := g.Ask("GET", "/shared"); a.Status != 200 || !strings.HasSuffix(a.Get("Cache-Status"), "detail=stale-if-error") {
		t.Errorf("%+v", a)
	}
	if a := g.Ask("GET", "/alone", "Cache-Control: stale-if-error=100"); a.Status != 503 {
		t.Errorf("%+v", a)
	}
	if a := g.Ask("GET", "/strict"); a.Status != 503 {
		t.Errorf("%+v", a)
	}
	if a := g.Ask("GET", "/never", "Cache-Control: only-if-cached"); a.Status != 504 { // RFC 9111 section 5.2.1.7
		t.Errorf("%+v", a)
	}
	if a := g.Ask("GET", "/sie", "Cache-Control: max-stale"); a.Status != 200 || !strings.Contains(a.Get("Cache-Status"), "hit; ttl=-") {
		t.Errorf("%+v", a)
	}
}

// TestCacheBreakerOpen: when the breaker lets nobody through, what is stored is served as stale-if-error allows.
func TestCacheBreakerOpen(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "", "[pool.app.breaker]\nconsecutive_errors = 2\n"))
	o.On("/a", 200, "kept", "Cache-Control: max-age=9, stale-if-error=1000", "Age: 10")
	o.On("/b", 200, "kept", "Cache-Control: max-age=9", "Age: 10", "ETag: \"b\"")
	o.On("/fails", 503, "")
	g.Ask("GET", "/a")
	g.Ask("GET", "/b")
	for range 3 {
		g.Ask("GET", "/fails")
	}
	n := o.Count("/a")
	if a := g.Ask("GET", "/a"); a.Status != 200 || a.Body != "kept" || o.Count("/a") != n || !strings.Contains(a.Get("Cache-Status"), "stale-if-error") {
		t.Errorf("%+v, the target was asked %d times", a, o.Count("/a"))
	}
	if b := g.Ask("GET", "/b"); b.Status != 503 || !strings.Contains(b.Body, "breaker_open") {
		t.Errorf("%+v", b)
	}
	g.Counted(`penstock_cache_requests_total{cache="main",status="rescued"}`, 1)
}

// TestCacheSeen: what the cache did is counted by route and by reason.
func TestCacheSeen(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "", "[[route]]\nname = \"other\"\nprefix = \"/other/\"\npool = \"app\"\ncache = \"main\"\n"))
	for _, path := range []string{"/a", "/other/a"} {
		o.On(path, 200, "aa", "Cache-Control: max-age=100")
	}
	o.On("/private", 200, "pp", "Cache-Control: private")
	for _, path := range []string{"/a", "/a", "/a", "/other/a", "/private", "/private"} {
		g.Ask("GET", path)
	}
	g.Ask("GET", "/a", "Cookie: a=b")
	g.Ask("GET", "/a", "Cache-Control: no-cache")
	for series, want := range map[string]float64{
		`penstock_cache_route_requests_total{cache="main",result="hit",route="all"}`:    2,
		`penstock_cache_route_requests_total{cache="main",result="miss",route="all"}`:   4,
		`penstock_cache_route_requests_total{cache="main",result="bypass",route="all"}`: 1,
		`penstock_cache_route_requests_total{cache="main",result="miss",route="other"}`: 1,
		`penstock_cache_response_body_bytes_total{cache="main",result="hit"}`:           4,
		`penstock_cache_response_body_bytes_total{cache="main",result="miss"}`:          10,
		`penstock_cache_size_bytes{`:                                 16 << 20,
		`penstock_cache_misses_total{cache="main",reason="absent"}`:  2,
		`penstock_cache_misses_total{cache="main",reason="private"}`: 1,
		`penstock_cache_misses_total{cache="main",reason="known"}`:   1,
		`penstock_cache_misses_total{cache="main",reason="cookie"}`:  1,
		`penstock_cache_misses_total{cache="main",reason="request"}`: 1,
	} {
		g.Counted(series, want)
	}
	list, _ := g.Status()["caches"].([]any)
	main, _ := list[0].(map[string]any)
	routes, _ := main["routes"].(map[string]any)
	if all, _ := routes["all"].(map[string]any); all["hit_ratio"] != 2.0/6 || all["bypassed"] != 1.0 {
		t.Errorf("%v", main)
	}
}

// TestCachePurge: what is purged is not used any more, by URL, prefix, tag, or all.
func TestCachePurge(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	o.On("/p/a", 200, "a", "Cache-Control: max-age=100", "Surrogate-Key: one two")
	o.On("/p/b", 200, "b", "Cache-Control: max-age=100, stale-while-revalidate=100", "Cache-Tag: two, three")
	base := "http://" + g.Addr
	f := func(query string, a, b int) {
		t.Helper()
		resp, err := http.Post("http://"+g.Admin+"/cache/main/purge?"+query, "", nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(query, err, resp)
		}
		resp.Body.Close()
		na, nb := o.Count("/p/a"), o.Count("/p/b")
		g.Ask("GET", "/p/a")
		g.Ask("GET", "/p/b")
		e2e.Eventually(t, query, func() bool { return o.Count("/p/a") == na+a && o.Count("/p/b") == nb+b })
	}
	g.Ask("GET", "/p/a")
	g.Ask("GET", "/p/b")
	f("url="+base+"/p/a", 1, 0)
	f("tag=three", 0, 1)
	f("tag=two", 1, 1)
	f("tag=nothing", 0, 0)
	f("prefix="+base+"/p/", 1, 1)
	f("prefix="+base+"/q/", 0, 0)
	f("match=/p/.$", 1, 1)
	f("match=/p/[bc]$", 0, 1)
	f("match=/p/[c-z]$&for=1h", 0, 0)
	f("all=1", 1, 1)
	for _, wrong := range []string{"", "match=(", "prefix=", "url=x&for=soon", "url=" + base + "/p/a&for=soon"} {
		resp, err := http.Post("http://"+g.Admin+"/cache/main/purge?"+wrong, "", nil)
		if err != nil || resp.StatusCode != 400 {
			t.Error(wrong, err, resp)
		}
		resp.Body.Close()
	}
	f("tag=two&soft=1", 1, 1)
	// RFC 9111 section 4.4: an unsafe request that went well.
	o.Do("/p/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("Location", "/p/b")
	})
	g.Ask("GET", "/p/a")
	n, b := o.Count("/p/a"), o.Count("/p/b")
	g.Ask("POST", "/p/a")
	g.Ask("GET", "/p/a")
	g.Ask("GET", "/p/b")
	if o.Count("/p/a") != n+2 || o.Count("/p/b") != b+1 {
		t.Errorf("after a POST: %d and %d requests more", o.Count("/p/a")-n, o.Count("/p/b")-b)
	}
}

// TestCacheReload: a reload keeps what is stored.
func TestCacheReload(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	o.On("/a", 200, "a", "Cache-Control: max-age=100")
	g.Ask("GET", "/a")
	g.Write(e2e.Cached(o.Addr, "default_ttl = \"5s\"\n"))
	g.Reload()
	if g.Ask("GET", "/a"); o.Count("/a") != 1 {
		t.Error("the cache is empty after a reload")
	}
	o.On("/d", 200, "d")
	g.Ask("GET", "/d")
	if g.Ask("GET", "/d"); o.Count("/d") != 1 {
		t.Error("default_ttl does not hold")
	}
}

// TestCacheLarge: what is too large is passed on whole, and is not stored; its length need not be known.
func TestCacheLarge(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "max_object = \"100KiB\"\n"))
	body := strings.Repeat("0123456789abcdef", 100_000)
	o.On("/length", 200, body, "Cache-Control: max-age=100", fmt.Sprint("Content-Length: ", len(body)))
	o.Do("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		for i := 0; i < len(body); i += 10_000 {
			fmt.Fprint(w, body[i:i+10_000])
			w.(http.Flusher).Flush()
		}
	})
	for _, path := range []string{"/length", "/chunked"} {
		for range 2 {
			if a := g.Ask("GET", path); a.Body != body {
				t.Errorf("%s: %d bytes of %d", path, len(a.Body), len(body))
			}
		}
		if o.Count(path) != 2 {
			t.Errorf("%s: asked %d times", path, o.Count(path))
		}
	}
}
