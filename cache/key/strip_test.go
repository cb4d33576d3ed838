package key

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/edge"
)

// stripped returns the fields of a fetch for a request, in the order of their names.
func stripped(r *Rules, x *edge.Exchange) (y *edge.Exchange, lines string) {
	y = new(edge.Exchange)
	x.Fork(y, nil)
	r.Strip(y)
	var all []string
	for name := range y.Req.Each() {
		all = append(all, string(name)+": "+string(y.Req.Get(string(name))))
	}
	slices.Sort(all)
	return y, strings.Join(all, "\n")
}

// TestStrip: a fetch sends what the key has, in the form that all have who share it.
func TestStrip(t *testing.T) {
	f := func(r *Rules, want string, fields ...string) {
		t.Helper()
		if _, got := stripped(r, cachetest.Request("/a", fields...)); got != want {
			t.Errorf("%q: %q, want %q", fields, got, want)
		}
	}
	plain := keyedBy()
	f(plain, "Accept-Encoding: identity")
	f(plain, "Accept-Encoding: br, gzip", "Accept-Encoding: gzip;q=0.2, deflate, BR")
	f(plain, "Accept-Encoding: identity\nAccept: a/b, c/d;q=0.5", "Accept: C/d;q=0.50 , A/b;q=1")
	f(plain, "Accept-Encoding: identity", "Accept: ", "Accept-Language: ,", "Range: bytes=0-0", "If-None-Match: x", "X-Original-Url: /b")
	f(plain, "Accept-Encoding: identity\nX-Some: 1", "X-Some: 1", "X_Some: 2", "X-Real-Ip: 1.1.1.1")
	f(plain, "Accept-Encoding: identity\nCache-Control: no-cache", "Cache-Control: no-cache")
	deaf := keyedBy()
	deaf.IgnoreNoCache = true
	f(deaf, "Accept-Encoding: identity\nCache-Control: only-if-cached", "Cache-Control: no-cache, only-if-cached", "Cache-Control: max-age=0", "Pragma: no-cache")
	f(deaf, "Accept-Encoding: identity", "Cache-Control: no-cache")
}

// TestStripClient: what is sent of the client's address is who asks, as the gateway believes it, unless that is a part of
// the key.
func TestStripClient(t *testing.T) {
	f := func(r *Rules, client, want string, said ...string) {
		t.Helper()
		x := cachetest.Request("/a")
		for _, v := range said {
			x.Req.Add("X-Forwarded-For", v)
		}
		if client != "" {
			x.Client = netip.MustParseAddr(client)
		}
		y, _ := stripped(r, x)
		var got []string
		for v := range y.Req.All("X-Forwarded-For") {
			got = append(got, string(v))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q from %s: %q, want %q", said, client, got, want)
		}
	}
	f(keyedBy(), "192.0.2.1", "", []string{}...)
	f(keyedBy(), "192.0.2.1", "192.0.2.1", "203.0.113.9, 192.0.2.1")
	f(keyedBy(), "::ffff:192.0.2.1", "192.0.2.1", "a", "b")
	f(keyedBy(), "2001:db8::1", "2001:db8::1", "a")
	f(keyedBy("X-Forwarded-For"), "192.0.2.1", "203.0.113.9", "203.0.113.9")
}

// TestStripCookies: the cookies of a fetch are those in the key, in the order of that.
func TestStripCookies(t *testing.T) {
	r := keyedBy()
	r.Cookies = [][]byte{[]byte("b"), []byte("a")}
	f := func(cookie, want string) {
		t.Helper()
		x := cachetest.Request("/a", "Cookie: "+cookie)
		x.KeepRaw(nil, false, []byte(cookie), nil)
		y, _ := stripped(r, x)
		if got := string(y.Req.Get("Cookie")); got != want || string(y.Cookie) != want {
			t.Errorf("%q: %q and %q, want %q", cookie, got, y.Cookie, want)
		}
		text, _ := r.Append(nil, x, "r")
		again, _ := r.Append(nil, y, "r")
		if !bytes.Equal(text, again) {
			t.Errorf("%q: the key of the fetch is %q, of the request %q", cookie, again, text)
		}
	}
	f("a=1; b=2", "b=2; a=1")
	f("c=3", "")
	f("b=2; c=3; b=4", "b=2; b=4")
	f("a=", "")
}

