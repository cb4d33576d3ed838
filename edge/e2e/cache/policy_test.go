package cache

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// route is a route for a prefix with this value of its key cache.
func route(name, prefix, cache string) string {
	return fmt.Sprintf("\n[[route]]\nname = %q\nprefix = %q\npool = \"app\"\ncache = %s\n", name, prefix, cache)
}

// TestCacheTTLByStatus: what says nothing of its freshness has the lifetime of its status; what says something has its own.
func TestCacheTTLByStatus(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "default_ttl = \"1h\"\nmin_ttl = \"25s\"\n"+
		"ttl = { \"404\" = \"20s\", \"400-599\" = \"40s\", \"301-308\" = \"30s\", \"410\" = \"0s\" }\n"))
	f := func(status, above, below int, fields ...string) {
		t.Helper()
		path := fmt.Sprint("/", status, "/", len(fields))
		o.On(path, status, "", append(fields, "Location: /elsewhere")...)
		g.Ask("GET", path)
		a := g.Ask("GET", path)
		if a.Status != status || a.Hit() != (above >= 0) || a.Hit() && (!a.TtlAbove(above) || a.TtlAbove(below)) {
			t.Errorf("%d %q: %s", status, fields, a.Get("Cache-Status"))
		}
	}
	f(200, 3000, 3600)
	f(404, 10, 20) // whatever min_ttl says
	f(403, 20, 40)
	f(302, 20, 30)
	f(500, 20, 40)
	f(410, -1, 0)
	f(303, 20, 30)
	f(207, -1, 0)
	f(429, -1, 0) // never
	f(404, 80, 100, "Cache-Control: max-age=100")
	f(404, 20, 25, "Expires: 0", "X: two", "Y: three")
	f(404, -1, 0, "Cache-Control: no-store", "X: two")
	g.Write(e2e.Cached(o.Addr, "ttl = { \"2xx\" = \"1s\", \"206\" = \"1s\", \"404-400\" = \"1s\", \"500-501\" = \"1s\", \"501-502\" = \"2s\" }\n"))
	status, why := g.Reload()
	for _, want := range []string{"2xx", "206", "404-400", "500-501 and 501-502", "cache.main.ttl"} {
		if status != 422 || !strings.Contains(why, want) {
			t.Errorf("%d %s: no word of %s", status, why, want)
		}
	}
}

// TestCacheIgnoreClientNoCache: where a cache says so, a client that wants something fresher than what is fresh gets what
// is stored, and the target does not hear of it.
func TestCacheIgnoreClientNoCache(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "ignore_client_no_cache = true\n"))
	seen := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		fmt.Fprintf(w, "%s%s", r.Header.Values("Cache-Control"), r.Header.Values("Pragma"))
	}
	o.Do("/a", seen)
	g.Ask("GET", "/a")
	for _, field := range []string{"Cache-Control: no-cache", "Cache-Control: max-age=0", "Cache-Control: min-fresh=1000", "Pragma: no-cache",
		"Cache-Control: max-age=1, no-cache"} {
		for _, a := range g.Together(4, "GET", "/a", field) {
			if !a.Hit() || a.Body != "[][]" {
				t.Errorf("%s: %q %s", field, a.Body, a.Get("Cache-Status"))
			}
		}
	}
	if n := o.Count("/a"); n != 1 {
		t.Errorf("the target was asked %d times", n)
	}
	f := func(path, want string, fields ...string) {
		t.Helper()
		o.Do(path, seen)
		if a := g.Ask("GET", path, fields...); a.Body != want {
			t.Errorf("%q: the target saw %q, want %q", fields, a.Body, want)
		}
	}
	f("/miss", "[][]", "Cache-Control: no-cache", "Pragma: no-cache")
	f("/rest", `[max-stale=5, x="a, no-cache"][]`, `Cache-Control: max-age=0, max-stale=5, x="a, no-cache"`, "Cache-Control: No-Cache")
	f("/cookie", "[][]", "Cache-Control: no-cache", "Cookie: a=b") // it is passed on
	f("/store", "[no-store][]", "Cache-Control: no-store, no-cache")
	o.On("/pass", 200, "x", "Cache-Control: private")
	g.Ask("GET", "/pass")
	f("/pass", "[][]", "Cache-Control: no-cache") // known not to be stored
	if a := g.Ask("GET", "/none", "Cache-Control: only-if-cached, no-cache"); a.Status != 504 || o.Count("/none") != 0 {
		t.Errorf("only-if-cached: %d", a.Status)
	}
	if a := g.Ask("GET", "/a", "Cache-Control: no-store"); a.Hit() {
		t.Error("no-store of a request is ignored")
	}
}

