package fresh

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
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
	f(`params, key-order, except=("a")`, `true true ["a"]`)
	f("key-order=?1", `true false []`)
	f("params=?1", `false true []`)
	f(`params=()`, `false false []`)
	f(`params, except=()`, `false true []`)
	f(`params=("%C3%A9+%E6%B0%97")`, `false false ["é 気"]`)
	f(`params=("%f6" "%e2%82" "%zz")`, "false false [\"\ufffd\" \"\ufffd\" \"%zz\"]")
	f(`key-order;a=1, params;b=("a";c);d`, "none") // parameters are no lists
	f(`key-order;a=1, params=("a";b "c\"\\");d`, `true false ["a" "c\"\\"]`)
	f(`params=("a"), params=1, params`, `false true []`) // RFC 9651 section 3.2: the last one counts
	f("unknown-key", `false false []`)
	f(`other="x", params`, `false true []`)
	f(`except=("a")`, "none")
	f(`params=("a"), except=("a")`, "none")
	f(`params=?0, except=("a")`, "none")
	f(`params=(), except=()`, "none")
	f(`except=()`, "none")
	f(`params, except`, "none")
	f(`params, except=?0`, "none")
	f(`params, except="a"`, "none")
	f(`params, except=(a)`, "none")
	f(`params=(a)`, "none")
	f(`params="a"`, "none")
	f(`key-order=1`, "none")
	f(`key-order=("a")`, "none")
	f(`key-order="a"`, "none")
	f("params,", "none")
	f("Params", "none")
	f(`params=("a"`, "none")
	f("params=("+strings.Repeat(`"a" `, mostNames+1)+")", "none")
	q, ok := ParseNoVarySearch("params=(" + strings.Repeat(`"a" `, mostNames) + ")")
	if !ok || len(q.Names) != mostNames {
		t.Errorf("%d names", len(q.Names))
	}
}

func TestDefaultRule(t *testing.T) {
	f := func(field string, want bool) {
		t.Helper()
		q, _ := ParseNoVarySearch(field)
		if got := q.Default(); got != want {
			t.Errorf("%s: %v, want %v", field, got, want)
		}
	}
	f("", true)
	f("params=?0", true)
	f("params=()", true)
	f("key-order=?0", true)
	f("unknown-key", true)
	f(`key-order, params=("a`, true) // what has an error says nothing
	f(`key-order, params=("a"), except=("b")`, true)
	f("key-order", false)
	f("params", false)
	f(`params=("a")`, false)
	f(`params, except=()`, false)
}

