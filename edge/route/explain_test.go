package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	f := func(method, target string, h headerMap, rules []Rule, want ...string) {
		t.Helper()
		target, query, _ := strings.Cut(target, "?")
		at := strings.IndexByte(target, '/')
		q := request{method, target[:at], target[at:], query, h, "http", "in"}
		var got []string
		for _, c := range mustTable(t, rules...).Explain(q.key()) {
			got = append(got, fmt.Sprint(c.Rule, " ", c.Lost))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s %s: got\n%s\nwant\n%s", method, target, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	f("POST", "a.org/v1/x?debug=0", nil, []Rule{
		{Name: "all", Prefix: "/"},
		{Path: "/v1/x", Methods: []string{"GET", "PUT"}},
		{Path: "/v1/x", Headers: []Predicate{{"X-Beta", "yes"}}},
		{Path: "/v1/x", Query: []Predicate{{"debug", "1"}}},
		{Path: "/v1/x", Query: []Predicate{{"debug", "~[1-9]"}}},
		{Path: "/v1/x", Query: []Predicate{{"debug", "!"}}},
		{Path: "/v1/x", Hosts: []string{"b.org", "*.b.org"}},
		{Prefix: "/v"},
		{Path: "/v1/{n:[0-9]+}"},
		{Path: "/v1/x/"},
		{Path: "/V1/x"},
		{Path: "/else"},
		{Prefix: "/v1"},
	},
		`0 route "12" comes first: its prefix is longer`,
		"2 header X-Beta is absent",
		`3 query parameter "debug" is not "1"`,
		`4 query parameter "debug" does not match "[1-9]"`,
		`5 query parameter "debug" is present`,
		"1 method POST is not among GET, PUT",
		"9 the path differs by the slash at its end",
		"10 the path differs in upper and lower case",
		"8 a parameter does not match its expression",
		`7 the prefix "/v" ends inside of a segment of the path`,
		`6 host "a.org" is not among b.org, *.b.org`,
		"12 ")
	f("HEAD", "a.org/x", nil, []Rule{
		{Path: "/x", Methods: []string{"GET"}},
		{Name: "head", Path: "/x", Methods: []string{"HEAD"}},
	},
		`0 route "head" lists HEAD, this one takes it only beside GET`,
		"1 ")
	f("GET", "a.org/x/", nil, []Rule{{Path: "/x"}, {Path: "/y"}}, "0 the path differs by the slash at its end")

	f("GET", "b.a.org:81/x/y", headerMap{"A": "1"}, []Rule{
		{Name: "won", Path: "/x/{a}", Hosts: []string{"*.org:81"}, Headers: []Predicate{{"A", "1"}}},
		{Path: "/x/{a}", Hosts: []string{"*.org:81"}},
		{Path: "/x/{b}", Hosts: []string{"*.org:81"}, Headers: []Predicate{{"A", "*"}}},
		{Path: "/x/y", Hosts: []string{"*.org"}},
		{Path: "/x/{a:*}", Hosts: []string{"*.org:81"}},
		{Path: "/{a}/{b}", Hosts: []string{"*.org:81"}},
		{Prefix: "/x", Hosts: []string{"*.org:81"}},
		{Path: "/x/y", Priority: -1},
		{Path: "/x/y", Hosts: []string{"b.a.org:82", "b.a.org:80"}},
		{Path: "/x/y", Hosts: []string{"*.a.org:81"}, Schemes: []string{"https"}},
		{Path: "/x/y", Hosts: []string{"*.a.org:81"}, Listeners: []string{"out", "more"}},
		{Path: "/x/{a:.}", Hosts: []string{"*.org:81"}, Priority: -1},
	},
		`3 route "won" comes first: its host *.org:81 is closer than *.org`,
		`2 route "won" comes first: both paths are as long and have as many conditions, and it stands first in the file`,
		`1 route "won" comes first: it has more conditions besides host and path, 1 to 0`,
		`4 route "won" comes first: its path takes no rest`,
		`5 route "won" comes first: its path has more literal bytes, 3 to 2`,
		`6 route "won" comes first: its path is a pattern, this one's a prefix`,
		`7 route "won" comes first: its priority is higher, 0 to -1`,
		`11 route "won" comes first: its priority is higher, 0 to -1`,
		`9 the scheme is http, not https`,
		`10 listener "in" is not among out, more`,
		`8 port 81 is not that of b.a.org:82`,
		"0 ")

	var many []Rule
	for _, host := range strings.Fields("a b c d e f g h i j k l m n") {
		many = append(many, Rule{Prefix: "/", Hosts: []string{host}})
	}
	if got := mustTable(t, many...).Explain(&Key{Host: []byte("z"), Path: []byte("/")}); len(got) != maxLost {
		t.Errorf("%d candidates", len(got))
	}
}

