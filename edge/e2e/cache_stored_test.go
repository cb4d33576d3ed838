package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// TestCacheTooLarge: that a body without a length is larger than max_object is found out once. From then on ranges of
// it are the target's to answer, and Cache-Status never says that it is stored (RFC 9211 section 2.5).
func TestCacheTooLarge(t *testing.T) {
	o := newScripted(t)
	g := start(t, cached(o.addr, "max_object = \"100KiB\"\n"))
	text := strings.Repeat("0123456789", 30_000)
	o.do("/large", func(w http.ResponseWriter, r *http.Request) {
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
	o.do("/vary", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "X-Lang")
		o.by["/large"](w, r)
	})
	for _, path := range []string{"/large", "/vary"} {
		first := g.ask("GET", path, "Range: bytes=20-22", "X-Lang: de")
		if first.status != 200 || first.body != text || first.says("stored") {
			t.Errorf("%s: %d, %d bytes, %s", path, first.status, len(first.body), first.Get("Cache-Status"))
		}
		n := o.count(path)
		for _, a := range g.together(8, "GET", path, "Range: bytes=20-22", "X-Lang: de") {
			if a.status != 206 || a.body != "012" || a.says("stored") {
				t.Errorf("%s again: %d, %d bytes, %s", path, a.status, len(a.body), a.Get("Cache-Status"))
			}
		}
		if got := o.count(path); got != n+8 {
			t.Errorf("%s: the target was asked %d times for 8 ranges", path, got-n)
		}
		for _, a := range g.together(4, "GET", path, "X-Lang: de") {
			if a.body != text || a.says("stored") {
				t.Errorf("%s whole: %d bytes, %s", path, len(a.body), a.Get("Cache-Status"))
			}
		}
	}
	o.do("/head", o.by["/large"])
	g.ask("HEAD", "/head")
	eventually(t, "a head shows it too", func() bool { return g.ask("GET", "/head", "Range: bytes=20-22").status == 206 })
	if a := g.ask("GET", "/vary", "X-Lang: en", "Range: bytes=20-22"); a.status != 200 {
		t.Errorf("of another variant nothing is known: %d", a.status)
	}
}

