package cache

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCacheEachClientAsks: an answer that must not be used without asking (RFC 9111 section 5.2.2.4) is the
// answer of the one who asked, though others wait for it; so is the 304 by which it is confirmed.
func TestCacheEachClientAsks(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	const n = 12
	f := func(path, directives string, stored, refuse bool) {
		t.Helper()
		gate := make(chan struct{})
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			who := r.Header.Get("X-Api-Key")
			w.Header().Set("Cache-Control", directives)
			if who == "first" {
				w.Header().Set("ETag", `"v"`)
				_, _ = io.WriteString(w, "first") // the gateway may have gone
				return
			}
			<-gate
			if refuse && who != "client 0" {
				w.Header().Del("Cache-Control")
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.Header().Set("ETag", `"v"`)
			if r.Header.Get("If-None-Match") == `"v"` && refuse {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("ETag", fmt.Sprintf("%q", who))
			_, _ = io.WriteString(w, who) // as above
		})
		if stored {
			had := g.Metric("penstock_cache_entries")
			g.AskLines(path, "X-Api-Key: first")
			e2e.Eventually(t, "it is stored", func() bool { return g.Metric("penstock_cache_entries") > had })
		}
		opened := g.Metric(`penstock_connections{listener="main"}`)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				who := fmt.Sprint("client ", i)
				got := g.AskLines(path, "X-Api-Key: "+who)
				switch {
				case refuse && i > 0:
					if got.StatusCode != 403 {
						t.Errorf("%s: %s got %d %q, %s", path, who, got.StatusCode, got.Body, got.Header.Get("Cache-Status"))
					}
				case refuse:
					if got.StatusCode != 200 || got.Body != "first" {
						t.Errorf("%s: %s got %d %q, %s", path, who, got.StatusCode, got.Body, got.Header.Get("Cache-Status"))
					}
				case got.Body != who:
					t.Errorf("%s: %s got %q, %s", path, who, got.Body, got.Header.Get("Cache-Status"))
				}
			})
		}
		g.Gated(gate, opened+n)
		all.Wait()
	}
	for i, directives := range []string{"no-cache", "max-age=0, must-revalidate", "max-age=0", "no-cache, max-age=100",
		"s-maxage=0", "public, no-cache=\"\""} {
		f(fmt.Sprint("/miss/", i), directives, false, false)
		f(fmt.Sprint("/stored/", i), directives, true, false)
		f(fmt.Sprint("/refused/", i), directives, true, true)
	}
}

// TestCacheClientWantsItNew: a client that wants an answer newer than any (RFC 9111 section 5.2.1.4) does not get
// one that was asked for before it came.
func TestCacheClientWantsItNew(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	gate := make(chan struct{})
	arrived := make(chan struct{}, 10)
	o.Do("/a", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		if r.Header.Get("Cache-Control") == "" {
			arrived <- struct{}{}
			<-gate
			_, _ = io.WriteString(w, "old") // the gateway may have gone
			return
		}
		_, _ = io.WriteString(w, "new") // as above
	})
	done := make(chan string)
	go func() { done <- g.AskLines("/a").Body }()
	<-arrived
	for at := time.Now(); time.Since(at) < 2*time.Millisecond; { // a cache tells times apart by milliseconds
	}
	if got := g.AskLines("/a", "Cache-Control: no-cache"); got.Body != "new" {
		t.Errorf("no-cache got %q", got.Body)
	}
	close(gate)
	if got := <-done; got != "old" {
		t.Errorf("the first got %q", got)
	}
	// What was asked for later stays, though it came first.
	if got := g.AskLines("/a"); got.Body != "new" {
		t.Errorf("stored is %q", got.Body)
	}
}

