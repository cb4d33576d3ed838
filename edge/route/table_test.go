package route

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func mustTable(t testing.TB, rules ...Rule) *Table {
	t.Helper()
	table, errs := NewTable(rules)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return table
}

// get looks a URL-like target up ("host/path?query") and returns the rule and the parameters.
func get(table *Table, method, target string, h headerMap) (m Match) {
	target, query, _ := strings.Cut(target, "?")
	at := strings.IndexByte(target, '/')
	table.Lookup((&request{method, target[:at], target[at:], query, h, "http", "in"}).key(), &m)
	return m
}

func TestLookupOrder(t *testing.T) {
	table := mustTable(t,
		Rule{Prefix: "/"}, // 0
		Rule{Hosts: []string{"*.example.org"}, Prefix: "/"},                           // 1
		Rule{Hosts: []string{"*.eu.example.org"}, Prefix: "/v"},                       // 2
		Rule{Hosts: []string{"a.eu.example.org"}, Path: "/v/{x}"},                     // 3
		Rule{Hosts: []string{"a.eu.example.org"}, Path: "/v/exact"},                   // 4
		Rule{Hosts: []string{"a.eu.example.org"}, Path: "/v/{x:*}"},                   // 5
		Rule{Hosts: []string{"a.eu.example.org"}, Path: "/v/{n:[0-9]+}"},              // 6
		Rule{Hosts: []string{"a.eu.example.org"}, Path: "/v/x{x}"},                    // 7
		Rule{Hosts: []string{"a.eu.example.org"}, Path: "/v/x{x}", Methods: verbs(3)}, // 8
		Rule{Path: "/first", Priority: 1},                                             // 9
		Rule{Hosts: []string{"a.eu.example.org"}, Path: "/first"},                     // 10
		Rule{Hosts: []string{"a.eu.example.org"}, Path: "/first", Priority: -1},       // 11
	)
	f := func(target string, want int) {
		t.Helper()
		if m := get(table, "GET", target, nil); m.Rule != want {
			t.Errorf("%s: rule %d, want %d", target, m.Rule, want)
		}
	}
	f("example.org/v", 0)
	f("b.example.org/v", 1)
	f("b.c.example.org/v", 1)
	f("b.eu.example.org/v", 2)
	f("b.eu.example.org/vv", 1)
	f("a.eu.example.org/v/exact", 4)
	f("a.eu.example.org/v/other", 3)
	f("a.eu.example.org/v/12", 6)
	f("a.eu.example.org/v/xy", 8)
	f("a.eu.example.org/v/x", 3)
	f("a.eu.example.org/v/", 5)
	f("a.eu.example.org/v/a/b", 5)
	f("a.eu.example.org/v", 2) // nothing on its host: falls through to the wildcard
	f("a.eu.example.org/w", 1)
	f("a.eu.example.org/first", 9)

	want := []int{9, 4, 10, 8, 7, 6, 3, 5, 2, 1, 0, 11}
	if got := table.Order(); !slices.Equal(got, want) {
		t.Errorf("Order() = %v, want %v", got, want)
	}
	if got := table.Shadowed(); !slices.Equal(got, []Shadow{{10, 9}, {11, 9}}) {
		t.Errorf("Shadowed() = %v", got)
	}
}

