//go:build !race

package cache

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCacheMinTTL: min_ttl holds for each lifetime that an answer gives itself, be it a date that has passed or that
// is none.
func TestCacheMinTTL(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "min_ttl = \"1m\"\n"))
	now := time.Now().UTC().Format(http.TimeFormat)
	for path, fields := range map[string][]string{
		"/max-age":  {"Cache-Control: max-age=0"},
		"/s-maxage": {"Cache-Control: s-maxage=0"},
		"/none":     {"Cache-Control: max-age=x"},
		"/targeted": {"CDN-Cache-Control: max-age=0", "Cache-Control: no-store"},
		"/zero":     {"Expires: 0"},
		"/minus":    {"Expires: -1"},
		"/word":     {"Expires: yesterday"},
		"/empty":    {"Expires: "},
		"/epoch":    {"Expires: Thu, 01 Jan 1970 00:00:00 GMT"},
		"/before":   {"Expires: Sat, 01 Jan 1955 00:00:00 GMT"},
		"/past":     {"Expires: Sun, 06 Nov 1994 08:49:37 GMT"},
		"/now":      {"Expires: " + now, "Date: " + now},
		"/several":  {"Expires: 0", "Expires: Sun, 06 Nov 2094 08:49:37 GMT"},
	} {
		o.On(path, 200, "body", fields...)
		g.Ask("GET", path)
		if a := g.Ask("GET", path); !a.Hit() || !a.TtlAbove(30) || a.TtlAbove(61) {
			t.Errorf("%q: %s", fields, a.Get("Cache-Status"))
		}
	}
	// An Expires of 1970 is one: no lifetime of the cache's own counts beside it.
	g.Write(e2e.Cached(o.Addr, "default_ttl = \"1h\"\nheuristic = true\n"))
	g.Reload()
	o.On("/default", 200, "body", "Expires: Thu, 01 Jan 1970 00:00:00 GMT", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT")
	g.Ask("GET", "/default")
	if a := g.Ask("GET", "/default"); a.Hit() {
		t.Errorf("beside a default: %s", a.Get("Cache-Status"))
	}
}

// TestCacheAllFields: what is stored has all fields of the answer but those that are excepted (RFC 9111 section 3.1).
func TestCacheAllFields(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	fields := []string{"Accept-Ranges: bytes", "Allow: GET", "Alt-Svc: clear", "Content-Language: de", "Content-MD5: x",
		"Content-Security-Policy: default-src 'self'", "Digest: x", "Link: </a>", "NEL: {}", "Pragma: x", "Refresh: 5",
		"Retry-After: 5", "Server: s", "Server-Timing: a", "Set-Cookie2: a=b", "SourceMap: /m", "Strict-Transport-Security: max-age=1",
		"Surrogate-Control: max-age=1", "Surrogate-Key: a", "Warning: 199 - x", "WWW-Authenticate: Basic", "X-Powered-By: p",
		"CDN-Cache-Control: max-age=100", "Vary: X-Other", "ETag: \"e\"", "Expires: 0", "Cache-Control: max-age=50",
		"No-Vary-Search: key-order", "Status: 200", "P3p: x", "Content-Disposition: inline", "Origin-Agent-Cluster: ?1"}
	o.On("/a", 200, "body", fields...)
	for _, what := range []string{"first", "stored", "head"} {
		a := g.Ask(map[string]string{"head": "HEAD"}[what], "/a")
		if a.Hit() == (what == "first") {
			t.Errorf("%s: %s", what, a.Get("Cache-Status"))
		}
		for _, f := range fields {
			if name, value, _ := strings.Cut(f, ": "); a.Get(name) != value {
				t.Errorf("%s: %s is %q, want %q", what, name, a.Values(name), value)
			}
		}
	}
}

// TestCacheStatuses: an answer with any final status is stored when it says so itself, but for those that are about one
// request alone; without that only few are (RFC 9111 section 3).
func TestCacheStatuses(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, "default_ttl = \"1h\"\nstale_if_error = \"1h\"\nstale_while_revalidate = \"1h\"\n"))
	never := map[int]bool{304: true, 206: true, 226: true, 401: true, 428: true, 429: true, 431: true, 511: true}
	guessed := map[int]bool{200: true, 203: true, 204: true, 300: true, 301: true, 308: true, 404: true, 405: true, 410: true, 501: true}
	for _, status := range []int{200, 201, 202, 203, 204, 205, 206, 226, 299, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405,
		410, 418, 421, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 511, 599} {
		for i, f := range []struct {
			field  string
			stored bool
		}{
			{"Cache-Control: max-age=100", !never[status]},
			{"Cache-Control: s-maxage=100", !never[status]},
			{"Expires: Sun, 06 Nov 2094 08:49:37 GMT", !never[status]},
			{"Cache-Control: public", !never[status]},
			{"X-Nothing: said", guessed[status]},
		} {
			path := fmt.Sprintf("/%d/%d", status, i)
			body := fmt.Sprint("body of ", status)
			if status == 204 || status == 205 {
				body = ""
			}
			o.On(path, status, body, f.field, "Location: /elsewhere")
			first := g.Ask("GET", path)
			a := g.Ask("GET", path)
			if a.Status != status || a.Body != body || first.Body != body {
				t.Errorf("%d %s: %d %q", status, f.field, a.Status, a.Body)
			}
			if a.Hit() != f.stored || first.Says("stored") != f.stored {
				t.Errorf("%d %s: %s, then %s", status, f.field, first.Get("Cache-Status"), a.Get("Cache-Status"))
			}
			if f.field == "Cache-Control: s-maxage=100" && (status == 500 || status == 503) && g.Ask("HEAD", path).Status != status {
				t.Errorf("HEAD of a stored %d", status)
			}
		}
	}
}