// TestCacheRefusalChangesNothing: what the target says to one client's request alone neither evicts what is
// stored nor keeps the next answer from being stored.
func TestCacheRefusalChangesNothing(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	f := func(status int, fields ...string) {
		t.Helper()
		path := fmt.Sprintf("/%d/%d", status, len(fields))
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Shape") != "" {
				for _, f := range fields {
					name, value, _ := strings.Cut(f, ": ")
					w.Header().Set(name, value)
				}
				w.WriteHeader(status)
				return
			}
			w.Header().Set("Cache-Control", "max-age=100")
			w.Header().Set("ETag", `"v"`)
			_, _ = io.WriteString(w, "good") // the gateway may have gone
		})
		// On nothing: the next ordinary answer is stored.
		if status >= 400 && status != 404 && status != 410 {
			g.Ask("GET", path+"?new", "X-Shape: odd")
			g.Ask("GET", path+"?new")
			if got := g.Ask("GET", path+"?new"); got.Status != 200 || !strings.Contains(got.Get("Cache-Status"), "; hit") {
				t.Errorf("%s: after a refusal of nothing stored: %d, %s", path, got.Status, got.Get("Cache-Status"))
			}
		}
		// On what is stored and fresh: it stays.
		g.Ask("GET", path)
		if got := g.Ask("GET", path, "X-Shape: odd", "Cache-Control: no-cache"); got.Status != status && status != 304 {
			t.Errorf("%s: who is refused got %d", path, got.Status)
		}
		if got := g.Ask("GET", path); got.Status != 200 || !strings.Contains(got.Get("Cache-Status"), "; hit") {
			t.Errorf("%s: after a refusal of what is stored: %d, %s", path, got.Status, got.Get("Cache-Status"))
		}
	}
	for _, status := range []int{400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421,
		422, 429, 431, 451, 500, 501, 502, 503, 504} {
		f(status)
	}
	f(403, "Cache-Control: no-store")
	f(200, "Cache-Control: private")
	f(200, "Cache-Control: max-age=100", "Set-Cookie: sid=1")
	f(302, "Cache-Control: no-store", "Location: /login", "Set-Cookie: sid=1")
	f(304, "Cache-Control: private")
}

// TestCacheStaleForAll: when the target fails, all clients that may have the stale answer get it, whatever
// way they have asked (RFC 5861 section 4).
func TestCacheStaleForAll(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, strings.Replace(e2e.Cached(o.Addr, "wait_timeout = \"50ms\"\n"), "16MiB", "4MiB", 1))
	gate := make(chan struct{})
	arrived := make(chan struct{}, 100)
	fails := func(path, directives string) {
		o.On(path, 200, "good", "Cache-Control: "+directives, "Age: 1", "ETag: \"v\"") // stale at once
		g.AskLines(path)
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-gate
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	}
	good := func(what string, got *e2e.Reply) {
		t.Helper()
		if got.StatusCode >= 300 || got.Body != "good" || !strings.Contains(got.Header.Get("Cache-Status"), "stale-if-error") {
			t.Errorf("%s: %d %q, %s", what, got.StatusCode, got.Body, got.Header.Get("Cache-Status"))
		}
	}
	const wants = "Cache-Control: stale-if-error=1000"

	// The clients that wait may have it, the one that asks may not. The wait has a bound of its own.
	fails("/own", "max-age=1")
	first := make(chan *e2e.Reply)
	go func() { first <- g.AskLines("/own") }()
	<-arrived
	good("after wait_timeout", g.AskLines("/own", wants))
	second := make(chan *e2e.Reply)
	go func() { second <- g.AskLines("/own", "Cache-Control: stale-if-error=1000") }()
	close(gate)
	good("when the fetch has failed", <-second)
	if got := <-first; got.StatusCode != 503 {
		t.Errorf("who may not have it got %d", got.StatusCode)
	}

	// A part with credentials, and one that is fetched while too much else is.
	fails("/part", "max-age=1, stale-if-error=1000, public")
	fails("/many", "max-age=1, stale-if-error=1000")
	good("a part with credentials", g.AskLines("/part", "Authorization: Basic eA==", "Range: bytes=0-3"))
	good("the whole with credentials", g.AskLines("/part", "Authorization: Basic eA=="))
	held := make(chan struct{})
	defer close(held)
	for i := range 3 {
		path := fmt.Sprint("/large/", i)
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=100")
			_, _ = w.Write(make([]byte, 700<<10)) // the gateway may have gone
			w.(http.Flusher).Flush()
			<-held
		})
		go g.Slowly(path)
	}
	e2e.Eventually(t, "much is being fetched", func() bool {
		return g.Metric(`penstock_cache_fetch_bytes{cache="main"}`) > 1<<20
	})
	good("while too much is being fetched", g.AskLines("/many"))
}