func TestOrder(t *testing.T) {
	f := func(want []int, rules ...Rule) {
		t.Helper()
		if got := mustTable(t, rules...).Order(); !slices.Equal(got, want) {
			t.Errorf("%+v: %v, want %v", rules, got, want)
		}
	}
	f(nil)
	f([]int{1, 0}, Rule{Path: "/w/{x:*}"}, Rule{Path: "/w/{x}"})
	f([]int{1, 0}, Rule{Path: "/w/{x:*}"}, Rule{Path: "/w/{x?}"})
	f([]int{1, 0}, Rule{Path: "/{x:*}"}, Rule{Path: "/{x:a}"})
	f([]int{1, 0}, Rule{Path: "/w/{x}"}, Rule{Path: "/w/y{x}"})
	f([]int{1, 0}, Rule{Path: "/w/{x}"}, Rule{Path: "/w/{x:a}"})
	f([]int{1, 0}, Rule{Prefix: "/w"}, Rule{Prefix: "/w/"})
	f([]int{1, 0}, Rule{Path: "/w"}, Rule{Path: "/w", Query: []Predicate{{"a", ""}}})
	f([]int{0, 1}, Rule{Path: "/{n}/{x}"}, Rule{Path: "/{n:a}/{x:*}"})
	wild := Rule{Path: "/w", Hosts: []string{"*.org"}}
	f([]int{1, 0}, wild, Rule{Path: "/{x}", Hosts: []string{"*.com", "a.org"}})
	f([]int{1, 0}, wild, Rule{Path: "/{x}", Hosts: []string{"a.org", "*.com"}})
	f([]int{1, 0}, wild, Rule{Path: "/{x}", Hosts: []string{"*.a.org"}})
	f([]int{1, 0}, Rule{Path: "/w"}, Rule{Path: "/{x}", Priority: 1})
	f([]int{0, 2, 1}, // by host, in the order in which the list names them
		Rule{Path: "/w", Hosts: []string{"b.org"}},
		Rule{Path: "/w", Hosts: []string{"a.org"}},
		Rule{Path: "/{x}", Hosts: []string{"b.org"}})
}

func verbs(n int) []string { return []string{"GET", "PUT", "POST"}[:n] }

func TestPrefix(t *testing.T) {
	table := mustTable(t, Rule{Prefix: "/v1"}, Rule{Prefix: "/v2/"}, Rule{Prefix: "/v1/a%2fb"})
	f := func(path string, want int) {
		t.Helper()
		if m := get(table, "GET", path, nil); m.Rule != want {
			t.Errorf("%s: rule %d, want %d", path, m.Rule, want)
		}
	}
	f("/v1", 0)
	f("/v1/", 0)
	f("/v1/x/y", 0)
	f("/v10", -1)
	f("/v", -1)
	f("/v2", -1)
	f("/v2/", 1)
	f("/v2/x", 1)
	f("/v1/a%2Fb", 2)
	f("/v1/a%2Fb/c", 2)
	f("/v1/a/b", 0)
	f("/", -1)
}

func TestParams(t *testing.T) {
	f := func(pattern, path, want string) {
		t.Helper()
		m := get(mustTable(t, Rule{Path: pattern}), "GET", path, nil)
		var got []string
		for i := range m.Len() {
			got = append(got, string(m.ParamAt(i)))
		}
		if m.Rule < 0 {
			got = []string{"none"}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s on %s: %q, want %q", path, pattern, s, want)
		}
	}
	f("/{a}", "/x", "x")
	f("/{a}", "/", "none")
	f("/{a}", "/x/", "none")
	f("/u/{id}/p/{n}", "/u/1/p/2", "1 2")
	f("/u/{id}/p/{n}", "/u/1//2", "none")
	f("/v{n}/x", "/v1/x", "1")
	f("/v{n}/x", "/v/x", "none")
	f("/{file}.json", "/a.b.json", "a.b")
	f("/{file}.json", "/.json", "none")
	f("/{name}.{ext}", "/archive.tar.gz", "archive.tar gz")
	f("/{a}-{b}-{c}", "/1-2-3-4", "1-2 3 4")
	f("/{a}-{b}", "/-1", "none")
	f("/{a}-{b}", "/1-", "none")
	f("/{a}-{b}", "/--1", "- 1")
	f("/{id:[0-9]{2}}", "/12", "12")
	f("/{id:[0-9]{2}}", "/123", "none")
	f("/{id:a|b}x", "/ax", "a")
	f("/{id:a|b}x", "/abx", "none")
	f("/{id:(?i)AB}", "/ab", "ab")
	f("/s/{p:*}", "/s/", "")
	f("/s/{p:*}", "/s/a/b", "a/b")
	f("/s/{p:*}", "/s", "none")
	f("/{p:*}", "/", "")
	f("/a/{o?}", "/a", "")
	f("/a/{o?}", "/a/b", "b")
	f("/a/{o?}", "/a/", "none")
	f("/a/{o?:[0-9]+}", "/a/1", "1")
	f("/a/{o?:[0-9]+}", "/a/x", "none")
	f("/{a}/{o?}", "/x", "x ")
	f("/{o?}", "/", "")
	f("/{o?}", "/x", "x")
	f("/a//{b}", "/a//c", "c")
	f("/%7b{a}%7d", "/%7Bx%7D", "x")
	f("/é/{a}", "/%C3%A9/x", "x")
	f("/{x_1-A}", "/x%2Fy", "x%2Fy")
	f("/"+params(16), "/"+strings.Repeat("x-", 15)+"x", strings.TrimSpace(strings.Repeat("x ", 16)))
	f(strings.Repeat("/a", 63)+"/{x}", strings.Repeat("/a", 64), "a")
	f(strings.Repeat("/a", 63)+"/{x}", strings.Repeat("/a", 65), "none")
	f(strings.Repeat("/a", 63)+"/{x:*}", strings.Repeat("/a", 65), "a/a")
}

