//go:build !race

package cache

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCacheCurl: curl gets from the cache what it asks for: by tag and date, in parts, and encoded, where it decodes with
// libraries that are not ours.
func TestCacheCurl(t *testing.T) {
	e2e.Needs(t, "curl")
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "compress = [\"zstd\", \"br\", \"gzip\"]\n"))
	text := strings.Repeat("All that glitters is not gold. ", 3000)
	o.On("/a", 200, text, "Cache-Control: max-age=100", "Content-Type: text/plain", "ETag: \"e\"", "Last-Modified: Mon, 02 Nov 2026 10:00:00 GMT")
	tags := filepath.Join(t.TempDir(), "tags")
	curl := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("curl", append([]string{"-sS", "-w", "\n%{http_code}"}, append(args, "http://"+g.Addr+"/a")...)...).Output()
		if err != nil {
			t.Fatalf("curl %q: %v", args, err)
		}
		return string(out)
	}
	f := func(want string, args ...string) {
		t.Helper()
		if got := curl(args...); got != want {
			t.Errorf("curl %q: %d bytes %.60q, want %.60q", args, len(got), got, want)
		}
	}
	f(text+"\n200", "--etag-save", tags)
	if b, err := os.ReadFile(tags); err != nil || strings.TrimSpace(string(b)) != `"e"` {
		t.Errorf("%q %v", b, err)
	}
	f("\n304", "--etag-compare", tags)
	f("\n304", "-z", "Tue, 03 Nov 2026 10:00:00 GMT")
	f(text+"\n200", "-z", "Sun, 01 Nov 2026 10:00:00 GMT")
	f("that\n206", "-r", "4-7")
	f("gold. \n206", "-r", "-6")
	if head := curl("-I"); !strings.Contains(head, fmt.Sprint("Content-Length: ", len(text))) || !strings.HasSuffix(head, "200") {
		t.Error(head)
	}
	for _, coding := range []string{"gzip", "br", "zstd"} {
		e2e.Eventually(t, coding+" is made", func() bool {
			head := curl("-I", "-H", "Accept-Encoding: "+coding)
			return strings.Contains(strings.ToLower(head), "content-encoding: "+coding)
		})
		f(text+"\n200", "--compressed", "-H", "Accept-Encoding: "+coding)
	}
	if n := o.Count("/a"); n != 1 {
		t.Errorf("the target was asked %d times", n)
	}
}

// TestCacheBrowser replays what browsers send: a page, the same again, a reload, a reload without the browser's cache, and
// a film in parts.
func TestCacheBrowser(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "cookies = \"ignore\"\n"))
	film := strings.Repeat("0123456789", 40_000)
	o.Do("/film", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("ETag", `"film"`)
		w.Header().Set("Content-Type", "video/mp4")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(film))
	})
	o.Do("/page", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Vary", "Accept-Encoding")
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(304)
			return
		}
		fmt.Fprint(w, "page")
	})
	chrome := []string{"Connection: keep-alive", "sec-ch-ua-mobile: ?0", "Upgrade-Insecure-Requests: 1", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "Sec-Fetch-Mode: navigate",
		"Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en-US,en;q=0.9", "Cookie: session=1"}
	f := func(what, path string, status, asked int, want string, fields ...string) *e2e.Got {
		t.Helper()
		a := g.Ask("GET", path, append(fields, chrome...)...)
		if a.Status != status || a.Body != want || o.Count(path) != asked {
			t.Errorf("%s: %d, %d bytes, the target was asked %d times (%s)", what, a.Status, len(a.Body), o.Count(path), a.Get("Cache-Status"))
		}
		return &a
	}
	f("the page", "/page", 200, 1, "page")
	f("another browser", "/page", 200, 1, "page")
	f("when it is stale in the browser", "/page", 304, 1, "", `If-None-Match: "v1"`)
	f("a reload", "/page", 304, 2, "", "Cache-Control: max-age=0", `If-None-Match: "v1"`)
	f("a reload past the browser's cache", "/page", 200, 3, "page", "Pragma: no-cache", "Cache-Control: no-cache")

	a := f("a film", "/film", 206, 1, film, "Range: bytes=0-", "Accept-Encoding: identity;q=1, *;q=0")
	if a.Get("Content-Range") != "bytes 0-399999/400000" {
		t.Error(a.Header)
	}
	f("a jump", "/film", 206, 1, film[300_000:], "Range: bytes=300000-", `If-Range: "film"`)
	f("a jump in another film", "/film", 200, 1, film, "Range: bytes=300000-", `If-Range: "older"`)
	f("its end", "/film", 206, 1, film[399_999:], "Range: bytes=399999-", `If-Range: "film"`)
	f("beyond", "/film", 416, 1, "", "Range: bytes=400000-")
}
