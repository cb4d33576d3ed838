package lookup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/edge"
)

// TestVary: an answer is for all that have the same values of the fields in Vary, and for nobody else (RFC 9111 section
// 4.1), however Vary and the fields are written.
func TestVary(t *testing.T) {
	list := func(fields ...string) []string { return fields }
	f := func(name, keys string, vary, first, second []string, same bool) {
		t.Helper()
		o := newOrigin(t, keys)
		counting(o, append(vary, "Cache-Control: max-age=60")...)
		a, b := o.ask("/a", first...), o.ask("/a", second...)
		if a.body != "answer 1" || b.hits() != same || (b.body == a.body) != same {
			t.Errorf("%s: %q %s and %q %s, the same is %v", name, a.body, a.as, b.body, b.as, same)
		}
		for want, fields := range map[string][]string{a.body: first, b.body: second} {
			if again := o.ask("/a", fields...); again.body != want || !again.hits() {
				t.Errorf("%s: %q again is %q %s, want %q", name, fields, again.body, again.as, want)
			}
		}
	}
	vary := list("Vary: X-Lang")
	f("the same", "", vary, list("X-Lang: a"), list("X-Lang: a"), true)
	f("another", "", vary, list("X-Lang: a"), list("X-Lang: b"), false)
	f("another case of the value", "", vary, list("X-Lang: a"), list("X-Lang: A"), false)
	f("none and none", "", vary, nil, nil, true)
	f("none and an empty one", "", vary, nil, list("X-Lang: "), false)
	f("one empty and two", "", vary, list("X-Lang: "), list("X-Lang: ", "X-Lang: "), false)
	f("lines in another order", "", vary, list("X-Lang: a", "X-Lang: b"), list("X-Lang: b", "X-Lang: a"), false)
	f("a name in another case", "", list("Vary: x-LANG"), list("X-Lang: a"), list("x-lang: a"), true)
	f("a name in another case, another value", "", list("Vary: x-LANG"), list("X-Lang: a"), list("x-lang: b"), false)
	f("two fields", "", list("Vary: X-Lang, X-Size"), list("X-Lang: a", "X-Size: 1"), list("X-Lang: a", "X-Size: 2"), false)
	f("two fields, in any order", "", list("Vary: X-Size,X-Lang"), list("X-Lang: a", "X-Size: 1"), list("X-Size: 1", "X-Lang: a"), true)
	f("two fields, values that change places", "", list("Vary: X-Size,X-Lang"), list("X-Lang: a", "X-Size: b"), list("X-Size: a", "X-Lang: b"), false)
	f("one field that could be two", "", list("Vary: X-Size,X-Lang"), list("X-Lang: a"), list("X-Size: a"), false)
	f("two lines of Vary", "", list("Vary: X-Lang", "Vary: X-Size"), list("X-Lang: a", "X-Size: 1"), list("X-Lang: a", "X-Size: 2"), false)
	f("empty elements", "", list("Vary: ,, X-Lang , ,"), list("X-Lang: a"), list("X-Lang: b"), false)
	f("nothing named", "", list("Vary: , ,"), list("X-Lang: a"), list("X-Lang: b"), true)
	f("a field of others", "", vary, list("X-Lang: a", "X-Other: 1"), list("X-Lang: a", "X-Other: 2"), true)
	f("preferences that say the same", "", list("Vary: Accept-Language"), list("Accept-Language: en;q=0.50, DE"),
		list("Accept-Language: de", "Accept-Language: en; q=0.5"), true)
	f("preferences that do not", "", list("Vary: Accept-Language"), list("Accept-Language: en;q=0.5, de"),
		list("Accept-Language: en, de;q=0.5"), false)
	f("codings that say the same", "", list("Vary: Accept-Encoding"), list("Accept-Encoding: br, gzip"),
		list("Accept-Encoding: GZIP;q=0.1, br, deflate"), true)
	f("what a fetch leaves out", "", list("Vary: X-Real-Ip"), list("X-Real-Ip: 1.1.1.1"), list("X-Real-Ip: 2.2.2.2"), true)
	f("what a fetch leaves out, beside another", "", list("Vary: X-Real-Ip, X-Lang"), list("X-Lang: a", "X-Real-Ip: 1.1.1.1"),
		list("X-Lang: b", "X-Real-Ip: 1.1.1.1"), false)
	f("cookies that are taken out", `cookies = "ignore"`, list("Vary: Cookie"), list("Cookie: a=1"), list("Cookie: a=2"), true)
	f("a cookie in the key", `key_cookies = ["a"]`, list("Vary: Cookie"), list("Cookie: a=1; b=1"), list("Cookie: b=2; a=1"), true)
	f("another cookie in the key", `key_cookies = ["a"]`, list("Vary: Cookie"), list("Cookie: a=1"), list("Cookie: a=2"), false)
	f("a field in the key besides", `key_headers = ["X-Size"]`, vary, list("X-Lang: a", "X-Size: 1"), list("X-Lang: a", "X-Size: 2"), false)
}