// params returns n parameters with hyphens between them.
func params(n int) string {
	var all []string
	for i := range n {
		all = append(all, "{p"+strconv.Itoa(i)+"}")
	}
	return strings.Join(all, "-")
}

func TestParamByName(t *testing.T) {
	table := mustTable(t, Rule{Path: "/{a}/{b}"})
	m := get(table, "GET", "/x/y", nil)
	if a, b, c := m.Param("a"), m.Param("b"), m.Param("c"); string(a) != "x" || string(b) != "y" || c != nil {
		t.Errorf("got %q %q %q", a, b, c)
	}
	if got := table.Params(0); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("Params = %q", got)
	}
	table.Lookup((&request{path: "/"}).key(), &m)
	if m.Len() != 0 || m.Param("a") != nil {
		t.Error("a match that failed still has parameters")
	}
}

func TestMethods(t *testing.T) {
	table := mustTable(t,
		Rule{Path: "/get", Methods: []string{"GET"}},
		Rule{Path: "/both", Methods: []string{"GET"}},
		Rule{Path: "/both", Methods: []string{"HEAD"}},
		Rule{Path: "/beta", Methods: []string{"GET"}},
		Rule{Path: "/beta", Methods: []string{"HEAD"}, Headers: []Predicate{{"x-beta", "*"}}},
		Rule{Path: "/up", Methods: []string{"PUT", "POST"}},
		Rule{Path: "/up", Methods: []string{"DELETE"}, Headers: []Predicate{{"X-Beta", "yes"}}},
		Rule{Hosts: []string{"a.org"}, Path: "/up", Methods: []string{"PATCH"}},
	)
	f := func(method, target string, h headerMap, rule, status int, allow string) {
		t.Helper()
		m := get(table, method, target, h)
		if m.Rule != rule || m.Status != status || string(m.Allow) != allow {
			t.Errorf("%s %s: rule %d, %d, Allow %q", method, target, m.Rule, m.Status, m.Allow)
		}
	}
	f("HEAD", "/get", nil, 0, 200, "")
	f("POST", "/get", nil, -1, 405, "GET, HEAD")
	f("get", "/get", nil, -1, 405, "GET, HEAD")
	f("GET", "/both", nil, 1, 200, "")
	f("HEAD", "/both", nil, 2, 200, "")
	f("HEAD", "/beta", nil, 3, 200, "")
	f("HEAD", "/beta", headerMap{"X-Beta": "1"}, 4, 200, "")
	f("GET", "/up", nil, -1, 405, "PUT, POST")
	f("GET", "/up", headerMap{"X-Beta": "yes"}, -1, 405, "PUT, POST, DELETE")
	f("GET", "a.org/up", nil, -1, 405, "PUT, POST, PATCH")
	f("POST", "a.org/up", nil, 5, 200, "")
	f("GET", "/none", nil, -1, 404, "")
}

