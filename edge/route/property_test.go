package route

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// dice makes rules and requests of a small alphabet out of bytes, so that they often meet.
type dice struct{ data []byte }

func (d *dice) roll(n int) int {
	if len(d.data) == 0 {
		return 0
	}
	v := int(d.data[0])
	d.data = d.data[1:]
	return v % n
}

func pick[T any](d *dice, from []T) T { return from[d.roll(len(from))] }

func (d *dice) rule() Rule {
	r := Rule{
		Hosts: pick(d, [][]string{
			nil, nil, {"a.org"}, {"*.org"}, {"*.a.org"}, {"b.a.org", "*.org"}, {"a.org", "*.a.org"},
			{"a.org:81"}, {"a.org", "*.org:81"}, {"*:81"}, {"*.org:80"},
		}),
		Listeners: pick(d, [][]string{nil, nil, nil, nil, {"in"}, {"out"}, {"in", "out"}}),
		Schemes:   pick(d, [][]string{nil, nil, nil, nil, {"http"}, {"https"}}),
		Methods: pick(d, [][]string{
			nil, nil, nil, {"GET"}, {"HEAD"}, {"POST"}, {"GET", "PUT"}, {"GET", "HEAD"}, {"POST", "HEAD"},
		}),
		Priority: pick(d, []int{0, 0, 0, 1}),
	}
	if v := pick(d, []string{"", "", "", "1", "*", "!", "~[12]"}); v != "" {
		r.Headers = []Predicate{{"X-A", v}}
	}
	if v := pick(d, []string{"", "", "", "", "a b", "*", "!", "~[ab ]+"}); v != "" {
		r.Query = []Predicate{{"q", v}}
	}
	if d.roll(4) == 0 {
		r.Prefix = d.path([]string{"a", "b", "aab", ""})
		return r
	}
	r.Path = d.path([]string{
		"a", "b", "ab", "", "{#}", "{#}", "{#:[ab]+}", "a{#}", "{#}b", "{#}-{#}", "a{#:b*}-{#}b",
		"{#}-{#}--{#}", "{#:.}a",
	})
	switch d.roll(6) {
	case 0:
		r.Path += "/{r:*}"
	case 1:
		r.Path += "/{o?}"
	case 2:
		r.Path += "/{o?:b+}"
	}
	r.Path = strings.Replace(r.Path, "//{", "/{", 1)
	for i := 0; strings.Contains(r.Path, "#"); i++ {
		r.Path = strings.Replace(r.Path, "#", string(rune('a'+i)), 1)
	}
	return r
}

func (d *dice) path(segments []string) string {
	path := ""
	for range 1 + d.roll(3) {
		path += "/" + pick(d, segments)
	}
	if strings.HasPrefix(path, "//") {
		path = path[1:]
	}
	return path
}

// request makes a request, mostly one that comes near a rule.
func (d *dice) request(rules []Rule) request {
	r := &rules[d.roll(len(rules))]
	path := paramSyntax.ReplaceAllStringFunc(r.Path+r.Prefix, func(string) string {
		return pick(d, []string{"a", "b", "ab", "a-b", "b--a-b"})
	})
	path += pick(d, []string{"", "", "", "", "/", "/a", "b"})
	if strings.HasPrefix(path, "//") || d.roll(4) == 0 {
		path = d.path([]string{"a", "b", "ab", "aab", "a-b", "a-b-a", "ab--b-", "a--b", "", "c", "abb"})
	}
	return request{
		method: pick(d, []string{"GET", "HEAD", "POST", "PUT", "BREW"}),
		host: pick(d, []string{
			"a.org", "a.org", "b.a.org", "b.a.org", "c.b.a.org", "org", "x.com", "", ".a.org",
			"a.org:81", "b.a.org:81", "x.com:81", "a.org:443",
		}),
		scheme:   pick(d, []string{"http", "https"}),
		listener: pick(d, []string{"in", "out", "else"}),
		path:     path,
		query:    pick(d, []string{"", "q=a+b", "%71=a%20b", "q", "x=1&q=a%zz", "&&q=ab&q=c", "q=c&q=a+b"}),
		header:   pick(d, []headerMap{nil, {"X-A": "1"}, {"X-A": "3"}, {"X-A": "|1"}, {"X-A": "3|1"}, {"X-A": ""}}),
	}
}

// table builds the rules and leaves out those that are wrong until none is.
func (d *dice) table(t *testing.T) (*Table, []Rule) {
	var rules []Rule
	for range 1 + d.roll(12) {
		rules = append(rules, d.rule())
	}
	for {
		table, errs := NewTable(rules)
		if len(errs) == 0 {
			return table, rules
		}
		for _, e := range slices.Backward(errs) {
			if !strings.Contains(e.Message, "same hosts") && !strings.Contains(e.Message, "two slashes") {
				t.Fatalf("%+v: %v", rules[e.Rule], e)
			}
			if e.Rule < len(rules) {
				rules = slices.Delete(rules, e.Rule, e.Rule+1)
			}
		}
	}
}

func (q *request) key() *Key {
	return &Key{
		Method: []byte(q.method), Host: NormalHost(nil, []byte(q.host)), Authority: []byte(q.host), Path: []byte(q.path),
		RawQuery: []byte(q.query), Header: q.header.fields(), Scheme: q.scheme, Listener: q.listener,
	}
}

func checkTable(t *testing.T, data []byte) {
	d := dice{data}
	table, rules := d.table(t)
	if len(rules) == 0 {
		return
	}
	shadowed := table.Shadowed()
	var m Match
	for range 12 {
		q := d.request(rules)
		k := q.key()
		table.Lookup(k, &m)
		want := twinLookup(rules, q)
		if problem := differs(table, &m, want); problem != "" {
			t.Fatalf("%s\nrequest %+v\nrules %+v\ngot %d, rule %d, allow %q\nwant %+v",
				problem, q, rules, m.Status, m.Rule, m.Allow, want)
		}
		if slices.ContainsFunc(shadowed, func(s Shadow) bool { return s.Rule == m.Rule }) {
			t.Fatalf("a shadowed rule won\nrequest %+v\nrules %+v\nrule %d, shadowed %v", q, rules, m.Rule, shadowed)
		}
		if list := table.Explain(k); m.Rule >= 0 && list[len(list)-1] != (Candidate{Rule: m.Rule}) {
			t.Fatalf("Explain says %v, Lookup %d\nrequest %+v\nrules %+v", list, m.Rule, q, rules)
		}
	}
}

func differs(table *Table, m *Match, want twinResult) string {
	if m.Status != want.status || m.Rule != want.rule {
		return "another result"
	}
	var allow []string
	if len(m.Allow) > 0 {
		allow = strings.Split(string(m.Allow), ", ")
	}
	slices.Sort(allow)
	if !slices.Equal(allow, want.allow) {
		return "another Allow"
	}
	if m.Rule < 0 {
		return ""
	}
	for i, name := range table.Params(m.Rule) {
		if string(m.ParamAt(i)) != want.params[name] || string(m.Param(name)) != want.params[name] {
			return "another value of parameter " + name + ": " + string(m.ParamAt(i))
		}
	}
	return ""
}

func TestTableAgainstTwin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	data := make([]byte, 500)
	for range 1000 {
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		checkTable(t, data)
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(checkTable)
}