func TestShadowed(t *testing.T) {
	f := func(rules []Rule, want ...Shadow) {
		t.Helper()
		if got := mustTable(t, rules...).Shadowed(); !slices.Equal(got, want) {
			t.Errorf("%+v: %v, want %v", rules, got, want)
		}
	}
	hosts := func(h ...string) []string { return h }
	f([]Rule{{Prefix: "/a"}, {Prefix: "/a/b"}, {Path: "/a/{x}"}, {Path: "/a/b"}})

	// The same path.
	f([]Rule{{Path: "/a", Methods: verbs(2)}, {Path: "/a", Methods: verbs(1)}}, Shadow{1, 0})
	f([]Rule{{Path: "/a", Methods: verbs(1)}, {Path: "/a", Methods: verbs(2)}})
	f([]Rule{{Path: "/a", Methods: verbs(1)}, {Path: "/a", Methods: []string{"HEAD"}}})
	when := func(value string) []Predicate { return []Predicate{{"A", value}} }
	f([]Rule{{Path: "/a", Headers: when("*")}, {Path: "/a", Headers: when("1")}}, Shadow{1, 0})
	f([]Rule{{Path: "/a", Headers: when("*")}, {Path: "/a", Headers: when("!")}})
	f([]Rule{{Path: "/a", Headers: when("!")}, {Path: "/a", Headers: when("1")}})
	f([]Rule{{Path: "/a", Headers: when("*")}, {Path: "/a", Query: when("1")}})
	f([]Rule{{Path: "/a/{x?}"}, {Path: "/a/{y}"}}, Shadow{1, 0})
	f([]Rule{{Path: "/a/{x}"}, {Path: "/a/{y?}"}})

	// A catch-all stands before prefixes.
	f([]Rule{{Prefix: "/a/b"}, {Path: "/a/{x:*}"}}, Shadow{0, 1})
	f([]Rule{{Prefix: "/a/"}, {Path: "/a/{x:*}"}}, Shadow{0, 1})
	f([]Rule{{Prefix: "/a"}, {Path: "/a/{x:*}"}})
	f([]Rule{{Prefix: "/a/b"}, {Path: "/{x}/{y:*}"}}, Shadow{0, 1})
	f([]Rule{{Prefix: "/"}, {Path: "/{y:*}"}}, Shadow{0, 1})
	f([]Rule{{Prefix: "/"}, {Path: "/{x}/{y:*}"}})
	f([]Rule{{Prefix: "/a/b"}, {Path: "/c/{y:*}"}})

	// Priority.
	f([]Rule{{Path: "/a/{x}"}, {Prefix: "/a", Priority: 1}}, Shadow{0, 1})
	f([]Rule{{Path: "/a/{x?}"}, {Prefix: "/a/", Priority: 1}})
	f([]Rule{{Path: "/a/{x?}"}, {Prefix: "/a", Priority: 1}}, Shadow{0, 1})
	f([]Rule{{Path: "/a{x}"}, {Prefix: "/a", Priority: 1}})
	f([]Rule{{Path: "/a/b"}, {Path: "/a/{x}", Priority: 1}}, Shadow{0, 1})
	f([]Rule{{Path: "/a/b"}, {Path: "/a/{x:c}", Priority: 1}})
	f([]Rule{{Path: "/a/{x:c}"}, {Path: "/a/{x}", Priority: 1}}, Shadow{0, 1})
	f([]Rule{{Path: "/a/{x}"}, {Path: "/a/{x:c}", Priority: 1}})
	f([]Rule{{Path: "/a/{x}/b"}, {Path: "/a/{x:*}", Priority: 1}}, Shadow{0, 1})
	f([]Rule{{Path: "/a/{x:*}"}, {Path: "/a/{x}", Priority: 1}})
	f([]Rule{{Path: "/a"}, {Path: "/b", Priority: 1}})

	// Hosts.
	f([]Rule{{Path: "/a", Hosts: hosts("a.org")}, {Path: "/a"}})
	f([]Rule{{Path: "/a", Hosts: hosts("a.org")}, {Path: "/a", Priority: 1}}, Shadow{0, 1})
	f([]Rule{
		{Path: "/a", Hosts: hosts("b.a.org", "*.b.org")}, {Path: "/a", Hosts: hosts("*.org"), Priority: 1},
	}, Shadow{0, 1})
	f([]Rule{{Path: "/a", Hosts: hosts("b.com", "*.b.org")}, {Path: "/a", Hosts: hosts("*.org"), Priority: 1}})
	f([]Rule{{Path: "/a", Hosts: hosts("*.org")}, {Path: "/a", Hosts: hosts("a.org"), Priority: 1}})
	f([]Rule{{Path: "/a"}, {Path: "/a", Hosts: hosts("*.org"), Priority: 1}})
	f([]Rule{{Path: "/a", Hosts: hosts("a.org:81")}, {Path: "/a", Hosts: hosts("*.org"), Priority: 1}}, Shadow{0, 1})
	f([]Rule{{Path: "/a", Hosts: hosts("a.org:81")}, {Path: "/a", Hosts: hosts("*.org:81"), Priority: 1}}, Shadow{0, 1})
	f([]Rule{{Path: "/a", Hosts: hosts("a.org")}, {Path: "/a", Hosts: hosts("a.org:81"), Priority: 1}})
	f([]Rule{{Path: "/a", Hosts: hosts("a.org:81")}, {Path: "/a", Hosts: hosts("a.org")}})

	// Listeners and schemes.
	in, out := []string{"in"}, []string{"in", "out"}
	f([]Rule{{Path: "/a", Listeners: in}, {Path: "/a", Listeners: out, Priority: 1}}, Shadow{0, 1})
	f([]Rule{{Path: "/a", Listeners: out}, {Path: "/a", Listeners: in, Priority: 1}})
	f([]Rule{{Path: "/a"}, {Path: "/a", Listeners: in, Priority: 1}})
	f([]Rule{{Path: "/a", Schemes: []string{"http"}}, {Path: "/a", Priority: 1}}, Shadow{0, 1})
	f([]Rule{{Path: "/a", Schemes: []string{"http"}}, {Path: "/a", Schemes: []string{"https"}, Priority: 1}})

	// HEAD, which a rule with GET leaves to others.
	f([]Rule{
		{Path: "/a", Methods: verbs(1)}, {Prefix: "/", Methods: verbs(2), Priority: 1},
	}, Shadow{0, 1})
	f([]Rule{
		{Path: "/a", Methods: verbs(1)}, {Prefix: "/", Methods: verbs(2), Priority: 1},
		{Prefix: "/", Methods: []string{"HEAD"}, Headers: []Predicate{{"A", "1"}}, Priority: 1},
	})
}