func TestPredicates(t *testing.T) {
	f := func(p Predicate, h headerMap, want bool) {
		t.Helper()
		m := get(mustTable(t, Rule{Prefix: "/", Headers: []Predicate{p}}), "GET", "/", h)
		if (m.Rule == 0) != want {
			t.Errorf("header %v on %v: %v", p, h, m.Rule == 0)
		}
	}
	f(Predicate{"x-a-bC", "yes"}, headerMap{"X-A-Bc": "yes"}, true)
	f(Predicate{"X-A", "yes"}, headerMap{"X-A": "Yes"}, false)
	f(Predicate{"X-A", "yes"}, nil, false)
	f(Predicate{"X-A", "*"}, headerMap{"X-A": "x"}, true)
	f(Predicate{"X-A", "*"}, nil, false)
	f(Predicate{"X-A", "!"}, nil, true)
	f(Predicate{"X-A", "!"}, headerMap{"X-A": "x"}, false)
	f(Predicate{"X-A", "yes"}, headerMap{"X-A": "|yes"}, true)
	f(Predicate{"X-A", "yes"}, headerMap{"X-A": "no|yes"}, true)
	f(Predicate{"X-A", "*"}, headerMap{"X-A": "|x"}, true)
	f(Predicate{"X-A", "*"}, headerMap{"X-A": "|"}, false)
	f(Predicate{"X-A", "!"}, headerMap{"X-A": "|x"}, false)
	f(Predicate{"X-A", "!"}, headerMap{"X-A": "|"}, true)
	f(Predicate{"X-A", "~[a-z]+"}, headerMap{"X-A": "1||x"}, true)
	f(Predicate{"X-A", "~a|b"}, headerMap{"X-A": "a"}, true)
	f(Predicate{"X-A", "~a|b"}, headerMap{"X-A": "ab"}, false)
	f(Predicate{"X-A", "~a*"}, nil, false)
	f(Predicate{"X-A", `~\*`}, headerMap{"X-A": "*"}, true)

	q := func(p Predicate, query string, want bool) {
		t.Helper()
		m := get(mustTable(t, Rule{Prefix: "/", Query: []Predicate{p}}), "GET", "/?"+query, nil)
		if (m.Rule == 0) != want {
			t.Errorf("query %v on %q: %v", p, query, m.Rule == 0)
		}
	}
	q(Predicate{"a", "1"}, "a=1", true)
	q(Predicate{"a", "1"}, "b=2&a=1&a=2", true)
	q(Predicate{"a", "1"}, "a=2&a=1", true)
	q(Predicate{"a", "!"}, "b&%61", false)
	q(Predicate{"a", "~[0-9]+"}, "a=x&a=12", true)
	q(Predicate{"a", "1"}, "A=1", false)
	q(Predicate{"a", "1"}, "a=12", false)
	q(Predicate{"a", "12"}, "a=1", false)
	q(Predicate{"a b", "c+d e"}, "a+b=c%2bd%20e", true)
	q(Predicate{"a", "%zz%4"}, "a=%zz%4", true)
	q(Predicate{"a", "b=c"}, "a=b=c", true)
	q(Predicate{"a", ""}, "a", true)
	q(Predicate{"a", ""}, "a=", true)
	q(Predicate{"a", ""}, "", false)
	q(Predicate{"a", "*"}, "&&a", true)
	q(Predicate{"a", "!"}, "b", true)
	q(Predicate{"a", "!"}, "%61", false)
	q(Predicate{"a", "~[0-9 ]+"}, "a=1+2", true)
	q(Predicate{"a", "~[0-9]*"}, "b", false)
	q(Predicate{"a", "~x*"}, "a="+strings.Repeat("x", 8192), true)
	q(Predicate{"a", "~x*"}, "a="+strings.Repeat("x", 8193), false)
	q(Predicate{"a", "~x*"}, "a="+strings.Repeat("%78", 512), true)
	q(Predicate{"a", "~x*"}, "a="+strings.Repeat("%78", 513), false)

	// Without a header every field is absent.
	var m Match
	mustTable(t, Rule{Prefix: "/", Headers: []Predicate{{"A", "!"}}}).Lookup(&Key{Path: []byte("/")}, &m)
	if m.Rule != 0 {
		t.Error("no header: the field is not absent")
	}
}

func TestLookupOddPaths(t *testing.T) {
	table := mustTable(t, Rule{Prefix: "/"}, Rule{Path: "/{a}"}, Rule{Path: "/{a:*}"})
	for _, path := range []string{"", "a", "*", "a/b"} {
		var m Match
		k := &Key{Path: []byte(path)}
		if table.Lookup(k, &m); m.Status != 404 || table.Explain(k) != nil {
			t.Errorf("%q: %d", path, m.Status)
		}
	}
}
