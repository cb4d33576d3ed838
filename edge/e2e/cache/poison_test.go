package cache

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCachePoisoning: what is not in the key does not reach the target of what is stored.
func TestCachePoisoning(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "query_drop = [\"utm_source\"]\nsort_query = true\ncookies = \"ignore\"\n"))
	o.Do("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		var seen []string
		for _, name := range []string{"X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Forwarded-Scheme", "X-Host", "Range", "Cookie"} {
			if v := r.Header.Get(name); v != "" {
				seen = append(seen, name+"="+v)
			}
		}
		fmt.Fprint(w, r.URL.RawQuery, " ", seen, " ", r.Header.Get("X-Forwarded-Host"), " ", r.Method)
	})
	a := g.Ask("GET", "/a?b=2&utm_source=evil&a=1", "X-Original-Url: /admin", "X-Rewrite-Url: /admin", "X-Http-Method-Override: POST",
		"X-Forwarded-Scheme: nothttps", "X-Host: evil", "X-Forwarded-Host: evil", "Cookie: id=1", "Host: h")
	if a.Body != "a=1&b=2 [] h GET" {
		t.Errorf("%q", a.Body)
	}
	if b := g.Ask("GET", "/a?a=1&b=2&utm_source=x", "Host: H"); b.Body != a.Body || o.Count("/a") != 1 {
		t.Errorf("%q, asked %d times", b.Body, o.Count("/a"))
	}
	for _, other := range []string{"/a?a=1&b=3", "/a?a=1&b=%32", "/a", "/a?a=1"} {
		n := o.Count("/a")
		if g.Ask("GET", other, "Host: h"); o.Count("/a") != n+1 {
			t.Errorf("%s was answered by what is stored for something else", other)
		}
	}
	if n := o.Count("/a"); true {
		if g.Ask("GET", "/a?a=1&b=2", "Host: other"); o.Count("/a") != n+1 {
			t.Error("another host got this one's answer")
		}
	}
	c := e2e.DialRaw(t, g.Addr) // a GET with a body
	n := o.Count("/a")
	c.Send("GET /a?a=1&b=2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nx=y")
	if r := c.Answer("GET"); r.StatusCode != 200 || o.Count("/a") != n+1 {
		t.Error("a GET with a body was answered from the cache")
	}
}

// TestCacheTwins: what looks alike but is not the same has answers of its own, and what is the same has one.
func TestCacheTwins(t *testing.T) {
	rec := e2e.Record(t, func(r *e2e.Recorded, _ net.Conn) string {
		text := r.Path() + " " + field(r.Head, "X-Lang") + " " + field(r.Head, "X-Two") + " " + field(r.Head, "Host")
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nVary: X-Lang, X-Two\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	})
	g := e2e.Start(t, e2e.Cached(rec.Addr, "", "[[route]]\nname = \"host\"\nhosts = [\"kept.example\"]\nprefix = \"/\"\npool = \"app\"\npreserve_host = true\ncache = \"main\"\n"))
	seen := map[string]string{} // request by answer
	f := func(same bool, line string, fields ...string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		request := append([]string{line}, fields...)
		if len(fields) == 0 || !strings.HasPrefix(fields[0], "Host:") {
			request = append(request, "Host: h.example")
		}
		c.Send(strings.Join(append(request, "", ""), "\r\n"))
		a := c.Answer("GET")
		if a.StatusCode != 200 {
			t.Errorf("%q: %d %s", request, a.StatusCode, a.Body)
			return
		}
		hit := strings.Contains(a.Header.Get("Cache-Status"), "; hit")
		if hit != same {
			t.Errorf("%q: a hit is %v; its answer is %q, which was first given to %q", request, hit, a.Body, seen[a.Body])
		}
		if !hit {
			seen[a.Body] = fmt.Sprint(request)
		}
	}
	// Paths. What is decoded or resolved before routing is the same; what may be told apart by the target is not.
	f(false, "GET /a/b HTTP/1.1")
	f(true, "GET /a/./b HTTP/1.1")
	f(true, "GET /a/c/../b HTTP/1.1")
	f(false, "GET /a%2Fb HTTP/1.1")
	f(false, "GET /a/b/ HTTP/1.1")
	f(false, "GET /A/b HTTP/1.1")
	f(false, "GET /a;x/b HTTP/1.1")
	f(false, "GET /a/b? HTTP/1.1")
	f(false, "GET /a/b?x=1 HTTP/1.1")
	f(false, "GET /a/b?x=1& HTTP/1.1")
	f(false, "GET /a/b?x=%31 HTTP/1.1")
	f(false, "GET /a%3Fx=1 HTTP/1.1")
	for _, path := range []string{"/a/b%00", "/a/b%0d%0aX-Evil:1", "//a/b", "/a/b#x", "/a/../../b"} {
		c := e2e.DialRaw(t, g.Addr)
		if c.Send(e2e.Lines("GET " + path + " HTTP/1.1")); c.Answer("GET").StatusCode != 400 {
			t.Errorf("%s is not refused", path)
		}
	}
	// Fields that answers vary by: neither their borders nor their absence can be forged.
	f(false, "GET /v HTTP/1.1", "X-Lang: ab", "X-Two: c")
	f(false, "GET /v HTTP/1.1", "X-Lang: a", "X-Two: bc")
	f(false, "GET /v HTTP/1.1", "X-Lang: abc")
	f(false, "GET /v HTTP/1.1", "X-Two: abc")
	f(false, "GET /v HTTP/1.1")
	f(false, "GET /v HTTP/1.1", "X-Lang:")
	f(false, "GET /v HTTP/1.1", "X-Lang: ab,c")
	f(true, "GET /v HTTP/1.1", "x-lang: ab", "X-TWO: c")
	// A field that Connection names does not reach the target, and is not looked at either.
	f(true, "GET /v HTTP/1.1", "X-Lang: evil", "Connection: X-Lang")
	// Hosts.
	f(false, "GET http://kept.example/h HTTP/1.1", "Host: kept.example")
	f(true, "GET /h HTTP/1.1", "Host: KEPT.example")
	f(false, "GET /h HTTP/1.1", "Host: kept.example:81")
	f(false, "GET /h HTTP/1.1", "Host: other.example")
}