// TestCacheSlowReaders: clients that read slowly what has been fetched and stored do not keep others from the
// cache, and get every byte.
func TestCacheSlowReaders(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, strings.Replace(e2e.Cached(o.Addr, "max_object = \"8MiB\"\n"), "16MiB", "64MiB", 1))
	body := make([]byte, 15<<19) // 7.5 MiB
	for i := range body {
		body[i] = byte(i*7 + i>>8 + i>>16)
	}
	want := sha256.Sum256(body)
	const n = 6
	var clients []net.Conn
	for i := range n {
		path := fmt.Sprint("/large/", i)
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=100")
			w.Header().Set("ETag", `"v"`) // what is forgotten meanwhile can be asked for
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		})
		clients = append(clients, g.Slowly(path))
		e2e.Eventually(t, "it is stored, beside readers of others", func() bool {
			return g.Ask("HEAD", path, "Host: example.com", "Cache-Control: only-if-cached").Status == 200
		})
	}
	o.On("/small", 200, "small", "Cache-Control: max-age=100")
	if got := g.Ask("GET", "/small"); !strings.Contains(got.Get("Cache-Status"), "stored") {
		t.Errorf("beside readers of finished bodies: %s", got.Get("Cache-Status"))
	}
	if most := 16 << 20; g.Metric("penstock_cache_reading_bytes") > float64(most) {
		t.Errorf("%v bytes are kept for slow readers", g.Metric("penstock_cache_reading_bytes"))
	}
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			k := e2e.NewRawClient(t, c)
			got := k.Answer("GET")
			if sum := sha256.Sum256([]byte(got.Body)); sum != want || got.Err != nil {
				t.Errorf("client %d: %d bytes, %v, or wrong ones", i, len(got.Body), got.Err)
			}
		})
	}
	all.Wait()
	e2e.Eventually(t, "nothing is kept", func() bool { return g.Metric("penstock_cache_reading_bytes") == 0 })
}

// TestCacheConfirmedForOthers: a 304 that says by Vary that the answer depends on other fields of the request than
// was known makes what is stored the answer of nobody else (RFC 9111 sections 3.2 and 4.1).
func TestCacheConfirmedForOthers(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Cached(o.Addr, ""))
	for i, vary := range []string{"X-U", "X-U, X-V", "*"} {
		path := fmt.Sprint("/", i)
		o.Do(path, func(w http.ResponseWriter, r *http.Request) {
			who := r.Header.Get("X-U")
			w.Header().Set("ETag", `"1"`)
			if r.Header.Get("If-None-Match") == `"1"` && who == "a" {
				w.Header().Set("Cache-Control", "max-age=60")
				w.Header().Set("Vary", vary)
				w.WriteHeader(http.StatusNotModified)
				return
			}
			w.Header().Set("Cache-Control", "max-age=1")
			w.Header().Set("Age", "1")           // stale at once
			_, _ = io.WriteString(w, "for "+who) // the gateway may have gone
		})
		for range 2 {
			if got := g.Ask("GET", path, "X-U: a"); got.Body != "for a" {
				t.Errorf("%s: a got %q", path, got.Body)
			}
		}
		if got := g.Ask("GET", path, "X-U: b"); got.Body != "for b" {
			t.Errorf("Vary: %s: b got %q, %s", vary, got.Body, got.Get("Cache-Status"))
		}
	}
}
