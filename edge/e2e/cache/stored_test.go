package cache

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCacheTooLarge: that a body without a length is larger than max_object is found out once. From then on
// ranges of it are the target's to answer, and Cache-Status never claims that it is stored (RFC 9211 section
// 2.5).
func TestCacheTooLarge(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "max_object = \"100KiB\"\n"))
	text := strings.Repeat("0123456789", 30_000)
	o.Do("/large", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("ETag", `"e"`)
		if r.Header.Get("Range") != "" {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
			return
		}
		fmt.Fprint(w, text[:1000])
		w.(http.Flusher).Flush()
		fmt.Fprint(w, text[1000:])
	})
	o.Do("/vary", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "X-Lang")
		o.By["/large"](w, r)
	})
	for _, path := range []string{"/large", "/vary"} {
		first := g.Ask("GET", path, "Range: bytes=20-22", "X-Lang: de")
		if first.Status != 200 || first.Body != text || first.Says("stored") {
			t.Errorf("%s: %d, %d bytes, %s", path, first.Status, len(first.Body), first.Get("Cache-Status"))
		}
		n := o.Count(path)
		for _, a := range g.Together(8, "GET", path, "Range: bytes=20-22", "X-Lang: de") {
			if a.Status != 206 || a.Body != "012" || a.Says("stored") {
				t.Errorf("%s again: %d, %d bytes, %s", path, a.Status, len(a.Body), a.Get("Cache-Status"))
			}
		}
		if got := o.Count(path); got != n+8 {
			t.Errorf("%s: the target was asked %d times for 8 ranges", path, got-n)
		}
		for _, a := range g.Together(4, "GET", path, "X-Lang: de") {
			if a.Body != text || a.Says("stored") {
				t.Errorf("%s whole: %d bytes, %s", path, len(a.Body), a.Get("Cache-Status"))
			}
		}
	}
	o.Do("/head", o.By["/large"])
	g.Ask("HEAD", "/head")
	e2e.Eventually(t, "a head shows it too", func() bool { return g.Ask("GET", "/head", "Range: bytes=20-22").Status == 206 })
	if a := g.Ask("GET", "/vary", "X-Lang: en", "Range: bytes=20-22"); a.Status != 200 {
		t.Errorf("of another variant nothing is known: %d", a.Status)
	}
}

// TestCacheSaysStored: Cache-Status says stored of what is in the store when the head leaves, and of nothing else.
func TestCacheSaysStored(t *testing.T) {
	big := strings.Repeat("X-Fill: "+strings.Repeat("x", 1000)+"\r\n", 20) // of more than a block of the store
	rec := e2e.Record(t, func(r *e2e.Recorded, c net.Conn) string {
		const ok = "HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\n"
		switch r.Path() {
		case "/small":
			return ok + "Content-Length: 5\r\n\r\nhello"
		case "/empty":
			return ok + "Content-Length: 0\r\n\r\n"
		case "/cut", "/cut-chunked":
			frame, piece := "Content-Length: 1000\r\n\r\n", "half"
			if r.Path() == "/cut-chunked" {
				frame, piece = "Transfer-Encoding: chunked\r\n\r\n", "4\r\nhalf\r\n"
			}
			fmt.Fprint(c, ok+frame+piece)
			c.Close()
			return ""
		case "/head":
			return ok + big + "Content-Length: 5\r\n\r\nhello"
		}
		return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
	})
	g := e2e.Start(t, e2e.Cached(rec.Addr, ""))
	for path, want := range map[string]bool{"/small": true, "/empty": true, "/none": false, "/head": false} {
		a := g.Ask("GET", path)
		if a.Says("stored") != want {
			t.Errorf("%s: %s", path, a.Get("Cache-Status"))
		}
		if again := g.Ask("GET", path); again.Hit() != want || again.Says("stored") {
			t.Errorf("%s again: %s", path, again.Get("Cache-Status"))
		}
	}
	for _, path := range []string{"/cut", "/cut-chunked"} {
		c := e2e.DialRaw(t, g.Addr)
		c.Send("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n")
		resp, err := http.ReadResponse(c.R, nil)
		if err != nil {
			continue // the cut was seen before the head had left
		}
		if got := resp.Header.Get("Cache-Status"); strings.Contains(got, "stored") {
			t.Errorf("%s: %s", path, got)
		}
		resp.Body.Close()
	}
	// What does not fit into the store is known to be too large.
	if a := g.Ask("GET", "/head"); !a.Says("detail=known") {
		t.Errorf("/head: %s", a.Get("Cache-Status"))
	}
}

