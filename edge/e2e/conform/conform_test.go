package conform

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

func newOrigin(t *testing.T) *Origin {
	t.Helper()
	o, err := NewOrigin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

func TestChecks(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		if seen[c.Name()] || seen[c.Requirement] {
			t.Errorf("twice: %s", c.Name())
		}
		seen[c.Name()], seen[c.Requirement] = true, true
		if !slices.Contains(Levels, c.Level) {
			t.Errorf("%s: level %q", c.Name(), c.Level)
		}
		if !slices.Contains([]string{"9110", "9111", "9211", "9213", "5861", "10008"}, c.RFC) || c.Section == "" {
			t.Errorf("%s: of RFC %q section %q", c.Name(), c.RFC, c.Section)
		}
		if c.Requirement == "" || strings.ContainsAny(c.Requirement, "`\n") || c.Run == nil {
			t.Errorf("%s: what has to be?", c.Name())
		}
	}
}

// TestRowsCanFail: a proxy that has no cache fails the rows that want a hit, and passes those that forbid one.
func TestRowsCanFail(t *testing.T) {
	o := newOrigin(t)
	to := &url.URL{Scheme: "http", Host: o.Addr()}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(proxy.Close)
	checks := Checks()
	errs := make([]error, len(checks))
	var wg sync.WaitGroup
	for lane := range 8 { // rows that wait for what does not come take two seconds each
		wg.Go(func() {
			for i := lane; i < len(checks); i += 8 {
				errs[i] = One(proxy.Listener.Addr().String(), o, i, checks[i])
			}
		})
	}
	wg.Wait()
	failed, by := 0, map[string]error{}
	for i, err := range errs {
		if by[checks[i].Requirement] = err; err != nil {
			failed++
		}
	}
	if failed < len(checks)/3 || failed == len(checks) {
		t.Errorf("%d of %d rows fail without a cache", failed, len(checks))
	}
	f := func(requirement string, fails bool) {
		t.Helper()
		if err, ok := by[requirement]; !ok || (err != nil) != fails {
			t.Errorf("%s: there is such a row: %v; it fails: %v", requirement, ok, err)
		}
	}
	f("an answer with explicit freshness is used again", true)
	f("answer a range from what is stored", true)
	f("answer HEAD from a stored answer to GET", true)
	f("ignore If-Modified-Since beside If-None-Match", true)
	f("say hit of what is answered from the store, also by a 304, a part and a head", true)
	f("store or not by the targeted field, against Cache-Control", true)
	f("serve what is stale while it is revalidated", true)
	f("serve what is stale when the origin answers 500, 502, 503 or 504", true)
	f("store against no-store", false)
	f("take fields that Connection names out of requests", false)
	f("let the status 404 through, which is no error", false)
}

// ask sends a request to the origin itself, and reads all up to the end of the connection.
func ask(t *testing.T, o *Origin, method, path string) string {
	t.Helper()
	c, err := net.Dial("tcp", o.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, method+" "+path+" HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestOrigin(t *testing.T) {
	o := newOrigin(t)
	f := func(method string, a Answer, want string) {
		t.Helper()
		c := &Case{origin: o, prefix: "/p"}
		c.Do("/x", func(*http.Request) Answer { return a })
		if got := ask(t, o, method, "/p/x"); got != want {
			t.Errorf("%+v: got %q, want %q", a, got, want)
		}
	}
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	f("GET", Answer{Body: "abcd"}, ok+"Content-Length: 4\r\n\r\nabcd")
	f("GET", Answer{Body: "abcd", Cut: true}, ok+"Content-Length: 4\r\n\r\nab")
	f("GET", Answer{Body: "abcd", Chunked: true}, chunked+"4\r\nabcd\r\n0\r\n\r\n")
	f("GET", Answer{Body: "abcd", Chunked: true, Cut: true}, chunked+"2\r\nab\r\n")
	f("GET", Answer{Chunked: true}, chunked+"0\r\n\r\n")
	f("GET", Answer{Body: "abcd", Drop: true}, "")
	f("HEAD", Answer{Body: "abcd"}, ok+"Content-Length: 4\r\n\r\n")
	f("GET", Answer{Status: 304, Body: "abcd"}, "HTTP/1.1 304 Not Modified\r\n\r\n")
	f("GET", Answer{Fields: []string{"A: 1", "a:2"}}, ok+"A: 1\r\na:2\r\nContent-Length: 0\r\n\r\n")
	if got := ask(t, o, "GET", "/other"); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
		t.Errorf("a path without a script: %q", got)
	}
	c := &Case{origin: o, prefix: "/p"}
	if n := len(c.Asked("/x")); n != 9 {
		t.Errorf("/x was asked %d times, want 9", n)
	}
}

// TestReply: what a proxy sends behind a head that ends the answer is seen, and so is a cut.
func TestReply(t *testing.T) {
	f := func(method, sent string, want Reply, cut bool) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, sent) // the client sees what is missing
			}
		}()
		c := &Case{addr: l.Addr().String()}
		got := c.Send(method, "/", "")
		if got.Status != want.Status || got.Body != want.Body || got.Rest != want.Rest || (got.Err != nil) != cut {
			t.Errorf("%q: %+v, want %+v", sent, got, want)
		}
	}
	const length = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
	f("GET", length+"abcd", Reply{Status: 200, Body: "abcd"}, false)
	f("GET", length+"ab", Reply{Status: 200, Body: "ab"}, true)
	f("GET", "", Reply{}, true)
	f("HEAD", length, Reply{Status: 200}, false)
	f("HEAD", length+"abcd", Reply{Status: 200, Rest: "abcd"}, false)
	f("GET", "HTTP/1.1 304 Not Modified\r\n\r\nabcd", Reply{Status: 304, Rest: "abcd"}, false)
}