// TestCacheOverride: where a cache says so, what forbids to be stored is stored, but never for requests that have
// Authorization or cookies.
func TestCacheOverride(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "default_ttl = \"1m\"\noverride = { no_store = true, private = true, set_cookie = \"strip\" }\n",
		"[cache.plain]\nsize = \"8MiB\"\n"+route("plain", "/plain/", `"plain"`)))
	var mu sync.Mutex
	turn := 0
	serve := func(path string, fields ...string) {
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			turn++
			n := turn
			mu.Unlock()
			for _, f := range fields {
				name, value, _ := strings.Cut(f, ": ")
				w.Header().Add(name, value)
			}
			fmt.Fprint(w, "for ", r.Header.Get("Authorization"), r.Header.Get("Cookie"), " ", n)
		})
	}
	// shared reports whether two clients get the same answer.
	shared := func(path string, fields ...string) bool {
		t.Helper()
		first := g.Ask("GET", path, fields...)
		others := g.Together(4, "GET", path, fields...)
		for _, a := range append(others, first) {
			for _, f := range fields {
				if _, who, _ := strings.Cut(f, ": "); !strings.Contains(a.Body, who) && who != "no-store" {
					t.Errorf("%s %q: %q", path, fields, a.Body)
				}
			}
		}
		n := 0
		for _, a := range others {
			if a.Body == first.Body {
				n++
			}
			if a.Body == first.Body && (a.Get("Set-Cookie") != "" || a.Get("Set-Cookie2") != "") {
				t.Errorf("%s: another client has the cookie: %v", path, a.Header)
			}
		}
		return n == len(others)
	}
	cases := map[string][]string{
		"/no-store": {"Cache-Control: no-store"},
		"/private":  {"Cache-Control: private, max-age=60"},
		"/cookie":   {"Cache-Control: max-age=60", "Set-Cookie: id=1", "Set-Cookie: b=2", "Set-Cookie2: c=3"},
		"/all":      {"Cache-Control: private, no-store", "Set-Cookie: id=1"},
		"/targeted": {"Penstock-Cache-Control: private"},
	}
	for path, fields := range cases {
		serve(path, fields...)
		serve("/plain"+path, fields...)
		if !shared(path) {
			t.Errorf("%q is not stored", fields)
		}
		if shared("/plain" + path) {
			t.Errorf("%q is stored by a cache that does not say so", fields)
		}
		for i, who := range []string{"Authorization: Basic eA==", "Cookie: id=7"} {
			other := fmt.Sprint("/who", i, path)
			serve(other, fields...)
			if shared(other, who) {
				t.Errorf("%q to %q is shared", fields, who)
			}
		}
	}
	// must-revalidate and s-maxage allow to share with Authorization; a private beside them does not.
	serve("/must", "Cache-Control: private, must-revalidate, max-age=60")
	if shared("/must", "Authorization: Basic eA==") {
		t.Error("private beside must-revalidate is shared")
	}
	serve("/public", "Cache-Control: public, max-age=60")
	if !shared("/public", "Authorization: Basic eA==") {
		t.Error("what is public is not shared")
	}
	// The one who asked first has the cookie that was meant for it.
	serve("/first", "Cache-Control: max-age=60", "Set-Cookie: id=1")
	if a := g.Ask("GET", "/first"); a.Get("Set-Cookie") != "id=1" {
		t.Errorf("%v", a.Header)
	}
	// Nor does a cookie come in by a 304.
	o.On("/304", 200, "body", "Cache-Control: max-age=60", `ETag: "e"`)
	g.Ask("GET", "/304")
	o.On("/304", 304, "", "Cache-Control: max-age=60", `ETag: "e"`, "Set-Cookie: id=1")
	g.Ask("GET", "/304", "Cache-Control: no-cache")
	if a := g.Ask("GET", "/304"); !a.Hit() || a.Body != "body" || a.Get("Set-Cookie") != "" {
		t.Errorf("after a 304: %q %v", a.Body, a.Header)
	}
	// no-store of a request and no-cache of an answer are obeyed still.
	serve("/asked", "Cache-Control: no-cache, no-store")
	if shared("/asked") || shared("/no-store", "Cache-Control: no-store") {
		t.Error("no-cache, or no-store of a request, is overruled")
	}
	out, err := exec.Command(e2e.Binary, "check", g.File).CombinedOutput()
	for _, key := range []string{"no_store", "private", "set_cookie"} {
		if err != nil || !strings.Contains(string(out), "warning    "+g.File) || !strings.Contains(string(out), "cache.main.override."+key+": ") {
			t.Errorf("no warning of %s: %v\n%s", key, err, out)
		}
	}
	if !strings.Contains(g.Log.String(), "cache.main.override.private") {
		t.Error("the log has no warning")
	}
}

