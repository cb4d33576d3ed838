package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestCacheCompress: encoded forms are made when they are wanted, are what the body was, and go with it.
func TestCacheCompress(t *testing.T) {
	o := newScripted(t)
	g := start(t, cached(o.addr, "compress = [\"br\", \"zstd\", \"gzip\"]\n"))
	text := strings.Repeat("What is said three times is true. ", 5000)
	o.on("/text", 200, text, "Cache-Control: max-age=100", "Content-Type: text/plain; charset=utf-8", "ETag: \"e\"", "Surrogate-Key: tag")
	o.on("/vary", 200, text, "Cache-Control: max-age=100", "Content-Type: application/ld+json", "Vary: X-Lang")
	o.on("/image", 200, text, "Cache-Control: max-age=100", "Content-Type: image/png")
	o.on("/short", 200, "short", "Cache-Control: max-age=100", "Content-Type: text/plain")
	o.on("/never", 200, text, "Cache-Control: max-age=100, no-transform", "Content-Type: text/plain")
	o.do("/done", func(w http.ResponseWriter, r *http.Request) {
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
		eventually(t, path+" as "+want+" for "+accept, func() bool {
			a := g.ask("GET", path, append(fields, "Accept-Encoding: "+accept)...)
			coding := a.Get("Content-Encoding")
			b, err := decode[coding]([]byte(a.body))
			if string(b) != text && path != "/short" || err != nil || a.status != 200 {
				t.Fatalf("%s %q: %d, %d bytes of %s, %v", path, accept, a.status, len(a.body), coding, err)
			}
			if coding != "" && (!strings.Contains(strings.Join(a.Values("Vary"), ","), "Accept-Encoding") || len(a.body) > len(text)/20) {
				t.Errorf("%s: %d bytes, %v", path, len(a.body), a.Header)
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
	if a := g.ask("GET", "/text", "Accept-Encoding: gzip", "If-None-Match: W/\"e\""); a.status != 304 {
		t.Errorf("%+v", a)
	}
	if a := g.ask("GET", "/text", "Accept-Encoding: gzip", "Range: bytes=5-6"); a.status != 206 || a.body != "is" || a.Get("Content-Encoding") != "" {
		t.Errorf("%+v", a)
	}
	if a := g.ask("GET", "/text", "Accept-Encoding: gzip"); a.Get("ETag") != "W/\"e\"" || a.Get("Age") == "" {
		t.Errorf("%+v", a.Header)
	}
	if n := o.count("/text"); n != 1 {
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
	o.on("/text", 200, text, "Cache-Control: max-age=100", "Content-Type: text/plain")
	g.purge("tag=tag")
	f("/text", "gzip", "gzip")
	text = strings.ToLower(text)
	o.on("/text", 200, text, "Cache-Control: max-age=100", "Content-Type: text/plain")
	g.ask("GET", "/text", "Cache-Control: no-cache")
	f("/text", "gzip", "gzip")
	f("/text", "br", "br")
	if s := g.ask("HEAD", "/text", "Accept-Encoding: gzip"); s.Get("Content-Encoding") != "gzip" || s.body != "" {
		t.Errorf("%+v", s)
	}
	g.write(cached(o.addr, "compress = [\"lzw\"]\n"))
	if status, why := g.reload(); status != 422 || !strings.Contains(why, "lzw") {
		t.Error(status, why)
	}
}