// TestEquivalentQueries has the examples of the draft's section on comparing, and what they leave open.
func TestEquivalentQueries(t *testing.T) {
	f := func(want bool, field, one, two string) {
		t.Helper()
		q, ok := ParseNoVarySearch(field)
		if !ok {
			t.Fatalf("%s cannot be read", field)
		}
		a, b := q.AppendQuery(nil, []byte(one)), q.AppendQuery(nil, []byte(two))
		if bytes.Equal(a, b) != want {
			t.Errorf("%s: %s is %s, %s is %s, want the same: %v", field, one, a, two, b, want)
		}
	}
	f(true, "key-order", "a=x", "%61=%78")
	f(true, "key-order", "a=é", "a=%C3%A9")
	f(true, "key-order", "a=%f6", "a=%ef%bf%bd")
	f(true, "key-order", "a=x&&&&", "a=x")
	f(true, "key-order", "a=", "a")
	f(true, "key-order", "a=%20", "a=+")
	f(true, "key-order", "a= &", "a=+")
	f(false, "", "a=b&&&c", "a=b&c=")
	f(false, "", "a=x", "%61=%78")
	for i, one := range []string{"é 気=1", "é+気=2", "%C3%A9%20気=3", "%C3%A9+%E6%B0%97=4"} {
		f(true, `params=("%C3%A9+%E6%B0%97")`, one, "")
		f(false, `params, except=("%C3%A9+%E6%B0%97")`, one, fmt.Sprintf("%s%d", one, i))
	}
	f(true, "key-order", "b=1&a=2", "a=2&b=1")
	f(false, "key-order", "a=1&a=2", "a=2&a=1") // the values of one name stay in their order
	f(true, "key-order", "a=1&b=0&%61=2", "b=0&a=1&a=2")
	many := strings.Repeat("b&a=1&a=2&", 20) // more than are sorted by inserting, which is stable by itself
	f(true, "key-order", many, strings.Repeat("a=1&a=2&", 20)+strings.Repeat("b&", 20))
	f(false, `params=("a")`, "b=1&c=2", "c=2&b=1")
	f(false, `params=("ab")`, "a=1", "a=2") // a part of a name is another name
	f(false, `params=("a")`, "ab=1", "ab=2")
	f(false, "key-order", "", "=")
	f(false, "key-order", "a=b%26c=d", "a=b&c=d")
	f(false, "key-order", "a%3D=b", "a==b")
	f(false, "key-order", "a;b", "a&b")
	f(false, "key-order", "a=%e2%82", "a=%e2%82%82%82")
	f(true, "key-order", "a=%e2%82&", "a=%ff")
	f(false, "key-order", "a=%e2%28", "a=%ff")
	f(true, `params, except=("%ff")`, "%fe=1", "%ff=1")
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
func pairs(q *QueryRule, query string) (list []string) {
	if q.Default() {
		return []string{query}
	}
	for _, pair := range strings.Split(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if slices.ContainsFunc(q.Names, func(n []byte) bool { return string(n) == name }) == q.Ignored {
			list = append(list, fmt.Sprintf("%q %q", name, value))
		}
	}
	if q.AnyOrder {
		slices.SortStableFunc(list, func(a, b string) int {
			x, _ := strconv.QuotedPrefix(a)
			y, _ := strconv.QuotedPrefix(b)
			return strings.Compare(x, y)
		})
	}
	return list
}

// unescape decodes with net/url, which takes no % that begins no escape, and no notice of what is no UTF-8.
func unescape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(s[i])
		if s[i] == '%' && !escape.MatchString(s[i:]) {
			b.WriteString("25")
		}
	}
	text, err := url.QueryUnescape(b.String())
	if err != nil {
		panic(err)
	}
	return wellFormed(text)
}

var escape = regexp.MustCompile("^%[0-9A-Fa-f]{2}")

// characters is table 3-7 of the Unicode standard: the bytes of which characters consist.
var characters = [][][2]byte{
	{{0, 0x7f}},
	{{0xc2, 0xdf}, {0x80, 0xbf}},
	{{0xe0, 0xe0}, {0xa0, 0xbf}, {0x80, 0xbf}},
	{{0xe1, 0xec}, {0x80, 0xbf}, {0x80, 0xbf}},
	{{0xed, 0xed}, {0x80, 0x9f}, {0x80, 0xbf}},
	{{0xee, 0xef}, {0x80, 0xbf}, {0x80, 0xbf}},
	{{0xf0, 0xf0}, {0x90, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}},
	{{0xf1, 0xf3}, {0x80, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}},
	{{0xf4, 0xf4}, {0x80, 0x8f}, {0x80, 0xbf}, {0x80, 0xbf}},
}

// wellFormed puts U+FFFD in the place of each longest beginning of a character that has no end.
func wellFormed(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		taken, whole := 1, false
		for _, row := range characters {
			n := 0
			for n < len(row) && n < len(s) && row[n][0] <= s[n] && s[n] <= row[n][1] {
				n++
			}
			taken, whole = max(taken, n), whole || n == len(row)
		}
		if whole {
			b.WriteString(s[:taken])
		} else {
			b.WriteString("\ufffd")
		}
		s = s[taken:]
	}
	return b.String()
}

