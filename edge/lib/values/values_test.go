package values

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestCookies(t *testing.T) {
	f := func(first, all, cookie string) {
		t.Helper()
		name := []byte("sid")
		got := []string{string(Cookie([]byte(cookie), name)), string(AppendCookie([]byte("k="), []byte(cookie), name))}
		if want := []string{first, "k=" + all}; !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", cookie, got, want)
		}
	}
	f("", "", "")
	f("", "", "sid")
	f("", "", "sid=")
	f("", "", "xsid=1; sidx=2")
	f("1", "1", "sid=1")
	f("1", "1", "a=0;sid=1;b=2")
	f("1", "1", "a=0; sid =\t1 ; b=2")
	f(`"1"`, `"1"`, `sid="1"`)
	f("1", "1", "sid=; sid=1")
	f("1", "1\n2", "sid=1; sid=2; sid=1")
	f("11", "11\n1", "sid=11; sid=1; sid=11")
	f("a=b", "a=b", "sid=a=b")
}

func TestParams(t *testing.T) {
	f := func(all, query, name string) {
		t.Helper()
		if got := string(AppendParam([]byte("k="), []byte(query), []byte(name))); got != "k="+all {
			t.Errorf("%q of %q: %q, want %q", name, query, got, "k="+all)
		}
	}
	f("", "", "a")
	f("", "b=1", "a")
	f("", "a", "a")
	f("", "a=&a=", "a")
	f("1", "b=2&a=1", "a")
	f("1", "a=1&a=%31&a=", "a")
	f("1", "%61=1", "a")
	f("1\n2", "a=1&a=2&a=1", "a")
	f("c+d e", "a+b=c%2bd%20e", "a b")
	f("%zz%4", "a=%zz%4", "a")
}

// FuzzQuery compares the reader of queries with one that splits and replaces.
func FuzzQuery(f *testing.F) {
	f.Add("a=1&b=%20+", "b")
	f.Fuzz(func(t *testing.T, raw, name string) {
		var want, keyed []string
		for pair := range strings.SplitSeq(raw, "&") {
			k, v, _ := strings.Cut(pair, "=")
			if k == "" || decodeTwin(k) != name {
				continue
			}
			want = append(want, decodeTwin(v))
			if v := decodeTwin(v); v != "" && !slices.Contains(keyed, v) {
				keyed = append(keyed, v)
			}
		}
		scratch := make([]byte, len(raw))
		rest := []byte(raw)
		for i := 0; ; i++ {
			value, after, ok := NextParam(rest, []byte(name))
			if ok != (i < len(want)) {
				t.Fatalf("%q of %q: value %d of %d: %v", name, raw, i, len(want), ok)
			}
			if !ok {
				break
			}
			got, fits := Decoded(value, scratch)
			if string(got) != want[i] || !fits || !EqualDecoded(value, got) {
				t.Fatalf("%q of %q: value %d is %q, %v; want %q", name, raw, i, got, fits, want[i])
			}
			rest = after
		}
		got := string(AppendParam(nil, []byte(raw), []byte(name)))
		if joined := strings.Join(keyed, "\n"); got != joined && !strings.Contains(joined+got, "\n") {
			t.Fatalf("%q of %q: the key is %q, want %q", name, raw, got, joined)
		}
	})
}

var escapeSyntax = regexp.MustCompile(`%[0-9A-Fa-f]{2}|\+`)

func decodeTwin(s string) string {
	return escapeSyntax.ReplaceAllStringFunc(s, func(e string) string {
		if e == "+" {
			return " "
		}
		v, _ := strconv.ParseUint(e[1:], 16, 8)
		return string([]byte{byte(v)})
	})
}

// FuzzCookies compares the reader of cookies with one that splits.
func FuzzCookies(f *testing.F) {
	f.Add("a=1; sid=2; sid =3;sid=2", "sid")
	f.Fuzz(func(t *testing.T, cookie, name string) {
		if strings.Contains(cookie, "\n") {
			return // no line of a head has one
		}
		var want []string
		for pair := range strings.SplitSeq(cookie, ";") {
			k, v, ok := strings.Cut(pair, "=")
			if v = strings.Trim(v, " \t"); ok && strings.Trim(k, " \t") == name && v != "" && !slices.Contains(want, v) {
				want = append(want, v)
			}
		}
		if got := string(AppendCookie(nil, []byte(cookie), []byte(name))); got != strings.Join(want, "\n") {
			t.Fatalf("%q of %q: %q, want %q", name, cookie, got, want)
		}
	})
}

func TestUnescape(t *testing.T) {
	for c := range 256 {
		for _, s := range []string{url.QueryEscape(string(rune(c))), "%" + string(rune(c)) + "1", "%1"} {
			got, ok := Unescape([]byte(s))
			want, err := url.PathUnescape(s[:min(len(s), 3)])
			if ok != (err == nil && len(s) >= 3 && s[0] == '%') || ok && string([]byte{got}) != want {
				t.Fatalf("%q: %q, %v; want %q, %v", s, got, ok, want, err)
			}
		}
	}
}
