package cache

import (
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// trusting has the gateway believe the proxies on this machine, which all clients of tests are.
const trusting = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n"

// seenFields answers with all that the target sees of a request, but for what is of the connection, and may be stored.
func seenFields(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=100")
	var all []string
	for name, values := range r.Header {
		if name != "X-Request-Id" {
			all = append(all, fmt.Sprintf("%s=%q", name, values))
		}
	}
	sort.Strings(all)
	fmt.Fprint(w, r.Method, " ", r.Host, r.RequestURI, " ", all)
}

// TestCacheUnkeyedFields: of two clients that ask at once for what has one key, neither decides by a field what the
// other gets, whatever way the field is written.
func TestCacheUnkeyedFields(t *testing.T) {
	o := e2e.NewScripted(t)
	names := []string{"X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-User", "X-Real-IP",
		"Forwarded", "Forwarded-Host", "X-Original-URL", "X-Rewrite-URL", "X-Original-Uri", "X-HTTP-Host-Override", "X-Scheme",
		"X-URL-Scheme", "Front-End-Https", "Proxy", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Host",
		"X-Original-Host", "X-ProxyUser-Ip", "True-Client-IP", "CF-Connecting-IP", "CF-Visitor", "X-Override-URL", "Base-Url",
		"Request-Uri", "X-WAP-Profile", "Destination", "Translate", "Remote-User", "X-Middleware-Prefetch",
		"X_Forwarded_Host", "X.Forwarded.Host", "X_Forwarded_For", "x_real_ip", "X--Original--URL", "XOriginalURL", "X_Forwarded-Proto",
		"Accept_Encoding", "Accept.Language", "Co_okie", "Authorization_", "X_Other"}
	for i := range names {
		o.Do(fmt.Sprint("/", i), seenFields)
	}
	for _, who := range []string{"", trusting} {
		g := e2e.Start(t, who+e2e.Cached(o.Addr, ""))
		var all sync.WaitGroup
		for i, name := range names {
			path := fmt.Sprint("/", i)
			var bodies [2]string
			var both sync.WaitGroup
			for n := range bodies {
				both.Go(func() {
					lines := []string{"X-Forwarded-For: 6.6.6.6"}
					if n == 0 {
						lines = []string{name + ": evil", "X-Forwarded-For: 7.7.7.7, 1.1.1.1"}
					}
					bodies[n] = g.AskLines(path, lines...).Body
				})
			}
			all.Go(func() {
				both.Wait()
				if bodies[0] != bodies[1] || strings.Contains(bodies[0], "evil") ||
					strings.Contains(bodies[0], "7.7.7.7") || !strings.HasPrefix(bodies[0], "GET example.com/") {
					t.Errorf("%s: %s and %s", name, bodies[0], bodies[1])
				}
			})
		}
		all.Wait()
		// What is passed on keeps what it has.
		if a := g.Ask("POST", "/0", "X-Original-Url: /x", "True-Client-Ip: 1.1.1.1"); !strings.Contains(a.Body, `X-Original-Url=["/x"]`) ||
			!strings.Contains(a.Body, "True-Client-Ip") || !strings.Contains(a.Body, "X-Forwarded-For") {
			t.Errorf("POST: %s", a.Body)
		}
		if a := g.AskLines("/0", "Cookie: a=b", "X-Original-Url: /x"); !strings.Contains(a.Body, "X-Original-Url") {
			t.Errorf("passed by: %s", a.Body)
		}
	}
}

// TestCacheKeyedFields: what a trusted proxy says is the host, and fields that are in the key by
// configuration, reach the target, and only clients that send the same get its answer.
func TestCacheKeyedFields(t *testing.T) {
	o := e2e.NewScripted(t)
	o.Do("/a", seenFields)
	g := e2e.Start(t, trusting+e2e.Cached(o.Addr, "key_headers = [\"X-Real-IP\", \"Accept-Language\"]\n"))
	var all sync.WaitGroup
	f := func(want []string, lines ...string) {
		all.Go(func() {
			a := g.AskLines("/a", lines...)
			for _, w := range want {
				if !strings.Contains(a.Body, w) {
					t.Errorf("%q: %s, want %s", lines, a.Body, w)
				}
			}
		})
	}
	host := func(h string) string { return fmt.Sprintf("X-Forwarded-Host=[%q]", h) }
	for range 3 {
		f([]string{host("example.com")})
		f([]string{host("example.com")}, "X-Forwarded-Host: EXAMPLE.com:80")
		f([]string{host("a.example")}, "X-Forwarded-Host: a.example")
		f([]string{host("a.example")}, "X-Forwarded-Host: A.EXAMPLE")
		f([]string{host("b.example:81")}, "X-Forwarded-Host: b.example:81")
		f([]string{host("a.example"), "X-Forwarded-Proto=[\"https\"]"}, "X-Forwarded-Host: a.example:443", "X-Forwarded-Proto: https")
		f([]string{host("example.com"), `X-Real-Ip=["1.1.1.1"]`}, "X-Real-IP: 1.1.1.1", "X_Real_IP: 2.2.2.2")
		f([]string{host("example.com"), `X-Real-Ip=["2.2.2.2"]`}, "X-Real-IP: 2.2.2.2")
		f([]string{`Accept-Language=["de, en;q=0.5"]`}, "Accept-Language: EN;q=0.5 , en;q=0.50", "Accept-Language: DE;q=1.0")
	}
	all.Wait()
	if n := o.Count("/a"); n > 8 {
		t.Errorf("the target was asked %d times", n)
	}
}

// TestCacheOneHost: hosts that are the same have one answer, for which the target is asked in one way.
func TestCacheOneHost(t *testing.T) {
	o := e2e.NewScripted(t)
	o.Do("/a", seenFields)
	g := e2e.Start(t, trusting+e2e.Cached(o.Addr, ""))
	var all sync.WaitGroup
	for _, host := range []string{"h.example", "H.Example:80", "h.example.", "h.EXAMPLE.:80"} {
		all.Go(func() {
			if a := g.Ask("GET", "/a", "Host: "+host); !strings.HasPrefix(a.Body, "GET h.example/a ") {
				t.Errorf("%s: %s", host, a.Body)
			}
		})
	}
	all.Wait()
	if n := o.Count("/a"); n != 1 {
		t.Errorf("the target was asked %d times", n)
	}
	f := func(asked int, host, proto string) {
		t.Helper()
		n := o.Count("/a")
		if g.Ask("GET", "/a", "Host: "+host, "X-Forwarded-Proto: "+proto); o.Count("/a") != n+asked {
			t.Errorf("%s %s: the target was asked %d times more", proto, host, o.Count("/a")-n)
		}
	}
	f(1, "h.example:443", "http")
	f(1, "h.example", "https")
	f(0, "h.example:443", "https")
	f(1, "h.example:80", "https")
	f(1, "h.example:8", "http")
}

// TestCacheOnePreference: what clients prefer counts by what it says, not by how it is written, and the target reads it
// in one form.
func TestCacheOnePreference(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	f := func(field, want string, forms ...[]string) {
		t.Helper()
		path := "/" + field + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' {
				return r
			}
			return -1
		}, want)
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=100")
			w.Header().Set("Vary", field)
			fmt.Fprintf(w, "%q", r.Header.Values(field))
		})
		for _, lines := range forms {
			for i := range lines {
				lines[i] = field + ": " + lines[i]
			}
		}
		var all sync.WaitGroup
		for _, lines := range forms {
			all.Go(func() {
				if a := g.AskLines(path, lines...); a.Body != want {
					t.Errorf("%q: %s, want %s", lines, a.Body, want)
				}
			})
		}
		all.Wait()
		n := o.Count(path)
		for _, lines := range forms {
			if g.AskLines(path, lines...); o.Count(path) != n {
				t.Errorf("%q: what is stored for the same is not found", lines)
			}
		}
	}
	f("Accept-Language", `["de, en;q=0.8"]`, []string{"de,en;q=0.8"}, []string{"EN;Q=0.80, DE"}, []string{"en ; q=0.800", "de;q=1.000"},
		[]string{"", " ,de ;q=1,, en;q=0.8,de"})
	f("Accept-Language", `["de, fr"]`, []string{"de, fr"}, []string{"fr,de"}, []string{"FR;q=1.0", "de"})
	f("Accept", `["application/json, text/*;q=0.5, */*;q=0.1"]`, []string{"application/json,text/*;q=0.5,*/*;q=0.1"},
		[]string{"*/*;q=0.1, Text/*;Q=0.5", "APPLICATION/json"})
	f("Accept-Charset", `["utf-8"]`, []string{"UTF-8"}, []string{"utf-8;q=1"})
	f("Accept-Encoding", `["br, gzip"]`, []string{"gzip, deflate, br"}, []string{"BR;q=0.1", "x-gzip"}, []string{"br , zstd;q=0.0,gzip;q=1"})
	f("Accept-Encoding", `["identity"]`, []string{"deflate"}, []string{"gzip;q=0"}, []string{"identity", "*;q=0"}, nil)
}