// TestCacheQueryPatterns: a * at the end of a parameter's name stands for anything.
func TestCacheQueryPatterns(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "query_drop = [\"utm_*\", \"x\"]\n", "[cache.keep]\nsize = \"8MiB\"\nquery_keep = [\"p*\"]\n"+route("keep", "/keep/", `"keep"`)))
	echo := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		fmt.Fprint(w, r.URL.RawQuery)
	}
	for _, f := range []struct{ target, want string }{
		{"/a?utm_source=1&a=1&utm_=2&x=3", "a=1"}, {"/a?a=1&utm_medium=9", "a=1"}, {"/a?utm=1&a=1", "utm=1&a=1"},
		{"/a?xy=1&utm_source", "xy=1"}, {"/keep/a?p=1&page=2&q=3&P=4", "p=1&page=2"}, {"/keep/a?q=1", ""},
	} {
		o.Do(strings.Split(f.target, "?")[0], echo)
		if a := g.Ask("GET", f.target); a.Body != f.want {
			t.Errorf("%s: %q, want %q", f.target, a.Body, f.want)
		}
	}
	if n := o.Count("/a"); n != 3 {
		t.Errorf("the target was asked %d times", n)
	}
	g.Write(e2e.Cached(o.Addr, "query_drop = [\"*_source\"]\n"))
	if status, why := g.Reload(); status != 422 || !strings.Contains(why, "at the end") {
		t.Error(status, why)
	}
}

// TestCacheOfRoutes: routes that share a cache have lifetimes of their own in it.
func TestCacheOfRoutes(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "ttl = { \"404\" = \"20s\", \"410\" = \"40s\" }\nstale_if_error = \"1h\"\n",
		route("table", "/table/", `{ name = "main" }`),
		route("own", "/own/", `{ name = "main", stale_while_revalidate = "1h", stale_if_error = "0s", default_ttl = "1m", ttl = { "404" = "2h", "500-599" = "30s" } }`)))
	f := func(path string, status, above, below int) {
		t.Helper()
		o.On(path, status, "body")
		g.Ask("GET", path)
		if a := g.Ask("GET", path); a.Hit() != (below > 0) || a.Hit() && (!a.TtlAbove(above) || a.TtlAbove(below)) {
			t.Errorf("%s: %s", path, a.Get("Cache-Status"))
		}
	}
	for _, prefix := range []string{"/plain", "/table/a"} {
		f(prefix+"/404", 404, 10, 20)
		f(prefix+"/410", 410, 30, 40)
		f(prefix+"/500", 500, 0, 0)
		f(prefix+"/200", 200, 0, 0)
	}
	f("/own/404", 404, 7000, 7200)
	f("/own/410", 410, 30, 40)
	f("/own/500", 500, 20, 30)
	f("/own/200", 200, 50, 60)
	// Stale answers: the cache has it that they are better than errors, the route that they are served meanwhile.
	stale := func(path string, status int) e2e.Got {
		t.Helper()
		o.On(path, 200, "good", "Cache-Control: max-age=10", "Age: 20", `ETag: "e"`)
		g.Ask("GET", path)
		o.On(path, status, "new", "Cache-Control: max-age=100")
		return g.Ask("GET", path)
	}
	for _, path := range []string{"/plain/stale", "/table/stale"} {
		if a := stale(path, 503); a.Body != "good" || !a.Says("detail=stale-if-error") {
			t.Errorf("%s: %q %s", path, a.Body, a.Get("Cache-Status"))
		}
		if a := stale(path+"/new", 200); a.Body != "new" {
			t.Errorf("%s: %q %s", path, a.Body, a.Get("Cache-Status"))
		}
	}
	if a := stale("/own/new", 200); a.Body != "good" || !a.Hit() {
		t.Errorf("%q %s", a.Body, a.Get("Cache-Status"))
	}
	e2e.Eventually(t, "it is fetched anew", func() bool { return g.Ask("GET", "/own/new").Body == "new" })
	for key, want := range map[string]string{
		`{ nam = "main" }`: "nam", `{ name = "mane" }`: `no cache named "mane"`, `5`: "must be the name of a cache",
		`{ name = "main", methods = ["PUT"] }`: "PUT", `{ name = "main", ttl = { "1xx" = "1s" } }`: "1xx",
		`{ name = "main", max_key_body = "1KiB" }`: "means nothing", `{ name = "main", methods = ["POST"], max_key_body = "2MiB" }`: "1MiB",
	} {
		g.Write(e2e.Cached(o.Addr, "", route("bad", "/bad/", key)))
		if status, why := g.Reload(); status != 422 || !strings.Contains(why, want) {
			t.Errorf("%s: %d %s", key, status, why)
		}
	}
}

