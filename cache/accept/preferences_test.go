package accept

import (
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"pgregory.net/rapid"
)

// preferences returns the normal form of lines of Accept.
func preferences(lines ...string) string {
	x := cachetest.Request("/")
	for _, l := range lines {
		x.Req.Add("Accept", l)
	}
	return string(AppendPreferences([]byte("key"), x, []byte("Accept"))[len("key"):])
}

func TestPreferences(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		if got := preferences(lines...); got != want {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
	f("")
	f("", "", " , ;,")
	f("de, en;q=0.5", "de,en;q=0.5")
	f("de, en;q=0.5", "EN; Q=0.500", " de ; q=1.000 ,,de")
	f("a, b, c;q=0.9, d;q=0.05, e;q=0.001, f;q=0", "f;q=0.0,e;q=0.001,d;q=0.050,c;q=0.9,b,a")
	f("text/html;level=1, text/html;q=0.4, */*;q=0.1", "*/*;q=0.1, TEXT/html;q=0.4", "text/HTML;Level=1")
	f(`a/b;x="1, \"2;q=0\""`, `A/b;x="1, \"2;q=0\"";q=1`)
	f(`A/b;q=1, a/b;x="1, 2`, `A/b;q=1, a/b;x="1, 2`)
	f("a;q=1.1, a;q=x, b", "b,a;q=x,a;q=1.1")
	many := strings.Repeat("a, ", mostPreferences) + "B"
	f("a, b", many)
	var differ []string
	for i := range mostPreferences + 1 {
		differ = append(differ, strings.Repeat("B", i+1))
	}
	f(strings.Join(differ, ", "), strings.Join(differ, ", "))
}

// TestPreferencesSaySame: what is normal stays as it is, and neither the order of equal elements, nor white space, case
// or lines make another form.
func TestPreferencesSaySame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		element := rapid.Custom(func(t *rapid.T) string {
			s := rapid.SampledFrom([]string{"de", "EN", "en-us", "*", `x;a="b,c"`, "text/*", "q", ""}).Draw(t, "value")
			return s + rapid.SampledFrom([]string{"", ";q=1", ";q=0.5", " ; Q=0.50", ";q=0", ";q=0.000", ";level=1", ";q=bad", ";"}).Draw(t, "param")
		})
		list := rapid.SliceOfN(element, 0, 12).Draw(t, "list")
		want := preferences(strings.Join(list, ","))
		if got := preferences(want); got != want {
			t.Fatalf("%q: %q, and that is %q", list, want, got)
		}
		other := rapid.Permutation(list).Draw(t, "other")
		other = append(other, other[:rapid.IntRange(0, len(other)).Draw(t, "twice")]...)
		if got := preferences(other...); got != want {
			t.Fatalf("%q: %q, and %q: %q", list, want, other, got)
		}
	})
}

// FuzzPreferences: the normal form of anything is normal, and has each element once.
func FuzzPreferences(f *testing.F) {
	f.Add("de, en;q=0.5")
	f.Add(`a;b="\",";q=0`)
	f.Fuzz(func(t *testing.T, s string) {
		once := string(normalPreferences([]byte(s), 0)[len(s):])
		twice := string(normalPreferences([]byte(once), 0)[len(once):])
		if once != twice {
			t.Errorf("%q: %q, and that is %q", s, once, twice)
		}
	})
}

func TestWeight(t *testing.T) {
	for thousandths := range 1001 {
		text := string(appendWeight(nil, thousandths))
		if text == "" {
			text = ";q=1"
		}
		if w, ok := weightOf([]byte(text[len(";q="):])); !ok || w != thousandths || strings.HasSuffix(text, ".") {
			t.Errorf("%d: %q, %d, %v", thousandths, text, w, ok)
		}
	}
	for _, bad := range []string{"", ".5", "2", "1.1", "0.1234", "00", "0,5", "-0", "0.5 "} {
		if w, ok := weightOf([]byte(bad)); ok {
			t.Errorf("%q: %d", bad, w)
		}
	}
}

// TestNormalAlready: what is taken for normal is what it would become.
func TestNormalAlready(t *testing.T) {
	for _, v := range []string{"", "*", "*/*", "en", "de-ch", "text/html", "application/problem+json", "iso-8859-1",
		"application/vnd.x.y-1.0+json", "q", "0"} {
		if !isNormal([]byte(v)) {
			t.Errorf("%q is not taken for normal", v)
		}
		if got := string(normalPreferences([]byte(v), 0)[len(v):]); got != v {
			t.Errorf("%q becomes %q", v, got)
		}
	}
	for _, v := range []string{"EN", "en;q=1", "a,b", "a, b", "\"a\"", "en "} {
		if isNormal([]byte(v)) {
			t.Errorf("%q is taken for normal", v)
		}
	}
}