// field returns the value of a field in a raw head.
func field(head, name string) string {
	_, rest, found := strings.Cut(head, "\r\n"+name+": ")
	if !found {
		return "-"
	}
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// TestCacheVaryCookie: what varies by cookies that are in the key, or are taken out, is served while it comes.
func TestCacheVaryCookie(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "cookies = \"ignore\"\nkey_cookies = [\"lang\"]\n"))
	sent, finish := make(chan struct{}), make(chan struct{})
	o.Do("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("Vary", "Cookie")
		fmt.Fprint(w, r.Header.Get("Cookie"))
		w.(http.Flusher).Flush()
		if r.Header.Get("Cookie") == "lang=de" {
			close(sent)
			<-finish
		}
	})
	first := make(chan e2e.Got)
	go func() { first <- g.Ask("GET", "/a", "Cookie: id=1; lang=de") }()
	<-sent
	for range 5 {
		if a := g.Ask("GET", "/a", "Cookie: lang=en; id=2"); a.Status != 200 || a.Body != "lang=en" {
			t.Errorf("%+v", a)
		}
	}
	second := make(chan e2e.Got)
	go func() { second <- g.Ask("GET", "/a", "Cookie: lang=de; id=3") }()
	e2e.Eventually(t, "the second one waits, or is answered", func() bool {
		return g.Metric("penstock_connections{") >= 2
	})
	close(finish)
	for _, a := range []e2e.Got{<-first, <-second} {
		if a.Status != 200 || a.Body != "lang=de" {
			t.Errorf("%+v", a)
		}
	}
	if n := o.Count("/a"); n != 2 {
		t.Errorf("the target was asked %d times", n)
	}
}

// TestCacheSplitAnswer: bytes behind an answer are not the answer to anything, stored or not.
func TestCacheSplitAnswer(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nContent-Length: 4\r\n\r\nevil"
	rec := e2e.Record(t, func(r *e2e.Recorded, _ net.Conn) string {
		good := "HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\n"
		switch r.Path() {
		case "/behind":
			return good + "Content-Length: 4\r\n\r\ngood" + evil
		case "/chunked":
			return good + "Transfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n" + evil
		case "/none":
			return "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=100\r\nETag: \"e\"\r\n\r\n" + evil
		case "/both":
			return good + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n" + evil
		case "/twice":
			return good + "Content-Length: 4\r\nContent-Length: 5\r\n\r\ngood" + evil
		}
		return good + "Content-Length: 4\r\n\r\nfine"
	})
	g := e2e.Start(t, e2e.Cached(rec.Addr, ""))
	for _, path := range []string{"/behind", "/chunked", "/none", "/both", "/twice"} {
		for range 2 {
			if a := g.Ask("GET", path); strings.Contains(a.Body, "evil") {
				t.Errorf("%s: %+v", path, a)
			}
			for i := range 4 {
				if a := g.Ask("GET", fmt.Sprint("/after", path, i)); a.Body != "fine" {
					t.Errorf("after %s: %+v", path, a)
				}
			}
		}
	}
}

// TestCacheDenial: an answer to a request that was made to fail is not kept for others, unless it says so, and then
// neither where its status is about how that one request was made.
func TestCacheDenial(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "default_ttl = \"1h\"\n"))
	about := []int{401, 407, 408, 411, 412, 413, 415, 417, 425, 426, 428, 429, 431, 511}
	for _, status := range append([]int{400, 403, 406, 414, 500, 502, 503}, about...) {
		path := fmt.Sprint("/", status)
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Broken") != "" {
				if slices.Contains(about, status) {
					w.Header().Set("Cache-Control", "public, max-age=100")
				}
				w.WriteHeader(status)
				return
			}
			w.Header().Set("Cache-Control", "max-age=100")
			fmt.Fprint(w, "fine")
		})
		if a := g.Ask("GET", path, "X-Broken: 1"); a.Status != status {
			t.Errorf("%s: %+v", path, a)
		}
		if a := g.Ask("GET", path); a.Status != 200 || a.Body != "fine" {
			t.Errorf("%s: %+v", path, a)
		}
	}
}
