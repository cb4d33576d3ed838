//go:build !race

package cache

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCacheRanges: parts of what is stored (RFC 9110 sections 14 and 15.3.7).
func TestCacheRanges(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	text := make([]byte, 200_000)
	for i := range text {
		text[i] = 'a' + byte(i%26)
	}
	o.On("/small", 200, string(text[:1000]), "Cache-Control: max-age=100", "ETag: \"e\"", "Content-Type: text/plain")
	o.On("/large", 200, string(text), "Cache-Control: max-age=100", "ETag: \"e\"")
	for path, size := range map[string]int{"/small": 1000, "/large": 200_000} {
		g.Ask("GET", path)
		f := func(field string, status int, want string, more ...string) {
			t.Helper()
			a := g.Ask("GET", path, append(more, "Range: "+field)...)
			if a.Status != status || a.Body != want {
				t.Errorf("%s %s: %d, %d bytes, %v", path, field, a.Status, len(a.Body), a.Header)
			}
			if status == 206 && a.Get("Content-Range") == "" && !strings.HasPrefix(a.Get("Content-Type"), "multipart/") {
				t.Errorf("%s %s: %v", path, field, a.Header)
			}
		}
		f("bytes=0-4", 206, string(text[:5]))
		f("bytes=-5", 206, string(text[size-5:size]))
		f(fmt.Sprintf("bytes=%d-", size-700), 206, string(text[size-700:size]))
		f("bytes=100-899", 206, string(text[100:900]))
		f(fmt.Sprintf("bytes=%d-", size), 416, "")
		f("bytes=0-4", 206, string(text[:5]), `If-Range: "e"`)
		f("bytes=0-4", 200, string(text[:size]), `If-Range: "x"`)
		f("lines=0-4", 200, string(text[:size]))
		if o.Count(path) != 1 {
			t.Errorf("%s: asked %d times", path, o.Count(path))
		}
	}
	a := g.Ask("GET", "/small", "Range: bytes=0-1,10-12")
	if a.Status != 206 || !strings.Contains(a.Body, "Content-Range: bytes 10-12/1000\r\n\r\nklm\r\n--") ||
		!strings.Contains(a.Body, "Content-Type: text/plain\r\nContent-Range: bytes 0-1/1000\r\n\r\nab\r\n--") {
		t.Errorf("%d %q %v", a.Status, a.Body, a.Header)
	}
}

// TestCacheChunkGone: when a part of a large body is forgotten while it is sent to a slow client, the rest comes from
// the target, if that has the same answer still; else the connection is cut.
func TestCacheChunkGone(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, strings.Replace(e2e.Cached(o.Addr, "max_object = \"16MiB\"\n"), "16MiB", "64MiB", 1))
	tag := atomic.Pointer[string]{}
	v1, v2 := `"v1"`, `"v2"`
	tag.Store(&v1)
	film := make([]byte, 15_000_000) // more than the sockets between take
	for i := range film {
		film[i] = byte(i>>16) ^ byte(i>>8) ^ byte(i)
	}
	o.Do("/film", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("ETag", *tag.Load())
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(film))
	})
	filler := strings.Repeat("x", 1_000_000)
	f := func(whole bool) {
		t.Helper()
		g.Ask("GET", "/film")
		e2e.Eventually(t, "the film is stored", func() bool { // its last byte leaves before that
			return strings.Contains(g.Ask("HEAD", "/film").Get("Cache-Status"), "hit")
		})
		c, err := net.DialTCP("tcp", nil, tcpAddr(t, g.Addr))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
		k := e2e.NewRawClient(t, c)
		k.Send("GET /film HTTP/1.1\r\nHost: " + g.Addr + "\r\n\r\n")
		resp, err := http.ReadResponse(k.R, nil)
		if err != nil || resp.ContentLength != int64(len(film)) || !strings.Contains(resp.Header.Get("Cache-Status"), "hit") {
			t.Fatal(resp, err)
		}
		for i := range 400 { // all that was there goes
			path := fmt.Sprint("/fill/", o.Count("/film"), "/", i)
			o.On(path, 200, filler, "Cache-Control: max-age=100")
			g.Ask("GET", path)
		}
		_ = c.SetReadDeadline(time.Now().Add(e2e.Patience)) // fails only on a closed connection
		b, err := io.ReadAll(resp.Body)
		if whole && (err != nil || !bytes.Equal(b, film)) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		if !whole && (err == nil || !bytes.Equal(b, film[:len(b)])) {
			t.Errorf("%d bytes as a whole answer", len(b))
		}
	}
	f(true)
	if n := o.Count("/film"); n != 2 {
		t.Errorf("the target was asked %d times", n)
	}
	g.Purge("all=1")
	g.Ask("GET", "/film")
	tag.Store(&v2)
	f(false)
}