// TestQueriesAgainstTwin: queries have the same form if, and only if, they say the same under the rule.
func TestQueriesAgainstTwin(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "%61", "", "c", "%20", "+",
		"%C3%A9", "é", "%ff", "%E2%82", "%", "%zz"})
	piece := rapid.SampledFrom([]string{"1", "%31", "2", "=", "%3D", "%26", "%C3%A9", "é", "%", "%2", "5",
		"%zz", "%E2", "%82", "%ac", "\xff", "%F0%9F", "%98", "%80", "%ED%A0%80", "%EF%BF%BD"})
	ruled := rapid.SampledFrom([]string{"a", "b", "", " ", "é", "\ufffd", "%"})
	pair := rapid.Custom(func(t *rapid.T) string {
		value := strings.Join(rapid.SliceOfN(piece, 0, 4).Draw(t, "value"), "")
		return name.Draw(t, "name") + rapid.SampledFrom([]string{"", "="}).Draw(t, "equals") + value
	})
	query := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(pair, 0, 4).Draw(t, "pairs"), "&")
	})
	rapid.Check(t, func(t *rapid.T) {
		q := QueryRule{AnyOrder: rapid.Bool().Draw(t, "any order"), Ignored: rapid.Bool().Draw(t, "ignored")}
		for _, n := range rapid.SliceOfN(ruled, 0, 2).Draw(t, "names") {
			q.Names = append(q.Names, []byte(n))
		}
		one, two := query.Draw(t, "one"), query.Draw(t, "two")
		if rapid.Bool().Draw(t, "turned") { // or queries that say the same are rare
			list := strings.Split(one, "&")
			at := rapid.IntRange(0, len(list)).Draw(t, "at")
			two = strings.Join(slices.Concat(list[at:], list[:at]), "&&")
		}
		a, b := string(q.AppendQuery(nil, []byte(one))), string(q.AppendQuery(nil, []byte(two)))
		if same := slices.Equal(pairs(&q, one), pairs(&q, two)); same != (a == b) {
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
	f.Add(`params=("a"), key-order`, "a=1&b=%32", "b=2&a", []byte{3, 1, 'a'})
	f.Add(`params, except=("%zz")`, "%zz&+=%", "%25zz", []byte{0, 200})
	f.Add(`key-order;x=1, params=("%C3%A9+%E6%B0%97" "%f6");y`, "%F6=%e2%82&a=\xe2", "a=%ef%bf%bd", []byte{2})
	f.Add(`other=:YQ==:, params=?0, key-order=?1`, "&&a==&=", "=&a=%3D", []byte{4})
	f.Add(`params, except=("a", "b")`, "a;b", "a%3bb", []byte{1, 0x81, 0, 'a'})
	f.Fuzz(func(t *testing.T, field, one, two string, rule []byte) {
		check := func(q *QueryRule) {
			t.Helper()
			a, b := string(q.AppendQuery(nil, []byte(one))), string(q.AppendQuery(nil, []byte(two)))
			if same := slices.Equal(pairs(q, one), pairs(q, two)); same != (a == b) {
				t.Errorf("%+v: %q is %q, %q is %q, the same is %v", q, one, a, two, b, same)
			}
			if again := string(q.AppendQuery(nil, []byte(a))); again != a {
				t.Errorf("%q becomes %q", a, again)
			}
			var back QueryRule
			if err := back.ParseRule(q.Append(nil)); err != nil || fmt.Sprint(back) != fmt.Sprint(*q) {
				t.Errorf("%+v is read back as %+v, %v", q, back, err)
			}
		}
		if q, ok := ParseNoVarySearch(field); ok {
			check(&q)
		} else if !q.Default() {
			t.Errorf("%q: %+v", field, q)
		}
		var q QueryRule
		if q.ParseRule(rule) != nil {
			return
		}
		for i, n := range q.Names { // a rule that was parsed has nothing else
			q.Names[i] = []byte(wellFormed(string(n)))
		}
		check(&q)
	})
}