// TestCacheQuery: where a route says so, QUERY and POST are answered from what is stored for the same body (RFC 10008).
func TestCacheQuery(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "", route("asks", "/asks/", `{ name = "main", methods = ["QUERY", "POST"], max_key_body = "20KiB" }`)))
	serve := func(path string, fields ...string) {
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			for _, f := range fields {
				name, value, _ := strings.Cut(f, ": ")
				w.Header().Add(name, value)
			}
			if len(b) > 100 {
				b = fmt.Append(nil, len(b), " bytes of ", string(b[:1]))
			}
			fmt.Fprint(w, r.Method, " ", r.Header.Get("Content-Type"), " ", r.Header.Get("Content-Encoding"), " ", string(b))
		})
	}
	const lasting = "Cache-Control: max-age=100"
	same := func(want bool, a e2e.Got) {
		t.Helper()
		if a.Hit() != want {
			t.Errorf("%q %s", a.Body, a.Get("Cache-Status"))
		}
	}
	serve("/asks/a", lasting, `ETag: "e"`, "No-Vary-Search: params")
	long, longer := strings.Repeat("a", 15_000), strings.Repeat("a", 15_000)[1:]+"b"
	for _, method := range []string{"QUERY", "POST"} {
		for _, chunked := range []bool{false, true} {
			f := func(hit bool, body string, fields ...string) {
				t.Helper()
				if a := g.Send(method, "/asks/a?"+method+fmt.Sprint(chunked), body, chunked, fields...); a.Status != 200 || a.Hit() != hit {
					t.Errorf("%s, chunked %v, %.20q %q: %d %q %s", method, chunked, body, fields, a.Status, a.Body, a.Get("Cache-Status"))
				} else if tail := " " + body; len(body) <= 100 && !strings.HasSuffix(a.Body, tail) || !strings.HasPrefix(a.Body, method) {
					t.Errorf("%s %q: another one's answer: %q", method, body, a.Body)
				}
			}
			f(false, "x=1")
			f(true, "x=1")
			f(false, "x=2")
			f(true, "x=1")
			f(false, "x=1", "Content-Type: application/json")
			f(true, "x=1", "Content-Type: application/json")
			f(false, "x=1", "Content-Encoding: x-none")
			f(false, long)
			f(true, long)
			f(false, longer)
			f(false, "")
			f(true, "")
			f(true, "x=1", "Range: bytes=0-1")
		}
	}
	// A client that has the answer is told so, but not by a POST.
	if a := g.Send("QUERY", "/asks/a?QUERYfalse", "x=1", false, `If-None-Match: "e"`); a.Status != 304 {
		t.Errorf("QUERY under a condition: %d", a.Status)
	}
	if a := g.Send("POST", "/asks/a?POSTfalse", "x=1", false, `If-None-Match: "e"`); a.Status != 200 || !a.Hit() {
		t.Errorf("POST under a condition: %d %s", a.Status, a.Get("Cache-Status"))
	}
	// What is larger is passed on, as it comes.
	for _, chunked := range []bool{false, true} {
		for range 2 {
			a := g.Send("QUERY", "/asks/a", strings.Repeat("z", 50_000), chunked)
			if same(false, a); !strings.HasSuffix(a.Body, "50000 bytes of z") || !a.Says("detail=body_too_large") {
				t.Errorf("%q %s", a.Body, a.Get("Cache-Status"))
			}
		}
	}
	// A cold question of many is asked once, and each gets the answer to its own.
	o.Asked["/asks/cold"] = 0
	serve("/asks/cold", lasting)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			body := fmt.Sprint("question ", i%3)
			if a := g.Send("QUERY", "/asks/cold", body, i%2 == 0); !strings.HasSuffix(a.Body, body) {
				t.Errorf("%q got %q", body, a.Body)
			}
		})
	}
	wg.Wait()
	if n := o.Count("/asks/cold"); n != 3 {
		t.Errorf("three questions were asked %d times", n)
	}
	// Nothing is shared of what was asked with Authorization or cookies.
	serve("/asks/who", lasting)
	for _, who := range []string{"Authorization: Basic eA==", "Cookie: a=b"} {
		for range 2 {
			same(false, g.Send("QUERY", "/asks/who", "x", false, who))
			same(false, g.Send("POST", "/asks/who", "x", false, who))
		}
	}
	// An answer that is not to be stored reaches the client once, whatever the body.
	serve("/asks/never", "Cache-Control: no-store")
	for i, body := range []string{"x", long, strings.Repeat("y", 50_000)} {
		if a := g.Send("POST", "/asks/never", body, i == 1); a.Status != 200 || o.Count("/asks/never") != i+1 {
			t.Errorf("%d bytes: %d, asked %d times", len(body), a.Status, o.Count("/asks/never"))
		}
	}
}