func tcpAddr(t *testing.T, addr string) *net.TCPAddr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestCacheNoVarySearch: an answer is used for all queries on which it does not depend, as it says itself.
func TestCacheNoVarySearch(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "query_drop = [\"drop\"]\n"))
	serve := func(path, rule string, more ...string) {
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=100")
			w.Header().Set("No-Vary-Search", rule)
			for _, f := range more {
				name, value, _ := strings.Cut(f, ": ")
				w.Header().Set(name, value)
			}
			fmt.Fprint(w, r.URL.RawQuery, " ", r.Header.Get("X-Lang"))
		})
	}
	f := func(target, want string, fields ...string) {
		t.Helper()
		if a := g.Ask("GET", target, fields...); strings.TrimSpace(a.Body) != want {
			t.Errorf("%s: %q, want %q (%s)", target, a.Body, want, a.Get("Cache-Status"))
		}
	}
	serve("/utm", `params=("utm")`)
	f("/utm?a=1&utm=x", "a=1&utm=x")
	f("/utm?utm=y&%61=%31", "a=1&utm=x") // it says the same
	f("/utm?a=1&drop=3", "a=1&utm=x")
	f("/utm?a=2&utm=x", "a=2&utm=x")
	f("/utm?utm=x", "utm=x")
	f("/utm", "utm=x")
	serve("/none", "params, except=(\"id\")", "Vary: X-Lang")
	f("/none?x=1", "x=1 de", "X-Lang: de")
	f("/none?y=1", "y=1 en", "X-Lang: en")
	f("/none?z=1", "x=1 de", "X-Lang: de")
	f("/none?id=2&z=1", "id=2&z=1 de", "X-Lang: de")
	f("/none?z=3&id=2", "id=2&z=1 de", "X-Lang: de")
	serve("/order", "key-order")
	f("/order?a=1&b=2", "a=1&b=2")
	f("/order?b=2&a=1", "a=1&b=2")
	serve("/bad", "params=x")
	f("/bad?a=1", "a=1")
	f("/bad?a=2", "a=2")
	if n := o.Count("/utm"); n != 3 {
		t.Errorf("the target was asked %d times", n)
	}
	g.Purge("url=http://" + g.Addr + "/utm?utm=z%26a=1") // nobody has asked for this one
	f("/utm?utm=z&a=1", "utm=z&a=1")
	f("/utm?utm=1&a=1", "utm=z&a=1")
	// When the answer has no such rule any more, it is found by its own query alone.
	o.On("/utm", 200, "no rule", "Cache-Control: max-age=100")
	g.Purge("all=1")
	f("/utm?utm=n&a=1", "no rule")
	o.On("/utm", 200, "another", "Cache-Control: max-age=100")
	f("/utm?utm=m&a=1", "another")
	f("/utm?utm=n&a=1", "no rule")
}

// TestCacheFetchWhole: what asks for a part, or for the head, of what is not stored has all of it fetched, or is passed on.
func TestCacheFetchWhole(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "max_object = \"100KiB\"\n"))
	text := strings.Repeat("0123456789", 5000)
	serve := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("ETag", `"e"`)
		if r.URL.Path == "/chunked" {
			fmt.Fprint(w, text[:25_000])
			w.(http.Flusher).Flush()
			fmt.Fprint(w, text[25_000:])
			return
		}
		body := text
		if r.URL.Path == "/large" {
			body = strings.Repeat(text, 3)
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
	}
	f := func(path, method, field string, status int, want string, stored bool) {
		t.Helper()
		o.Do(path, serve)
		n := o.Count(path)
		fields := []string{}
		if field != "" {
			fields = []string{"Range: " + field}
		}
		if a := g.Ask(method, path, fields...); a.Status != status || a.Body != want {
			t.Errorf("%s %s %s: %d, %d bytes, %v", method, path, field, a.Status, len(a.Body), a.Header)
		}
		if !stored {
			return
		}
		if a := g.Ask("GET", path); a.Body != text { // from the fetch, or from what it has stored
			t.Errorf("GET %s: %d bytes, %s", path, len(a.Body), a.Get("Cache-Status"))
		}
		if got := o.Count(path); got != n+1 {
			t.Errorf("%s %s: the target was asked %d times", method, path, got)
		}
	}
	f("/range", "GET", "bytes=30001-30003", 206, "123", true)
	f("/suffix", "GET", "bytes=-2", 206, "89", true)
	f("/none", "GET", "bytes=50000-", 416, "", true)
	f("/two", "GET", "bytes=0-1,5-6", 200, text, true)
	f("/head", "HEAD", "", 200, "", true)
	f("/chunked", "GET", "bytes=1-2", 200, text, true) // its length is not known when the head is sent
	f("/large", "GET", "bytes=20-22", 206, "012", false)
	f("/large", "HEAD", "", 200, "", false)
	g.Write(e2e.Cached(o.Addr, "fetch_whole = false\n"))
	g.Reload()
	f("/range2", "GET", "bytes=30001-30003", 206, "123", false)
	f("/head2", "HEAD", "", 200, "", false)
	for _, path := range []string{"/range2", "/head2"} {
		if a := g.Ask("GET", path); !strings.Contains(a.Get("Cache-Status"), "uri-miss") || a.Body != text {
			t.Errorf("%s: %s", path, a.Get("Cache-Status"))
		}
	}
}
