package route

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkLookup(b *testing.B) {
	for kind := range loads {
		for _, n := range []int{1, 100, 10000} {
			b.Run(fmt.Sprintf("%s/%d", loads[kind].name, n), func(b *testing.B) {
				table, k := load(b, kind, n)
				benchmarkLookup(b, table, k)
			})
		}
	}
	b.Run("predicates", func(b *testing.B) {
		table, k := guarded(b)
		benchmarkLookup(b, table, k)
	})
}

// BenchmarkLookupNone looks up what no route takes: 404 where no path fits, however much of one does, and 405
// where only the method does not.
func BenchmarkLookupNone(b *testing.B) {
	f := func(name string, n, status int, method, path string) {
		b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
			var rules []Rule
			for i := range n {
				rules = append(rules, Rule{Methods: []string{"GET"}, Path: fmt.Sprintf("/api/v1/things%d/{id}/parts", i)})
			}
			table := mustTable(b, rules...)
			q := request{method: method, path: path}
			if m := benchmarkLookup(b, table, q.key()); m.Status != status {
				b.Errorf("status %d, want %d", m.Status, status)
			}
		})
	}
	for _, n := range []int{1, 100, 10000} {
		f("path", n, 404, "GET", fmt.Sprintf("/api/v1/things%d/42/nothing", n-1))
		f("method", n, 405, "POST", fmt.Sprintf("/api/v1/things%d/42/parts", n-1))
	}
}

func benchmarkLookup(b *testing.B, table *Table, k *Key) *Match {
	m := new(Match)
	b.ReportAllocs()
	for b.Loop() {
		table.Lookup(k, m)
	}
	return m
}

// BenchmarkHostile looks paths up that were made to cost much: each segment of the path goes two
// ways in the tree of 4096 patterns, and none of them takes the request in the end; and a path of
// 16 KiB that is nothing but slashes.
func BenchmarkHostile(b *testing.B) {
	var rules []Rule
	for i := range 4096 {
		r := Rule{Headers: []Predicate{{"X-None", "1"}}}
		for bit := range 12 {
			if i>>bit&1 == 0 {
				r.Path += "/a"
			} else {
				r.Path += fmt.Sprintf("/{p%d}", bit)
			}
		}
		rules = append(rules, r)
	}
	rules = append(rules, Rule{Prefix: "/a" + strings.Repeat("/", 40)})
	table := mustTable(b, rules...)
	for _, path := range []string{strings.Repeat("/a", 12), "/a" + strings.Repeat("/", 16<<10)} {
		b.Run(path[:8], func(b *testing.B) {
			q := request{path: path}
			benchmarkLookup(b, table, q.key())
		})
	}
}

func BenchmarkNewTable(b *testing.B) {
	for kind := range loads {
		rules := make([]Rule, 10000)
		for i := range rules {
			rules[i] = loads[kind].rule(i)
		}
		b.Run(loads[kind].name+"/10000", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, errs := NewTable(rules); errs != nil {
					b.Fatal(errs)
				}
			}
		})
	}
}

func BenchmarkShadowed(b *testing.B) {
	var rules []Rule
	for i := range 10000 {
		rules = append(rules, Rule{Path: fmt.Sprintf("/things%d/{id}", i), Priority: i % 2})
	}
	table := mustTable(b, rules...)
	b.ReportAllocs()
	for b.Loop() {
		table.Shadowed()
	}
}

func BenchmarkCanonical(b *testing.B) {
	f := func(name, raw string, want *PathError) {
		b.Run(name, func(b *testing.B) {
			dst, in := make([]byte, 0, 256), []byte(raw)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Canonical(dst, in); err != want {
					b.Fatal(err)
				}
			}
		})
	}
	f("plain", "/api/v1/users/42/orders", nil)
	f("long", strings.Repeat("/segment", 25), nil)
	f("dots", "/api/./v1/users/../things/42", nil)
	f("escapes", "/%7euser/%c3%a9t%c3%a9|x%2Fy", nil)
	f("refused", "/api/v1/../../../etc/passwd", ErrClimb)
}
