package route

import (
	"bytes"
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

// FuzzHost checks that a rule's host takes what NormalHost makes of it, in any case, with a port.
func FuzzHost(f *testing.F) {
	f.Add("API.Example.com")
	f.Fuzz(func(t *testing.T, host string) {
		normal := NormalHost(nil, []byte(host))
		if len(normal) > len(host) || bytes.ContainsAny(normal, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			t.Fatalf("NormalHost(%q) = %q", host, normal)
		}
		rule, message := ruleHost(host)
		if message != "" || rule.level() != hostExact {
			return
		}
		all := []string{host, strings.ToUpper(host)}
		if rule.port == 0 {
			all = append(all, host+":8080")
		}
		for _, h := range all {
			got := string(NormalHost(nil, []byte(h)))
			if port := PortOf([]byte(h), "http"); got != rule.name || rule.port != 0 && rule.port != port {
				t.Fatalf("NormalHost(%q) = %q, port %d, the rule says %s", h, got, port, rule)
			}
		}
	})
}