// TestCacheKeepsForms: encoded forms stay when a 304 confirms what they were made of, and say what it says (RFC 9111
// section 4.3.4). They go when it forbids them, or when the answer is another.
func TestCacheKeepsForms(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "compress = [\"gzip\"]\n"))
	text := strings.Repeat("What is said three times is true. ", 5000)
	serve := func(path, tag, body, control string) {
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", control)
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("ETag", tag)
			w.Header().Set("X-Control", control)
			if r.Header.Get("If-None-Match") == tag {
				w.WriteHeader(304)
				return
			}
			fmt.Fprint(w, body)
		})
	}
	encoded := func(path string) e2e.Got {
		t.Helper()
		var a e2e.Got
		e2e.Eventually(t, path+" has a form", func() bool {
			a = g.Ask("GET", path, "Accept-Encoding: gzip")
			return a.Get("Content-Encoding") == "gzip"
		})
		return a
	}
	const again = "Cache-Control: no-cache"
	serve("/a", `"v1"`, text, "max-age=100")
	form := encoded("/a")
	serve("/a", `"v1"`, text, "max-age=200")
	for i, a := range g.Together(6, "GET", "/a", "Accept-Encoding: gzip", again) {
		// While another one's 304 gives the form its fields, the answer is served as it is.
		coded := a.Get("Content-Encoding") == "gzip" && a.Body == form.Body && a.Get("ETag") == `W/"v1"`
		plain := a.Get("Content-Encoding") == "" && a.Body == text && a.Get("ETag") == `"v1"`
		if !coded && !plain || a.Get("X-Control") != "max-age=200" {
			t.Errorf("confirmed %d: %d bytes, %v", i, len(a.Body), a.Header)
		}
	}
	if a := g.Ask("GET", "/a", "Accept-Encoding: gzip"); !a.Hit() || a.Body != form.Body || !a.TtlAbove(150) {
		t.Errorf("afterwards: %d bytes, %v", len(a.Body), a.Header)
	}
	if a := g.Ask("GET", "/a"); a.Body != text || a.Get("Content-Encoding") != "" {
		t.Errorf("without a coding: %d bytes, %v", len(a.Body), a.Header)
	}
	serve("/a", `"v2"`, strings.ToUpper(text), "max-age=100")
	if a := g.Ask("GET", "/a", "Accept-Encoding: gzip", again); a.Body != strings.ToUpper(text) {
		t.Errorf("what is new: %d bytes, %v", len(a.Body), a.Header)
	}
	b, err := fasthttp.AppendGunzipBytes(nil, []byte(encoded("/a").Body))
	if string(b) != strings.ToUpper(text) || err != nil {
		t.Errorf("the new form has %d bytes, %v", len(b), err)
	}
	serve("/a", `"v2"`, text, "max-age=100, no-transform")
	g.Ask("GET", "/a", again)
	for range 3 {
		if a := g.Ask("GET", "/a", "Accept-Encoding: gzip"); a.Get("Content-Encoding") != "" || a.Body != strings.ToUpper(text) {
			t.Errorf("no-transform: %d bytes, %v", len(a.Body), a.Header)
		}
	}
}

// TestCacheErrorBesideCopy: an error does not take the place of what may still be used, even if it says how long it is
// fresh; where nothing can be used it is stored (RFC 5861 section 4, RFC 9111 section 4.3.3).
func TestCacheErrorBesideCopy(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	const anew = "Cache-Control: no-cache"
	f := func(path, copied, age, fault string, request []string, want, then string) {
		t.Helper()
		o.On(path, 200, "good", "Cache-Control: "+copied, "Age: "+age, `ETag: "e"`)
		g.Ask("GET", path)
		o.On(path, 500, "fault", fault)
		for range 2 {
			if a := g.Ask("GET", path, request...); a.Body != want {
				t.Errorf("%s: %d %q %s", path, a.Status, a.Body, a.Get("Cache-Status"))
			}
		}
		for i, a := range g.Together(4, "GET", path) {
			if a.Body != then {
				t.Errorf("%s, client %d then: %d %q %s", path, i, a.Status, a.Body, a.Get("Cache-Status"))
			}
		}
	}
	const lasting, plain = "Cache-Control: max-age=100", "X-Nothing: said"
	f("/fresh", "max-age=100", "0", lasting, []string{anew}, "fault", "good")
	f("/fresh/plain", "max-age=100", "0", plain, []string{anew}, "fault", "good")
	f("/rescued", "max-age=10, stale-if-error=100", "20", lasting, nil, "good", "good")
	f("/rescued/plain", "max-age=10, stale-if-error=100", "20", plain, nil, "good", "good")
	f("/too-old", "max-age=10, stale-if-error=5", "20", lasting, nil, "fault", "fault")
	f("/strict", "max-age=10, must-revalidate", "20", lasting, nil, "fault", "fault")
	n := o.Count("/strict")
	if a := g.Ask("GET", "/strict"); a.Status != 500 || !a.Hit() || o.Count("/strict") != n {
		t.Errorf("the error is not stored: %s", a.Get("Cache-Status"))
	}
	// An error that is stored is no copy to be rescued by, nor to be served while it is fetched anew.
	g.Write(e2e.Cached(o.Addr, "stale_if_error = \"1h\"\nstale_while_revalidate = \"1h\"\n"))
	g.Reload()
	o.On("/old", 503, "old fault", "Cache-Control: max-age=10", "Age: 20", `ETag: "e"`)
	g.Ask("GET", "/old")
	o.On("/old", 500, "new fault")
	if a := g.Ask("GET", "/old"); a.Body != "new fault" {
		t.Errorf("an old error in place of a new one: %q %s", a.Body, a.Get("Cache-Status"))
	}
	// A stale copy that an error came for is asked about still.
	o.On("/kept", 200, "good", "Cache-Control: max-age=10", "Age: 20", `ETag: "e"`)
	g.Write(e2e.Cached(o.Addr, ""))
	g.Reload()
	g.Ask("GET", "/kept")
	o.On("/kept", 503, "fault")
	g.Ask("GET", "/kept")
	o.Do("/kept", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Cache-Control", "max-age=100")
		if r.Header.Get("If-None-Match") == `"e"` {
			w.WriteHeader(304)
			return
		}
		fmt.Fprint(w, "new")
	})
	if a := g.Ask("GET", "/kept"); a.Body != "good" {
		t.Errorf("the copy was forgotten: %q %s", a.Body, a.Get("Cache-Status"))
	}
}