// TestSharesKey: a fetch has the key of the request that it is for, whatever that is, so that what comes of it is for
// those that share the key.
func TestSharesKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := keyedBy("X-Tenant", "Accept")
		r.SortQuery = rapid.Bool().Draw(t, "sorts")
		if rapid.Bool().Draw(t, "drops") {
			r.QueryDrop = []string{"d*"}
		}
		fields := rapid.SliceOfN(rapid.SampledFrom([]string{"X-Tenant: a", "X-Tenant: b", "X-Tenant: ", "x-tenant: a", "Accept: B, a;q=0.5", "Accept: a",
			"X-Forwarded-Host: Other:80", "X-Forwarded-Proto: https", "Range: bytes=0-0", "Accept-Encoding: gzip"}), 0, 5).Draw(t, "fields")
		x := cachetest.Request("/a"+rapid.SampledFrom([]string{"", "?", "?b=1&a=2", "?d=1", "?d=1&a=1", "?&&"}).Draw(t, "query"), fields...)
		x.Trusted = rapid.Bool().Draw(t, "trusted")
		y, _ := stripped(r, x)
		text, _ := r.Append(nil, x, "r")
		again, _ := r.Append(nil, y, "r")
		if !bytes.Equal(text, again) {
			t.Fatalf("%q: the fetch has %q, the request %q", fields, again, text)
		}
		twice, _ := stripped(r, y)
		if third, _ := r.Append(nil, twice, "r"); !bytes.Equal(third, text) {
			t.Fatalf("stripped twice it has %q", third)
		}
	})
}

// TestVariant: values of different fields and lines never make the same key.
func TestVariant(t *testing.T) {
	of := func(vary string, fields ...string) string {
		b, encoded := AppendVariant([]byte("k"), []byte(vary), cachetest.Request("/a", fields...), accept.Gzip)
		if encoded != strings.Contains(vary, "Accept-Encoding") || !bytes.HasPrefix(b, []byte("k")) {
			t.Errorf("%s %q: %q, encoded %v", vary, fields, b, encoded)
		}
		return string(b)
	}
	seen := map[string][]string{}
	for _, fields := range [][]string{{}, {"X-A: "}, {"X-A: 1"}, {"X-A: 1", "X-A: 2"}, {"X-A: 2", "X-A: 1"}, {"X-A: 1,2"}, {"X-A: 1, 2"}, {"X-B: 1"},
		{"X-A: 1", "X-B: 2"}, {"X-A: ", "X-B: "}, {"X-B: "}, {"X-A: 1", "X-B: "}, {"X-A: ", "X-A: "}} {
		k := of("X-A,X-B", fields...)
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q have one key", fields, other)
		}
		seen[k] = fields
	}
	if of("X-A") == of("X-B") || of("Accept") == of("X-A") || of("Accept", "Accept: a") == of("X-A", "X-A: a") {
		t.Error("answers that depend on other fields have one key")
	}
	if of("Cookie", "Cookie: a=1") != "k" || of("X-A", "X-A: 1", "X-B: 1") != of("X-A", "X-A: 1", "X-B: 2") {
		t.Error("fields that do not count make another key")
	}
	if k := of("Accept-Encoding,X-A", "X-A: 1"); k[len(k)-1] != accept.Gzip.OwnSlot() {
		t.Errorf("%q does not end with a slot", k)
	}
}

// TestBody: another method, another body, or other words about it make another key.
func TestBody(t *testing.T) {
	of := func(method, body string, fields ...string) string {
		x := cachetest.Request("/a", fields...)
		x.Method = []byte(method)
		return string(AppendBody(nil, x, []byte(body)))
	}
	seen := map[string]string{}
	for name, k := range map[string]string{
		"plain": of("QUERY", "a"), "POST": of("POST", "a"), "another body": of("QUERY", "b"), "no body": of("QUERY", ""),
		"a type": of("QUERY", "a", "Content-Type: x/y"), "a coding": of("QUERY", "a", "Content-Encoding: x/y"),
		"a language": of("QUERY", "a", "Content-Language: x/y"), "two types": of("QUERY", "a", "Content-Type: x/y", "Content-Type: z"),
	} {
		if seen[k] != "" {
			t.Errorf("%s and %s have one key", name, seen[k])
		}
		seen[k] = name
	}
	if of("QUERY", "a", "X-Some: 1") != of("QUERY", "a") {
		t.Error("a field that is not about the body makes another key")
	}
}

// TestPrefixes: beginnings of URLs that no request can have are refused, and the others are in the form of keys.
func TestPrefixes(t *testing.T) {
	f := func(r *Rules, prefix, want string) {
		t.Helper()
		b, err := r.CanonicalPrefix(prefix)
		if want == "" && err == nil || want != "" && (err != nil || string(b) != want) {
			t.Errorf("%s: %q %v, want %q", prefix, b, err, want)
		}
	}
	r := keyedBy()
	f(r, "http://H.example", "http://h.example/")
	f(r, "http://h.example:80/a", "http://h.example/a")
	f(r, "https://h.example:443/%7ea/", "https://h.example/~a/")
	f(r, "http://h.example/a?b=", "http://h.example/a?b=")
	f(r, "http://h.example/a?", "http://h.example/a?")
	f(r, "http://h.example/a/../b", "http://h.example/b")
	for _, bad := range []string{"", "/a", "h.example/a", "ftp://h/a", "http://", "http:///", "http://h/.", "http://h/a/..", "http://h/%2E%2e",
		"http://h/a?b c", "http://h/a?b#c", "http://h/a\x7f", "http://h/%00"} {
		f(r, bad, "")
	}
	picky := keyedBy()
	picky.SortQuery = true
	f(picky, "http://h.example/a?b=", "")
	f(picky, "http://h.example/a", "http://h.example/a")
}
