package fresh

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNoVarySearch(t *testing.T) {
	f := func(field, want string) {
		t.Helper()
		q, ok := ParseNoVarySearch(field)
		got := "none"
		if ok {
			got = fmt.Sprintf("%v %v %q", q.AnyOrder, q.Ignored, q.Names)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", field, got, want)
		}
	}
	f("", `false false []`)
	f("key-order", `true false []`)
	f("key-order=?0", `false false []`)
	f("params", `false true []`)
	f("params=?0", `false false []`)
	f(`params=("a" "b%20c+d")`, `false false ["a" "b c d"]`)
	f(`params, except=("a")`, `false true ["a"]`)
	f(`key-order, params, except=("a" "b")`, `true true ["a" "b"]`)
	f(`other="x", params`, `false true []`)
	f(`except=("a")`, "none")
	f(`params=("a"), except=("a")`, "none")
	f(`params=?0, except=("a")`, "none")
	f(`params, except`, "none")
	f(`params=(a)`, "none")
	f(`params="a"`, "none")
	f(`key-order=1`, "none")
	f(`key-order=("a")`, "none")
	f(`params=("a"`, "none")
	f("params=("+strings.Repeat(`"a" `, mostNames+1)+")", "none")
}

func TestAppendQuery(t *testing.T) {
	f := func(field, query, want string) {
		t.Helper()
		q, _ := ParseNoVarySearch(field)
		if got := string(q.AppendQuery(nil, []byte(query))); got != want {
			t.Errorf("%s of %s: %s, want %s", field, query, got, want)
		}
	}
	f("", "b=%31&&a", "b=%31&&a")
	f("key-order", "b=%31&&a&b=0", "a=&b=1&b=0")
	f(`params=("a")`, "b=1&a=2&%61=3&c+d=%zz", "b=1&c%20d=%25zz")
	f("params", "b=1&a=2", "")
	f(`params, except=("a")`, "b=1&a=2&a=%c3%a9", "a=2&a=%C3%A9")
}

// pairs is what a query says, as net/url has it, under a rule.
func pairs(q QueryRule, query string) (list []string) {
	for _, pair := range strings.Split(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err != nil || err2 != nil {
			panic("the test makes no such queries")
		}
		if slices.ContainsFunc(q.Names, func(n []byte) bool { return string(n) == name }) == q.Ignored {
			list = append(list, fmt.Sprintf("%q %q", name, value))
		}
	}
	if q.AnyOrder {
		slices.SortStableFunc(list, func(a, b string) int {
			x, _, _ := strings.Cut(a, " ")
			y, _, _ := strings.Cut(b, " ")
			return strings.Compare(x, y)
		})
	}
	return list
}

// TestQueriesAgainstTwin: queries have the same form if, and only if, they say the same under the rule.
func TestQueriesAgainstTwin(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "%61", "", "c", "%20", "+"})
	pair := rapid.Custom(func(t *rapid.T) string {
		return name.Draw(t, "name") + rapid.SampledFrom([]string{"", "=", "=1", "=%31", "=2", "=%C3%A9", "=="}).Draw(t, "value")
	})
	query := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(pair, 0, 4).Draw(t, "pairs"), "&")
	})
	rapid.Check(t, func(t *rapid.T) {
		q := QueryRule{AnyOrder: rapid.Bool().Draw(t, "any order"), Ignored: rapid.Bool().Draw(t, "ignored")}
		for _, n := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "", " "}), 0, 2).Draw(t, "names") {
			q.Names = append(q.Names, []byte(n))
		}
		if q.Default() {
			return
		}
		one, two := query.Draw(t, "one"), query.Draw(t, "two")
		a, b := string(q.AppendQuery(nil, []byte(one))), string(q.AppendQuery(nil, []byte(two)))
		if same := slices.Equal(pairs(q, one), pairs(q, two)); same != (a == b) {
			t.Fatalf("%+v: %q is %q, %q is %q, the same is %v", q, one, a, two, b, same)
		}
		if again := string(q.AppendQuery(nil, []byte(a))); again != a {
			t.Fatalf("%q becomes %q", a, again)
		}
		var back QueryRule
		if err := back.ParseRule(q.Append(nil)); err != nil || fmt.Sprint(back) != fmt.Sprint(q) {
			t.Fatalf("%v, %v", back, err)
		}
	})
}

func FuzzNoVarySearch(f *testing.F) {
	f.Add(`params=("a"), key-order`, "a=1&b=%32", []byte{3, 1, 'a'})
	f.Add(`params, except=("%zz")`, "%zz&+=%", []byte{0, 200})
	f.Fuzz(func(t *testing.T, field, query string, rule []byte) {
		if q, ok := ParseNoVarySearch(field); ok {
			form := q.AppendQuery(nil, []byte(query))
			if !bytes.Equal(q.AppendQuery(nil, form), form) {
				t.Errorf("%q is not the form of itself", form)
			}
		}
		var q QueryRule
		if q.ParseRule(rule) == nil {
			q.AppendQuery(nil, []byte(query))
			var back QueryRule
			if err := back.ParseRule(q.Append(nil)); err != nil {
				t.Error(err)
			}
		}
	})
}
