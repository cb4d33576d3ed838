package route

import (
	"strings"
	"testing"
)

// TestHasty: a lookup for which others wait compares little with patterns, and leaves the rest.
func TestHasty(t *testing.T) {
	table := mustTable(t, Rule{Prefix: "/", Headers: []Predicate{{"X-A", "~a+"}}}, Rule{Path: "/p/{x:[a-z]+}"},
		Rule{Prefix: "/q", Query: []Predicate{{"a", "~a+"}}}, Rule{Prefix: "/"})
	f := func(path, query string, field int, settled bool) {
		t.Helper()
		k := Key{Method: []byte("GET"), Path: []byte(path), RawQuery: []byte(query), Hasty: true}
		if field > 0 {
			k.Header = headerMap{"X-A": strings.Repeat("a", field)}.fields()
		}
		var m Match
		table.Lookup(&k, &m)
		if (m.Status != Unsettled) != settled || !settled && m.Rule != -1 {
			t.Errorf("%.20q?%.20q: status %d, rule %d", path, query, m.Status, m.Rule)
		}
		k.Hasty = false
		if table.Lookup(&k, &m); m.Status != 200 {
			t.Errorf("%.20q?%.20q without haste: status %d", path, query, m.Status)
		}
	}
	long := strings.Repeat("a", 513)
	f("/", "", 0, true)
	f("/", "", 512, true)
	f("/", "", 513, false)
	f("/"+long, "", 0, true)
	f("/p/aaa", "", 0, true)
	f("/p/"+long, "", 0, false)
	f("/q", "a=aaa", 0, true)
	f("/q", "a="+long, 0, false)
}
