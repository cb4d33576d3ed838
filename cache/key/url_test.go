package key

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/edge"
)

func TestAuthority(t *testing.T) {
	f := func(scheme, authority, want string) {
		t.Helper()
		if got := string(AppendAuthority([]byte("x"), scheme, []byte(authority))[1:]); got != want {
			t.Errorf("%s %s: %q, want %q", scheme, authority, got, want)
		}
	}
	f("http", "", "")
	f("http", "H.Example", "h.example")
	f("http", "h.example:80", "h.example")
	f("http", "h.example:443", "h.example:443")
	f("https", "h.example.:443", "h.example")
	f("https", "h.example:80", "h.example:80")
	f("https", "[::1]:443", "[::1]")
	f("https", "[FE80::1]", "[fe80::1]")
	f("http", "[::1]:81", "[::1]:81")
	f("http", ".", ".")
}

// TestCanonicalURL: a URL is purged under what a request for it is stored under, however both are written.
func TestCanonicalURL(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		conf := &Rules{}
		if rapid.Bool().Draw(t, "sorts") {
			conf.SortQuery, conf.QueryDrop = true, []string{"b"}
		}
		write := func() string {
			scheme := rapid.SampledFrom([]string{"http://", "HTTP://"}).Draw(t, "scheme")
			host := rapid.SampledFrom([]string{"h.example", "H.Example", "h.example:80", "h.example.", "h.example.:80"}).Draw(t, "host")
			path := rapid.SampledFrom([]string{"/é~/c", "/%c3%a9%7e/c", "/%C3%A9~/b/../c", "/./%c3%A9~/./c", "/x/../\xc3\xa9~/%63"}).Draw(t, "path")
			return scheme + host + path
		}
		query := rapid.SampledFrom([]string{"", "?", "?a=1&b=2", "?c=1&a=%c3"}).Draw(t, "query")
		x := new(edge.Exchange)
		x.Reset()
		if refusal, err := x.Own("GET", write()+query, nil, false); refusal != "" || err != nil {
			t.Fatal(refusal, err)
		}
		x.SetOutHost(x.Authority)
		text, url := conf.Append(nil, x, "route")
		purge := write() + query
		got, err := conf.CanonicalURL(purge)
		if err != nil || !bytes.Equal(got, url) || !bytes.Equal(URLIn(text), url) {
			t.Fatalf("%s: %q (%v), a request has %q in %q", purge, got, err, url, text)
		}
		prefix, err := conf.CanonicalPrefix(write())
		if err != nil || !bytes.HasPrefix(url, prefix) {
			t.Fatalf("%q is no beginning of %q (%v)", prefix, url, err)
		}
	})
}

// FuzzURL: whatever a purge names, it is refused or is what a request can have.
func FuzzURL(f *testing.F) {
	f.Add("http://h.example/a?b#c")
	f.Add("https://[::1]:443/%2F/../a")
	conf := &Rules{SortQuery: true}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := conf.CanonicalURL(s)
		if err != nil {
			return
		}
		again, err := conf.CanonicalURL(string(b))
		if err != nil || !bytes.Equal(again, b) || bytes.ContainsAny(b, "\r\n \x00#") {
			t.Errorf("%q is %q, and that is %q (%v)", s, b, again, err)
		}
	})
}
