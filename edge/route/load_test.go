package route

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/header"
)

// loads are the tables that allocation tests and benchmarks look things up in: n rules of a kind,
// and a request for the last of them.
var loads = []struct {
	name string
	rule func(i int) Rule
	host func(n int) string
	path func(n int) string
}{
	{"static", func(i int) Rule { return Rule{Path: fmt.Sprintf("/api/v1/things%d/list", i)} },
		anyHost, func(n int) string { return fmt.Sprintf("/api/v1/things%d/list", n-1) }},
	{"params", func(i int) Rule { return Rule{Path: fmt.Sprintf("/api/v1/things%d/{id}/parts/{part}", i)} },
		anyHost, func(n int) string { return fmt.Sprintf("/api/v1/things%d/42/parts/7", n-1) }},
	{"mixed", func(i int) Rule { return Rule{Path: fmt.Sprintf("/api/{id}-t%d/{file}.{ext}", i)} },
		anyHost, func(n int) string { return fmt.Sprintf("/api/42-t%d/report.2024.pdf", n-1) }},
	{"regex", func(i int) Rule { return Rule{Path: fmt.Sprintf("/api/v1/things%d/{id:[0-9]+}", i)} },
		anyHost, func(n int) string { return fmt.Sprintf("/api/v1/things%d/42", n-1) }},
	{"catchall", func(i int) Rule { return Rule{Path: fmt.Sprintf("/files/set%d/{path:*}", i)} },
		anyHost, func(n int) string { return fmt.Sprintf("/files/set%d/a/b/c.txt", n-1) }},
	{"prefix", func(i int) Rule { return Rule{Prefix: fmt.Sprintf("/app%d/", i)} },
		anyHost, func(n int) string { return fmt.Sprintf("/app%d/a/b/c.txt", n-1) }},
	{"hosts", func(i int) Rule { return Rule{Hosts: []string{fmt.Sprintf("t%d.example.com", i)}, Prefix: "/"} },
		func(n int) string { return fmt.Sprintf("t%d.example.com", n-1) }, anyPath},
	{"wildhosts",
		func(i int) Rule { return Rule{Hosts: []string{fmt.Sprintf("*.t%d.example.com", i)}, Prefix: "/"} },
		func(n int) string { return fmt.Sprintf("a.b.t%d.example.com", n-1) }, anyPath},
}

func anyHost(int) string { return "api.example.com" }

func anyPath(int) string { return "/a/b/c.txt" }

// load returns a table of n rules and a key that its last rule takes.
func load(tb testing.TB, kind, n int) (*Table, *Key) {
	rules := make([]Rule, n)
	for i := range rules {
		rules[i] = loads[kind].rule(i)
	}
	table, errs := NewTable(rules)
	if errs != nil {
		tb.Fatal(errs)
	}
	q := request{method: "GET", host: loads[kind].host(n), path: loads[kind].path(n)}
	k := q.key()
	var m Match
	if table.Lookup(k, &m); m.Rule != n-1 {
		tb.Fatalf("%s: rule %d of %d", loads[kind].name, m.Rule, n)
	}
	return table, k
}

// guarded returns a table with predicates of all kinds and a key that needs all of them.
func guarded(tb testing.TB) (*Table, *Key) {
	table := mustTable(tb, Rule{
		Methods: []string{"GET"},
		Path:    "/v1/users/{id}",
		Headers: []Predicate{{"X-Beta", "yes"}, {"X-Kind", "~[a-z]+"}, {"X-None", "!"}},
		Query:   []Predicate{{"debug", "1"}, {"name", "~[a-z ]+"}},
		Hosts:   []string{"*.example.org:8443"}, Listeners: []string{"public"}, Schemes: []string{"https"},
	})
	return table, &Key{
		Method: []byte("GET"), Path: []byte("/v1/users/42"), RawQuery: []byte("name=some%20one&debug=1"),
		Host: []byte("a.example.org"), Authority: []byte("a.example.org:8443"), Listener: "public", Scheme: "https",
		Header: fields("x-beta: no", "X-Kind: abc", "X-Beta: yes"),
	}
}

// fields are those with these lines.
func fields(lines ...string) *header.Fields {
	h := new(header.Fields)
	h.SetLines([]byte(strings.Join(append(lines, ""), "\r\n")), nil)
	return h
}
