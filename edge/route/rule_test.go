package route

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestRuleErrors(t *testing.T) {
	f := func(r Rule, want ...string) {
		t.Helper()
		table, errs := NewTable([]Rule{r})
		var got []string
		for _, e := range errs {
			got = append(got, e.Key+": "+e.Message)
		}
		if table != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%+v: got %v\n%s\nwant\n%s", r, table, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	f(Rule{}, "path: a route needs a path or a prefix")
	f(Rule{Path: "/a", Prefix: "/b"}, "prefix: a route has either a path or a prefix, not both")
	f(Rule{Path: "a"}, "path: the path must start with a slash")
	f(Rule{Path: "/a?b=c"}, "path: a question mark is not allowed inside the path")
	f(Rule{Prefix: "/%zz"}, "prefix: a percent sign must be followed by two hexadecimal digits")
	f(Rule{Prefix: "/a/{b}"}, `prefix: a prefix has no parameters: use path = "/…/{rest:*}"`)
	p := func(path, want string) {
		t.Helper()
		f(Rule{Path: path}, "path: "+want)
	}
	p("{a}", "the path must start with a slash")
	p("//{a}", "the path must not start with two slashes")
	p("/{a", "opening brace without a closing one")
	p("/a}", "closing brace without an opening one")
	p("/{}", `parameter name "" must be letters, digits, hyphens and underscores`)
	p("/{a b}", `parameter name "a b" must be letters, digits, hyphens and underscores`)
	p("/{a}{b}", "two parameters must have text between them")
	p("/{a}/{a}", `parameter "a" is named twice`)
	p("/{a:}", `parameter "a" has an empty expression`)
	p("/{a:[}", "parameter \"a\": error parsing regexp: missing closing ]: `[`")
	p("/{a:x)(y}", "parameter \"a\": error parsing regexp: unexpected ): `x)(y`")
	p("/{a:*}/b", "a catch-all parameter must be the whole last segment, and is never optional")
	p("/x{a:*}", "a catch-all parameter must be the whole last segment, and is never optional")
	p("/{a?:*}", "a catch-all parameter must be the whole last segment, and is never optional")
	p("/{a?}/b", "an optional parameter must be the whole last segment")
	p("/x{a?}", "an optional parameter must be the whole last segment")
	p("/a/../{b}", "dot segments are not allowed in a pattern")
	p("/a/%2e/{b}", "dot segments are not allowed in a pattern")
	p("/{a}%2f..", "an escaped separator beside a dot segment is not allowed")
	p("/{a}%4", "a percent sign must be followed by two hexadecimal digits")
	p("/%4{a}", "a percent sign must be followed by two hexadecimal digits")
	p("/{a}#", "a fragment is not allowed in a request target")
	p("/"+params(17), "more than 16 parameters")
	p(strings.Repeat("/a", 64)+"/{x}", "more than 64 segments")

	f(Rule{Prefix: "/", Methods: []string{"G T", "", "GET", "GET"}},
		`methods: "G T" is not a method`,
		`methods: "" is not a method`,
		`methods: "GET" is given twice`)
	f(Rule{Prefix: "/", Hosts: []string{"a.org:0", "a.org", "A.org."}},
		`hosts: "a.org:0" has no port from 1 to 65535 behind its colon`,
		`hosts: "A.org." is given twice`)
	f(Rule{
		Prefix:  "/",
		Headers: []Predicate{{"a b", "1"}, {"X-A", ""}, {"X-B", "~("}, {"X-C", "1"}, {"x-c", "2"}},
		Query:   []Predicate{{"", "1"}, {"q", "1"}, {"q", "1"}},
	},
		`headers: "a b" is not a header name`,
		`headers: "X-A" has an empty value: write "!" for an absent header`,
		"headers: \"X-B\": error parsing regexp: missing closing ): `(`",
		`headers: "x-c" is given twice`,
		"query: the name is empty",
		`query: "q" is given twice`)
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, errs := NewTable([]Rule{
		{Name: "one", Prefix: "/v1"},
		{Path: "bad"},
		{Prefix: "/v1"},
		{Path: "/{a", Methods: []string{"/"}},
	})
	want := []string{
		"route 1: path: the path must start with a slash",
		`route 2: prefix: same hosts, path, methods and conditions as route "one"`,
		`route 3: methods: "/" is not a method`,
		"route 3: path: opening brace without a closing one",
	}
	for i, e := range errs {
		if i >= len(want) || e.Error() != want[i] {
			t.Errorf("error %d: %v", i, e)
		}
	}
	if len(errs) != len(want) {
		t.Errorf("%d errors, want %d", len(errs), len(want))
	}
}

func TestDuplicates(t *testing.T) {
	f := func(a, b Rule, want bool) {
		t.Helper()
		_, errs := NewTable([]Rule{a, b})
		if got := len(errs) == 1 && errs[0].Rule == 1; got != want || !want && errs != nil {
			t.Errorf("%+v and %+v: %v", a, b, errs)
		}
	}
	f(Rule{Path: "/a"}, Rule{Path: "/%61"}, true)
	f(Rule{Path: "/a"}, Rule{Prefix: "/a"}, false)
	f(Rule{Path: "/a"}, Rule{Path: "/a", Priority: 1}, false)
	f(Rule{Path: "/{a}"}, Rule{Path: "/{b}"}, true)
	f(Rule{Path: "/{a}"}, Rule{Path: "/{b:x}"}, false)
	f(Rule{Path: "/{a:x}"}, Rule{Path: "/{b:x}"}, true)
	f(Rule{Path: "/{a:*}"}, Rule{Path: "/{b:*}"}, true)
	f(Rule{Path: "/x/{a?}"}, Rule{Path: "/x/{a}"}, false)
	f(Rule{Path: "/x/{a?}"}, Rule{Path: "/x/{b?}"}, true)
	f(Rule{Path: "/a", Hosts: []string{"a", "b"}}, Rule{Path: "/a", Hosts: []string{"B"}}, true)
	f(Rule{Path: "/a", Hosts: []string{"a.b"}}, Rule{Path: "/a", Hosts: []string{"*.b"}}, false)
	f(Rule{Path: "/a", Methods: verbs(2)}, Rule{Path: "/a", Methods: []string{"PUT", "GET"}}, true)
	f(Rule{Path: "/a", Methods: verbs(1)}, Rule{Path: "/a", Methods: []string{"GET", "HEAD"}}, false)
	f(Rule{Path: "/a", Headers: []Predicate{{"a", "1"}, {"b", "2"}}},
		Rule{Path: "/a", Headers: []Predicate{{"B", "2"}, {"A", "1"}}}, true)
	beta := func(name string) []Predicate { return []Predicate{{name, "1"}} }
	f(Rule{Path: "/a", Headers: beta("A")}, Rule{Path: "/a", Query: beta("A")}, false)
	f(Rule{Path: "/a", Query: []Predicate{{"A", "1"}}}, Rule{Path: "/a", Query: []Predicate{{"a", "1"}}}, false)
}

func TestTooManyMethods(t *testing.T) {
	var rules []Rule
	for i := range otherMethod {
		rules = append(rules, Rule{Path: "/" + strconv.Itoa(i), Methods: []string{"M" + strconv.Itoa(i)}})
	}
	_, errs := NewTable(rules)
	if len(errs) != 2 || errs[0].Message != "more than 63 different methods in all" {
		t.Errorf("got %v", errs)
	}
}

func TestParamNames(t *testing.T) {
	f := func(path string, ok bool, want ...string) {
		t.Helper()
		names, good := ParamNames(path)
		if good != ok || ok && !slices.Equal(names, want) {
			t.Errorf("%s: %q, %v", path, names, good)
		}
		if path == "" {
			return
		}
		table, bad := NewTable([]Rule{{Path: path}})
		if (bad == nil) != ok || ok && !slices.Equal(table.Params(0), want) {
			t.Errorf("%s: the table says %v", path, bad)
		}
	}
	f("", true)
	f("/", true)
	f("/a%2Fb", true)
	f("/%zz", false)
	f("/{a}/{b:[0-9]+}/{c?}", true, "a", "b", "c")
	f("/x-{a}.{b}/{c:*}", true, "a", "b", "c")
	f("/{a}/{a}", false)
	f("/{a", false)
}
