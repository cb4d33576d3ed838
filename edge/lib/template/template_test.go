package template

import (
	"encoding/json"
	"html"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// letters are names of one letter; the value of each is given by a test.
type letters map[string]string

var forms = map[string]Form{"t": Plain, "p": PathForm, "q": QueryForm, "h": HostForm}

func (letters) Find(name string) (Var, bool) {
	f, ok := forms[name]
	return Var{Kind: int(f), Name: []byte(name), Form: f, Rooted: name == "p"}, ok
}

func (letters) Known() string { return "{t}, {p}, {q}, {h}" }

func (l letters) AppendVar(dst []byte, v *Var) []byte { return append(dst, l[string(v.Name)]...) }

func TestAppend(t *testing.T) {
	f := func(text string, place Place, values letters, want string) {
		t.Helper()
		tmpl, message := Parse(text, place, values)
		if message != "" {
			t.Fatalf("%s: %s", text, message)
		}
		got, ok := tmpl.Append([]byte("x"), values)
		if string(got) != "x"+want || !ok {
			t.Errorf("%s: %q, %v, want x%q", text, got, ok, want)
		}
	}
	f("", Text, nil, "")
	f("a{t}b{t}", Text, letters{"t": "\r\n"}, "a\r\nb\r\n")
	f("{{t}} {{ }} {} {\"a\":{\"b\":\"{t}\"}} { } {1}", JSON, letters{"t": "\"\\\n\xffé"},
		"{t} { }} {} {\"a\":{\"b\":\"\\\"\\\\\\u000a\uFFFDé\"}} { } {1}")
	f("<p>{t}", HTML, letters{"t": "<a href='x'>\"&"}, "<p>&lt;a href=&#39;x&#39;&gt;&#34;&amp;")
	f("a {t}", Field, letters{"t": "1\r\nB: 2\x00\x7f\t\xe9"}, "a 1B: 2\t\xe9")
	f("{h}", Host, letters{"h": "[::1]:80"}, "[::1]:80")
	f("{t}.example.org", Host, letters{"t": "a-b"}, "a-b.example.org")
	f("/a/{t}{p}", Path, letters{"t": "b/c?d%é", "p": "/x%2Fy;z=1/"}, "/a/b%2Fc%3Fd%25%C3%A9/x%2Fy;z=1/")
	f("/{q}/{h}", Path, letters{"q": "a=b&c", "h": "a:1"}, "/a%3Db%26c/a:1")
	f("a={t}&b={p}&{q}&c={h}", Query, letters{"t": "a&b=c d+e", "p": "/a&b/%20+", "q": "x=1&y#", "h": "a:1"},
		"a=a%26b%3Dc%20d%2Be&b=/a%26b/%20%2B&x=1&y%23&c=a:1")
}

func TestRefused(t *testing.T) {
	for _, v := range []letters{{"t": "a:1"}, {"t": ""}, {"t": "a/b"}, {"t": "a@b"}, {"t": "a b"}, {"t": "a\n"}} {
		tmpl, _ := Parse("{t}.org", Host, v)
		if got, ok := tmpl.Append(nil, v); ok {
			t.Errorf("%q", got)
		}
	}
}

func TestParse(t *testing.T) {
	f := func(text string, place Place, want string) {
		t.Helper()
		if _, message := Parse(text, place, letters{}); message != want {
			t.Errorf("%s: %q", text, message)
		}
	}
	f("{u}", Text, "{u} is not known; known are {t}, {p}, {q}, {h}")
	f("/{u.x-1}", Path, "{u.x-1} is not known; known are {t}, {p}, {q}, {h}")
	f("/{t", Path, "an opening brace without a closing one")
	f("/{t", Field, "")
	f("/{{t}}", Path, "a brace has no place in a URL: write %7B or %7D")
	f("/{}", Path, "a brace has no place in a URL: write %7B or %7D")
	f("a}", Host, "a brace has no place in a URL: write %7B or %7D")
}

func TestLooks(t *testing.T) {
	tmpl, _ := Parse("/a{p}/{t}", Path, letters{})
	if s := tmpl.Skeleton(); s != "/a/x/x" || tmpl.IsFixed() || !tmpl.Uses(int(PathForm)) || tmpl.Uses(int(HostForm)) {
		t.Errorf("%q", s)
	}
	tmpl, _ = Parse("/a", Path, letters{})
	if !tmpl.IsFixed() {
		t.Error("a literal has variables")
	}
	tmpl.Add(Var{Kind: 7})
	seen := 0
	if tmpl.Vars(func(v *Var) { seen = v.Kind }); seen != 7 || tmpl.Skeleton() != "/ax" {
		t.Errorf("%d %q", seen, tmpl.Skeleton())
	}
}

// FuzzAppend: whatever a template and its values are, the text cannot break the place where it is put, and means
// what was put there.
func FuzzAppend(f *testing.F) {
	f.Add("a{t}b{{t}}", "\r\n", uint8(Field))
	f.Add("{t}", "\"\\", uint8(JSON))
	f.Add("/{t}?", "../%", uint8(Path))
	f.Fuzz(func(t *testing.T, text, value string, at uint8) {
		place := Place(at % uint8(Query+1))
		values := letters{"t": value, "p": value, "q": value, "h": value}
		tmpl, message := Parse(text, place, values)
		if message != "" {
			return
		}
		got, ok := tmpl.Append(nil, values)
		again, okAgain := tmpl.Append(nil, values)
		if string(got) != string(again) || ok != okAgain {
			t.Fatalf("%q: %q, then %q", text, got, again)
		}
		one, _ := Parse("{t}", place, values)
		made, ok := one.Append(nil, values)
		switch plain := string(made); place {
		case Text:
			ok = plain == value
		case JSON:
			var back string
			ok = json.Unmarshal([]byte("\""+plain+"\""), &back) == nil && (back == value || !utf8.ValidString(value))
		case HTML:
			ok = html.UnescapeString(plain) == html.UnescapeString(html.EscapeString(value)) && !strings.ContainsAny(plain, "<>\"'")
		case Field:
			ok = !strings.ContainsAny(plain, "\r\n\x00")
		case Host:
			ok = ok == (value != "" && strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") == "")
		case Path, Query:
			back, err := url.PathUnescape(plain)
			ok = err == nil && back == value && !strings.ContainsAny(plain, " /?#&=+;\r\n\x00")
		}
		if !ok {
			t.Fatalf("place %d: %q becomes %q", place, value, made)
		}
	})
}