// TestVaryAny: an answer with a star in Vary is for nobody else, whatever stands beside the star, and nobody waits for
// the next one.
func TestVaryAny(t *testing.T) {
	for _, vary := range []string{"*", "X-Lang, *", "*, X-Lang", " * "} {
		o := newOrigin(t, "")
		counting(o, "Vary: "+vary, "Cache-Control: max-age=60", `ETag: "a"`)
		for i := range 3 {
			if g := o.ask("/a", "X-Lang: a"); g.body != fmt.Sprint("answer ", i+1) {
				t.Errorf("%q: %q %s", vary, g.body, g.as)
			}
		}
		if g := o.ask("/a"); !strings.Contains(g.as, "detail=known") {
			t.Errorf("%q: %s, not remembered", vary, g.as)
		}
	}
}

// TestVaryGoes: an answer without Vary does not take the place of those that are more about a request, and is for those
// alone that have the same values.
func TestVaryGoes(t *testing.T) {
	o := newOrigin(t, "")
	counting(o, "Vary: X-Lang", "Cache-Control: max-age=60")
	o.ask("/a", "X-Lang: a")
	o.reply(200, "for all", "Cache-Control: max-age=60")
	if g := o.ask("/a", "X-Lang: b"); g.body != "for all" {
		t.Error(g.body, g.as)
	}
	if g := o.ask("/a", "X-Lang: a"); g.body != "answer 1" || !g.hits() {
		t.Error(g.body, g.as)
	}
	if g := o.ask("/a", "X-Lang: b"); g.body != "for all" || !g.hits() {
		t.Error(g.body, g.as)
	}
	o.pass(61 * time.Second)
	if g := o.ask("/a", "X-Lang: a"); g.body != "for all" || g.hits() {
		t.Error(g.body, g.as)
	}
}

// TestVaryAgainstRule: whatever the target names in Vary from one answer to the next, nobody is given an answer that
// was chosen by other values than his own.
func TestVaryAgainstRule(t *testing.T) {
	names := []string{"X-A", "X-B", "Accept", "Accept-Encoding"}
	rapid.Check(t, func(t *rapid.T) {
		o := over(struct{ testing.TB }{nil}, newCache(t, ""))
		var vary []string
		o.says = func(x *edge.Exchange) *edge.Fault {
			said := fmt.Sprint(len(o.asked))
			for _, name := range vary {
				said += "|" + name + "=" + string(x.Req.Get(name))
			}
			lines := []string{"Cache-Control: max-age=10", `ETag: "` + fmt.Sprint(len(o.asked)) + `"`}
			if len(vary) > 0 {
				lines = append(lines, "Vary: "+strings.Join(vary, ", "))
			}
			answer(x, 200, said, lines...)
			return nil
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "change") == 0 {
				vary = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID).Draw(t, "vary")
			}
			if rapid.IntRange(0, 4).Draw(t, "wait") == 0 {
				o.pass(4 * time.Second)
			}
			values := map[string]string{}
			var fields []string
			for _, name := range names {
				from := []string{"", "v", "w"}
				if name == "Accept-Encoding" {
					from = []string{"identity", "gzip", "br, gzip"}
				}
				if values[name] = rapid.SampledFrom(from).Draw(t, name); values[name] != "" {
					fields = append(fields, name+": "+values[name])
				}
			}
			g := o.ask("/a", fields...)
			parts := strings.Split(g.body, "|")
			for _, part := range parts[1:] {
				name, chosen, _ := strings.Cut(part, "=")
				same := chosen == values[name] || name == "Accept-Encoding" // what is not encoded is good for all
				if !same {
					t.Fatalf("%q has got %q (%s)", fields, g.body, g.as)
				}
			}
		}
	})
}