// TestCacheQueryPurges: QUERY is safe and purges nothing, nor does a POST that is a question; one that is not does (RFC
// 9111 section 4.4). A purge of the URL is one of all answers to questions at it.
func TestCacheQueryPurges(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "", route("asks", "/asks/", `{ name = "main", methods = ["QUERY", "POST"], max_key_body = "1KiB" }`)))
	for _, path := range []string{"/plain", "/asks/a"} {
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			w.Header().Set("Cache-Control", "max-age=100")
			w.Header().Set("Content-Location", path)
			fmt.Fprint(w, r.Method, len(b))
		})
	}
	kept := func(path string, want bool) {
		t.Helper()
		if a := g.Ask("GET", path); a.Hit() != want {
			t.Errorf("%s: %s", path, a.Get("Cache-Status"))
		}
	}
	kept("/plain", false)
	kept("/asks/a", false)
	large := string(bytes.Repeat([]byte("x"), 3000))
	for _, method := range []string{"QUERY", "REPORT", "SEARCH", "OPTIONS"} {
		g.Send(method, "/plain", "x", false)
		kept("/plain", true)
	}
	for _, method := range []string{"QUERY", "POST"} {
		g.Send(method, "/asks/a", "x", false)
		g.Send(method, "/asks/a", large, false)
		kept("/asks/a", true)
	}
	g.Send("POST", "/plain", "x", false)
	kept("/plain", false)
	g.Send("PUT", "/asks/a", "x", false)
	kept("/asks/a", false)
	if a := g.Send("QUERY", "/asks/a", "x", false); a.Hit() {
		t.Error("a PUT leaves the answers to questions")
	}
	if a := g.Send("QUERY", "/asks/a", "x", false); !a.Hit() {
		t.Errorf("%s", a.Get("Cache-Status"))
	}
	g.Purge("url=http://" + g.Addr + "/asks/a")
	if a := g.Send("QUERY", "/asks/a", "x", false); a.Hit() {
		t.Error("a purge leaves the answers to questions")
	}
}
