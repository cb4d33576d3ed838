package hop

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// echoed answers with what the target sees, and may be stored.
func echoed(names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=100")
		for _, name := range names {
			fmt.Fprintf(w, "%s=%q ", name, r.Header[name])
		}
	}
}

// TestRepeatedFieldsCache: an empty line hides no value from the cache, and a key has every value, as the
// target sees them.
func TestRepeatedFieldsCache(t *testing.T) {
	o := e2e.NewScripted(t)
	o.Do("/cookie", echoed("Cookie"))
	o.Do("/auth", echoed("Authorization"))
	o.Do("/key", echoed("X-Lang"))
	o.Do("/sid", echoed("Cookie"))
	g := e2e.Start(t, e2e.Cached(o.Addr, "key_headers = [\"X-Lang\"]\n"))
	private := func(path string, lines ...string) {
		t.Helper()
		g.AskLines(path, lines...)
		if got := g.Ask("GET", path); !strings.Contains(got.Body, "=[]") {
			t.Errorf("%s: after %q somebody else gets %s", path, lines, got.Body)
		}
	}
	private("/cookie", "Cookie:", "Cookie: sid=1")
	private("/cookie", "Cookie: ", "Cookie: sid=1", "Cookie:")
	private("/auth", "Authorization:", "Authorization: Bearer x")
	var all sync.WaitGroup
	f := func(want string, lines ...string) {
		all.Go(func() {
			if got := g.AskLines("/key", lines...); got.Body != want {
				t.Errorf("%q: %s, want %s", lines, got.Body, want)
			}
		})
	}
	for range 3 {
		f(`X-Lang=[] `)
		f(`X-Lang=["de"] `, "X-Lang: de")
		f(`X-Lang=["de"] `, "X-Lang:", "X-Lang: de")
		f(`X-Lang=["de"] `, "X-Lang: de", "X-Lang: de")
		f(`X-Lang=["de" "en"] `, "X-Lang: de", "X-Lang: en")
		f(`X-Lang=["de" "en"] `, "X-Lang: de", "X-Lang:", "X-Lang: en")
		f(`X-Lang=["en" "de"] `, "X-Lang: en", "X-Lang: de")
		f(`X-Lang=["de, en"] `, "X-Lang: de, en")
	}
	all.Wait()
}

// TestRepeatedCookiesCache: the same of cookies that are in a key.
func TestRepeatedCookiesCache(t *testing.T) {
	o := e2e.NewScripted(t)
	o.Do("/sid", echoed("Cookie"))
	g := e2e.Start(t, e2e.Cached(o.Addr, "key_cookies = [\"sid\"]\n"))
	var all sync.WaitGroup
	f := func(want string, lines ...string) {
		all.Go(func() {
			if got := g.AskLines("/sid", lines...); got.Body != "Cookie="+want+" " {
				t.Errorf("%q: %s, want %s", lines, got.Body, want)
			}
		})
	}
	for range 3 {
		f(`[]`)
		f(`["sid=a"]`, "Cookie: sid=a")
		f(`["sid=a"]`, "Cookie:", "Cookie: x=1; sid=a")
		f(`["sid=a"]`, "Cookie: sid=; sid=a")
		f(`["sid=a"]`, "Cookie: x=1", "Cookie: sid=a")
		f(`["sid=a; sid=b"]`, "Cookie: sid=a", "Cookie: sid=b")
		f(`["sid=b; sid=a"]`, "Cookie: sid=b; sid=a")
	}
	all.Wait()
}

// TestRepeatedFieldsRoutes: a condition on a field looks at all of its lines, one on the query at all
// parameters of the name; keys by which clients are spread are made of all of them.
func TestRepeatedFieldsRoutes(t *testing.T) {
	route := func(name, keys string) string {
		return fmt.Sprintf("[[route]]\npath = \"/\"\n%s\nrespond = { status = 200, body = %q }\n", keys, name)
	}
	g := e2e.Start(t, "[[listener]]\naddress = \"{{addr}}\"\n"+
		route("absent", `headers = { "X-Debug" = "!", "X-Only" = "*" }`)+
		route("exact", `headers = { "X-Kind" = "a" }`)+
		route("pattern", `headers = { "X-Kind" = "~b+" }`)+
		route("query", `query = { "k" = "1" }`)+
		route("rest", ""))
	f := func(want, target string, lines ...string) {
		t.Helper()
		if got := g.AskLines(target, lines...); got.Body != want {
			t.Errorf("%s %q: %s, want %s", target, lines, got.Body, want)
		}
	}
	f("absent", "/", "X-Only:", "X-Only: 1")
	f("absent", "/", "X-Only: 1", "X-Debug:", "X-Debug: ")
	f("rest", "/", "X-Only: 1", "X-Debug:", "X-Debug: 1")
	f("rest", "/", "X-Only:", "X-Only:")
	f("exact", "/", "X-Kind:", "X-Kind: a")
	f("exact", "/", "X-Kind: x", "X-Kind: a")
	f("pattern", "/", "X-Kind: x", "X-Kind:", "X-Kind: bb")
	f("query", "/?k=2&k=1")
	f("query", "/?k&%6b=%31")
}

// TestRepeatedFieldsPools: a hash is made of every value, and a sticky cookie is found in any line.
func TestRepeatedFieldsPools(t *testing.T) {
	targets := make([]string, 8)
	for i := range targets {
		targets[i] = fmt.Sprintf("%q", strings.TrimPrefix(e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, i)
		}), "http://"))
	}
	list := "targets = [" + strings.Join(targets, ", ") + "]\n"
	g := e2e.Start(t, "[[listener]]\naddress = \"{{addr}}\"\n"+
		"[pool.hash]\nbalance = \"consistent_hash\"\nhash_key = \"header:X-User\"\n"+list+
		"[pool.stuck]\n"+list+"[pool.stuck.sticky]\ncookie = \"at\"\n"+
		"[[route]]\npath = \"/hash\"\npool = \"hash\"\n[[route]]\npath = \"/stuck\"\npool = \"stuck\"\n")
	for _, user := range []string{"alice", "bob", "carol", "dave", "eve"} {
		want := g.AskLines("/hash", "X-User: "+user).Body
		for _, lines := range [][]string{{"X-User:", "X-User: " + user}, {"X-User: " + user, "X-User: " + user}} {
			if got := g.AskLines("/hash", lines...).Body; got != want {
				t.Errorf("%q: target %s, want %s", lines, got, want)
			}
		}
	}
	for range 8 {
		first := g.AskLines("/stuck")
		cookie, _, _ := strings.Cut(first.Header.Get("Set-Cookie"), ";")
		for _, lines := range [][]string{
			{"Cookie:", "Cookie: " + cookie}, {"Cookie: a=1", "Cookie: b=2; " + cookie}, {"Cookie: at=; " + cookie},
		} {
			if got := g.AskLines("/stuck", lines...).Body; got != first.Body {
				t.Errorf("%q: target %s, want %s", lines, got, first.Body)
			}
		}
	}
}