// TestCacheSaysStored: Cache-Status says stored of what is in the store when the head leaves, and of nothing else.
func TestCacheSaysStored(t *testing.T) {
	big := strings.Repeat("X-Fill: "+strings.Repeat("x", 1000)+"\r\n", 20) // of more than a block of the store
	rec := record(t, func(r *recorded, c net.Conn) string {
		const ok = "HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\n"
		switch r.path() {
		case "/small":
			return ok + "Content-Length: 5\r\n\r\nhello"
		case "/empty":
			return ok + "Content-Length: 0\r\n\r\n"
		case "/cut", "/cut-chunked":
			frame, piece := "Content-Length: 1000\r\n\r\n", "half"
			if r.path() == "/cut-chunked" {
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
	g := start(t, cached(rec.addr, ""))
	for path, want := range map[string]bool{"/small": true, "/empty": true, "/none": false, "/head": false} {
		a := g.ask("GET", path)
		if a.says("stored") != want {
			t.Errorf("%s: %s", path, a.Get("Cache-Status"))
		}
		if again := g.ask("GET", path); again.hit() != want || again.says("stored") {
			t.Errorf("%s again: %s", path, again.Get("Cache-Status"))
		}
	}
	for _, path := range []string{"/cut", "/cut-chunked"} {
		c := dialRaw(t, g.addr)
		c.send("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n")
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			continue // the cut was seen before the head had left
		}
		if got := resp.Header.Get("Cache-Status"); strings.Contains(got, "stored") {
			t.Errorf("%s: %s", path, got)
		}
		resp.Body.Close()
	}
	// What does not fit into the store is known to be too large.
	if a := g.ask("GET", "/head"); !a.says("detail=known") {
		t.Errorf("/head: %s", a.Get("Cache-Status"))
	}
}

// TestCacheKeepsForms: encoded forms stay when a 304 confirms what they were made of, and say what it says (RFC 9111
// section 4.3.4). They go when it forbids them, or when the answer is another.
func TestCacheKeepsForms(t *testing.T) {
	o := newScripted(t)
	g := start(t, cached(o.addr, "compress = [\"gzip\"]\n"))
	text := strings.Repeat("What is said three times is true. ", 5000)
	serve := func(path, tag, body, control string) {
		o.do(path, func(w http.ResponseWriter, r *http.Request) {
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
	encoded := func(path string) got {
		t.Helper()
		var a got
		eventually(t, path+" has a form", func() bool {
			a = g.ask("GET", path, "Accept-Encoding: gzip")
			return a.Get("Content-Encoding") == "gzip"
		})
		return a
	}
	const again = "Cache-Control: no-cache"
	serve("/a", `"v1"`, text, "max-age=100")
	form := encoded("/a")
	serve("/a", `"v1"`, text, "max-age=200")
	for i, a := range g.together(6, "GET", "/a", "Accept-Encoding: gzip", again) {
		// While another one's 304 gives the form its fields, the answer is served as it is.
		coded := a.Get("Content-Encoding") == "gzip" && a.body == form.body && a.Get("ETag") == `W/"v1"`
		plain := a.Get("Content-Encoding") == "" && a.body == text && a.Get("ETag") == `"v1"`
		if !coded && !plain || a.Get("X-Control") != "max-age=200" {
			t.Errorf("confirmed %d: %d bytes, %v", i, len(a.body), a.Header)
		}
	}
	if a := g.ask("GET", "/a", "Accept-Encoding: gzip"); !a.hit() || a.body != form.body || !a.ttlAbove(150) {
		t.Errorf("afterwards: %d bytes, %v", len(a.body), a.Header)
	}
	if a := g.ask("GET", "/a"); a.body != text || a.Get("Content-Encoding") != "" {
		t.Errorf("without a coding: %d bytes, %v", len(a.body), a.Header)
	}
	serve("/a", `"v2"`, strings.ToUpper(text), "max-age=100")
	if a := g.ask("GET", "/a", "Accept-Encoding: gzip", again); a.body != strings.ToUpper(text) {
		t.Errorf("what is new: %d bytes, %v", len(a.body), a.Header)
	}
	b, err := fasthttp.AppendGunzipBytes(nil, []byte(encoded("/a").body))
	if string(b) != strings.ToUpper(text) || err != nil {
		t.Errorf("the new form has %d bytes, %v", len(b), err)
	}
	serve("/a", `"v2"`, text, "max-age=100, no-transform")
	g.ask("GET", "/a", again)
	for range 3 {
		if a := g.ask("GET", "/a", "Accept-Encoding: gzip"); a.Get("Content-Encoding") != "" || a.body != strings.ToUpper(text) {
			t.Errorf("no-transform: %d bytes, %v", len(a.body), a.Header)
		}
	}
}

// TestCacheErrorBesideCopy: an error does not take the place of what may still be used, even if it says how long it is
// fresh; where nothing can be used it is stored (RFC 5861 section 4, RFC 9111 section 4.3.3).
func TestCacheErrorBesideCopy(t *testing.T) {
	o := newScripted(t)
	g := start(t, cached(o.addr, ""))
	const anew = "Cache-Control: no-cache"
	f := func(path, copied, age, fault string, request []string, want, then string) {
		t.Helper()
		o.on(path, 200, "good", "Cache-Control: "+copied, "Age: "+age, `ETag: "e"`)
		g.ask("GET", path)
		o.on(path, 500, "fault", fault)
		for range 2 {
			if a := g.ask("GET", path, request...); a.body != want {
				t.Errorf("%s: %d %q %s", path, a.status, a.body, a.Get("Cache-Status"))
			}
		}
		for i, a := range g.together(4, "GET", path) {
			if a.body != then {
				t.Errorf("%s, client %d then: %d %q %s", path, i, a.status, a.body, a.Get("Cache-Status"))
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
	n := o.count("/strict")
	if a := g.ask("GET", "/strict"); a.status != 500 || !a.hit() || o.count("/strict") != n {
		t.Errorf("the error is not stored: %s", a.Get("Cache-Status"))
	}
	// An error that is stored is no copy to be rescued by, nor to be served while it is fetched anew.
	g.write(cached(o.addr, "stale_if_error = \"1h\"\nstale_while_revalidate = \"1h\"\n"))
	g.reload()
	o.on("/old", 503, "old fault", "Cache-Control: max-age=10", "Age: 20", `ETag: "e"`)
	g.ask("GET", "/old")
	o.on("/old", 500, "new fault")
	if a := g.ask("GET", "/old"); a.body != "new fault" {
		t.Errorf("an old error in place of a new one: %q %s", a.body, a.Get("Cache-Status"))
	}
	// A stale copy that an error came for is asked about still.
	o.on("/kept", 200, "good", "Cache-Control: max-age=10", "Age: 20", `ETag: "e"`)
	g.write(cached(o.addr, ""))
	g.reload()
	g.ask("GET", "/kept")
	o.on("/kept", 503, "fault")
	g.ask("GET", "/kept")
	o.do("/kept", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Cache-Control", "max-age=100")
		if r.Header.Get("If-None-Match") == `"e"` {
			w.WriteHeader(304)
			return
		}
		fmt.Fprint(w, "new")
	})
	if a := g.ask("GET", "/kept"); a.body != "good" {
		t.Errorf("the copy was forgotten: %q %s", a.body, a.Get("Cache-Status"))
	}
}
