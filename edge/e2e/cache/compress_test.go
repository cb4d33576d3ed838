//go:build !race

package cache

import (
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCacheCompress: encoded forms are made when they are wanted, are what the body was, and go with it.
func TestCacheCompress(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "compress = [\"br\", \"zstd\", \"gzip\"]\n"))
	text := strings.Repeat("What is said three times is true. ", 5000)
	o.On("/text", 200, text, "Cache-Control: max-age=100", "Content-Type: text/plain; charset=utf-8", "ETag: \"e\"", "Surrogate-Key: tag")
	o.On("/vary", 200, text, "Cache-Control: max-age=100", "Content-Type: application/ld+json", "Vary: X-Lang")
	o.On("/image", 200, text, "Cache-Control: max-age=100", "Content-Type: image/png")
	o.On("/short", 200, "short", "Cache-Control: max-age=100", "Content-Type: text/plain")
	o.On("/never", 200, text, "Cache-Control: max-age=100, no-transform", "Content-Type: text/plain")
	o.Do("/done", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(fasthttp.AppendGzipBytes(nil, []byte(text))) // the gateway may have gone
	})
	decode := map[string]func([]byte) ([]byte, error){
		"":     func(b []byte) ([]byte, error) { return b, nil },
		"gzip": func(b []byte) ([]byte, error) { return fasthttp.AppendGunzipBytes(nil, b) },
		"br":   func(b []byte) ([]byte, error) { return fasthttp.AppendUnbrotliBytes(nil, b) },
		"zstd": func(b []byte) ([]byte, error) { return fasthttp.AppendUnzstdBytes(nil, b) },
	}
	// f asks until the answer has the coding, and checks each answer.
	f := func(path, accept, want string, fields ...string) {
		t.Helper()
		e2e.Eventually(t, path+" as "+want+" for "+accept, func() bool {
			a := g.Ask("GET", path, append(fields, "Accept-Encoding: "+accept)...)
			coding := a.Get("Content-Encoding")
			b, err := decode[coding]([]byte(a.Body))
			if string(b) != text && path != "/short" || err != nil || a.Status != 200 {
				t.Fatalf("%s %q: %d, %d bytes of %s, %v", path, accept, a.Status, len(a.Body), coding, err)
			}
			if coding != "" && (!strings.Contains(strings.Join(a.Values("Vary"), ","), "Accept-Encoding") || len(a.Body) > len(text)/20) {
				t.Errorf("%s: %d bytes, %v", path, len(a.Body), a.Header)
			}
			return coding == want
		})
	}
	f("/text", "gzip", "gzip")
	f("/text", "gzip, br;q=0.1", "br")
	f("/text", "zstd, gzip", "zstd")
	f("/text", "gzip;q=0", "")
	f("/text", "", "")
	f("/text", "deflate", "")
	if a := g.Ask("GET", "/text", "Accept-Encoding: gzip", "If-None-Match: W/\"e\""); a.Status != 304 {
		t.Errorf("%+v", a)
	}
	if a := g.Ask("GET", "/text", "Accept-Encoding: gzip", "Range: bytes=5-6"); a.Status != 206 || a.Body != "is" || a.Get("Content-Encoding") != "" {
		t.Errorf("%+v", a)
	}
	if a := g.Ask("GET", "/text", "Accept-Encoding: gzip"); a.Get("ETag") != "W/\"e\"" || a.Get("Age") == "" {
		t.Errorf("%+v", a.Header)
	}
	if n := o.Count("/text"); n != 1 {
		t.Errorf("the target was asked %d times", n)
	}
	f("/vary", "gzip", "gzip", "X-Lang: de")
	f("/vary", "br", "br", "X-Lang: de")
	f("/vary", "gzip", "gzip", "X-Lang: en")
	for path, want := range map[string]string{"/image": "", "/short": "", "/never": "", "/done": "gzip"} {
		for range 3 {
			f(path, "gzip", want)
		}
	}
	// What is purged, or replaced, has no old forms.
	text = strings.ToUpper(text)
	o.On("/text", 200, text, "Cache-Control: max-age=100", "Content-Type: text/plain")
	g.Purge("tag=tag")
	f("/text", "gzip", "gzip")
	text = strings.ToLower(text)
	o.On("/text", 200, text, "Cache-Control: max-age=100", "Content-Type: text/plain")
	g.Ask("GET", "/text", "Cache-Control: no-cache")
	f("/text", "gzip", "gzip")
	f("/text", "br", "br")
	if s := g.Ask("HEAD", "/text", "Accept-Encoding: gzip"); s.Get("Content-Encoding") != "gzip" || s.Body != "" {
		t.Errorf("%+v", s)
	}
	g.Write(e2e.Cached(o.Addr, "compress = [\"lzw\"]\n"))
	if status, why := g.Reload(); status != 422 || !strings.Contains(why, "lzw") {
		t.Error(status, why)
	}
}
