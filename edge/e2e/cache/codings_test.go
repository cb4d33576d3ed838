package cache

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// page is what the targets of these tests have: 12,000 bytes, and as few when they are encoded.
var page = []byte(strings.Repeat("hello world ", 1000))

// encoding answers with the page in the first of its codings that is offered, as a target does that knows these.
func encoding(vary bool, codings ...string) http.HandlerFunc {
	encode := map[string]func(dst, src []byte) []byte{"gzip": fasthttp.AppendGzipBytes, "br": fasthttp.AppendBrotliBytes,
		"zstd": fasthttp.AppendZstdBytes}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		if vary {
			w.Header().Set("Vary", "Accept-Encoding")
		}
		body := page
		for _, c := range codings {
			if accepts(r.Header.Get("Accept-Encoding"), c) {
				w.Header().Set("Content-Encoding", c)
				body = encode[c](nil, page)
				break
			}
		}
		_, _ = w.Write(body) // the gateway may have gone
	}
}

// accepts reports whether a list has a coding, and not with a weight of 0: requests pass the cache as they came.
func accepts(list, coding string) bool {
	for one := range strings.SplitSeq(list, ", ") {
		if name, weight, _ := strings.Cut(one, ";"); name == coding && weight != "q=0" {
			return true
		}
	}
	return false
}

// decoded returns the body of an answer without its coding, and that.
func decoded(t *testing.T, a e2e.Got) (body []byte, coding string) {
	t.Helper()
	var err error
	body = []byte(a.Body)
	switch coding = a.Get("Content-Encoding"); coding {
	case "gzip":
		body, err = fasthttp.AppendGunzipBytes(nil, body)
	case "br":
		body, err = fasthttp.AppendUnbrotliBytes(nil, body)
	case "zstd":
		body, err = fasthttp.AppendUnzstdBytes(nil, body)
	}
	if err != nil {
		t.Errorf("%s: %v", coding, err)
	}
	return body, coding
}

// TestCacheCodings: the target is offered all that a client accepts, and what it has encoded is for all that accept
// that, with Vary and without.
func TestCacheCodings(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	f := func(path, accept, want string, asked int) {
		t.Helper()
		a := g.Ask("GET", path, "Accept-Encoding: "+accept)
		body, coding := decoded(t, a)
		if coding != want || !bytes.Equal(body, page) || o.Count(path) != asked {
			t.Errorf("%s %q: %d bytes of %q, want %q; the target was asked %d times, want %d", path, accept, len(a.Body), coding, want,
				o.Count(path), asked)
		}
	}
	for path, vary := range map[string]bool{"/vary": true, "/silent": false} {
		o.Do(path, encoding(vary, "gzip"))
		f(path, "gzip, deflate, br, zstd", "gzip", 1)
		f(path, "gzip", "gzip", 1)
		f(path, "GZIP;q=0.3, br;q=1", "gzip", 1)
		f(path, "*", "gzip", 1)
		f(path, "br", "", 2)
		f(path, "", "", 2)
		f(path, "identity", "", 2)
		f(path, "gzip;q=0, br", "", 2)
		f(path, "*, gzip;q=0", "", 3) // nobody knows yet whether it has zstd
		f(path, "zstd", "", 3)
		f(path, "br, gzip", "gzip", 3)
	}
	// What is not encoded for clients that accept little decides nothing for others.
	o.Do("/first", encoding(true, "br", "gzip"))
	f("/first", "", "", 1)
	f("/first", "gzip", "gzip", 2)
	f("/first", "gzip, br", "gzip", 2)
	f("/first", "br", "br", 3)
	f("/first", "gzip", "gzip", 3)
	f("/first", "deflate", "", 3)
	// What is never encoded is one answer for all, once the most has been offered.
	o.Do("/never", encoding(true))
	for _, accept := range []string{"zstd, br, gzip", "br", "gzip, zstd", "", "gzip"} {
		f("/never", accept, "", 1)
	}
	// An answer without Vary that is not encoded declares itself to be for all.
	o.Do("/all", encoding(false))
	for _, accept := range []string{"", "gzip", "br", "zstd, br, gzip"} {
		f("/all", accept, "", 1)
	}
	// A coding that nobody has offered is only for clients that got the same from the target.
	o.On("/odd", 200, "odd", "Cache-Control: max-age=100", "Content-Encoding: compress")
	for i, accept := range []string{"gzip", "", "br, gzip"} {
		for range 2 {
			if g.Ask("GET", "/odd", "Accept-Encoding: "+accept); o.Count("/odd") != i+1 {
				t.Errorf("%q: the target was asked %d times", accept, o.Count("/odd"))
			}
		}
	}
}

// TestCacheCodingsAtOnce: clients that accept different codings and ask at the same time, before anything is stored and
// while it is replaced, get each what they accept.
func TestCacheCodingsAtOnce(t *testing.T) {
	for name, vary := range map[string]bool{"vary": true, "silent": false} {
		for _, has := range [][]string{{"gzip"}, {"br", "gzip"}, {"zstd", "br", "gzip"}, nil} {
			o := e2e.NewScripted(t)
			g := e2e.Start(t, e2e.Cached(o.Addr, ""))
			o.Do("/a", encoding(vary, has...))
			var all sync.WaitGroup
			for i, accept := range []string{"", "gzip", "br", "zstd", "gzip, br", "zstd;q=0.5, gzip", "br, zstd, gzip", "gzip;q=0"} {
				for range 4 {
					all.Go(func() {
						for n := range 6 {
							fields := []string{"Accept-Encoding: " + accept}
							if n == i {
								fields = append(fields, "Cache-Control: no-cache")
							}
							a := g.Ask("GET", "/a", fields...)
							body, coding := decoded(t, a)
							if !strings.Contains(accept, coding) || accept == coding+";q=0" || !bytes.Equal(body, page) {
								t.Errorf("%s %v %q: %d bytes of %q", name, has, accept, len(a.Body), coding)
							}
						}
					})
				}
			}
			all.Wait()
			if n := o.Count("/a"); n > 100 {
				t.Errorf("%s %v: the target was asked %d times", name, has, n)
			}
			accepts := []string{"", "gzip", "gzip, br", "br, zstd, gzip"}
			for _, accept := range accepts {
				g.Ask("GET", "/a", "Accept-Encoding: "+accept)
			}
			before := o.Count("/a")
			for _, accept := range accepts { // all is known by now
				if _, coding := decoded(t, g.Ask("GET", "/a", "Accept-Encoding: "+accept)); o.Count("/a") != before {
					t.Errorf("%s %v %q: %q is asked for again", name, has, accept, coding)
				}
			}
		}
	}
}
