package route

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// FuzzPattern gives NewTable any pattern and the table any path: nothing may panic, and the tree
// has to agree with the plain way of matching one pattern.
func FuzzPattern(f *testing.F) {
	f.Add("/v1/users/{id}", "/v1/users/42")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		table, errs := NewTable([]Rule{{Path: pattern}})
		if (table == nil) != (len(errs) > 0) {
			t.Fatalf("%q: both or neither of table and errors", pattern)
		}
		canonical, err := Canonical(nil, []byte(path))
		if table == nil || err != nil {
			return
		}
		var m Match
		k := &Key{Path: canonical}
		table.Lookup(k, &m)
		if want := table.rules[0].takes(canonical); (m.Rule == 0) != want {
			t.Fatalf("%q on %q: rule %d, but takes is %v", canonical, pattern, m.Rule, want)
		}
		for i := range m.Len() {
			if !bytes.Contains(canonical, m.ParamAt(i)) {
				t.Fatalf("%q on %q: parameter %q", canonical, pattern, m.ParamAt(i))
			}
		}
		table.Explain(k)
	})
}

// FuzzQuery compares the reader of queries with one that splits and replaces.
func FuzzQuery(f *testing.F) {
	f.Add("a=1&b=%20+", "b")
	f.Fuzz(func(t *testing.T, raw, name string) {
		want, wantOK := "", false
		for pair := range strings.SplitSeq(raw, "&") {
			k, v, _ := strings.Cut(pair, "=")
			if k != "" && !wantOK && decodeTwin(k) == name {
				want, wantOK = decodeTwin(v), true
			}
		}
		value, ok := queryValue([]byte(raw), []byte(name))
		scratch := make([]byte, len(raw))
		got, fits := decoded(value, scratch)
		if ok != wantOK || string(got) != want || !fits {
			t.Fatalf("%q of %q: %q, %v; want %q, %v", name, raw, got, ok, want, wantOK)
		}
		if ok && !equalDecoded(value, got) {
			t.Fatalf("%q does not equal its decoded form %q", value, got)
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

// FuzzHost checks that a rule's host takes what NormalHost makes of it, in any case, with a port.
func FuzzHost(f *testing.F) {
	f.Add("API.Example.com")
	f.Fuzz(func(t *testing.T, host string) {
		normal := NormalHost(nil, []byte(host))
		if len(normal) > len(host) || bytes.ContainsAny(normal, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			t.Fatalf("NormalHost(%q) = %q", host, normal)
		}
		key, message := ruleHost(host)
		if message != "" || key[0] == '.' {
			return
		}
		for _, h := range []string{host, strings.ToUpper(host), host + ":8080"} {
			if got := string(NormalHost(nil, []byte(h))); got != key {
				t.Fatalf("NormalHost(%q) = %q, the rule says %q", h, got, key)
			}
		}
	})
}
