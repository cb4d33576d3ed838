package pathtmpl

import (
	"strings"
	"testing"
)

type values []string

func (v values) ParamAt(i int) []byte { return []byte(v[i]) }

func TestAppend(t *testing.T) {
	f := func(text string, prefixed bool, path string, cut int, want string) {
		t.Helper()
		tmpl, _, message := Parse(text, []string{"a", "b"}, prefixed)
		if message != "" {
			t.Fatalf("%s: %s", text, message)
		}
		if got := string(tmpl.Append([]byte("x"), values{"1", "%2F"}, []byte(path), cut)); got != "x"+want {
			t.Errorf("%s of %s: %s, want x%s", text, path, got, want)
		}
	}
	f("", false, "/p", 0, "")
	f("/x", false, "/p", 0, "/x")
	f("/{b}/{a}{b}.html", false, "/p", 0, "/%2F/1%2F.html")
	f("/x/{path...}", false, "//p/q", 0, "/x/p/q")
	f("/x/{path...}", true, "/p//q/", 2, "/x/q/")
	f("/x/{path...}", true, "/p", 2, "/x/")
	f("/x/", true, "/p/q", 2, "/x/q")
	f("/x/", true, "/p/q", 3, "/x/q")
	f("/x/", false, "/p/q", 0, "/x/")
	f("/x", true, "/p/q", 2, "/x")
	f("/{path...}/", true, "/p/q", 2, "/q/")
	f("/{a}/", true, "/p/q", 2, "/1/q")
}

func TestParse(t *testing.T) {
	f := func(text string, names []string, skeleton, want string) {
		t.Helper()
		if _, got, message := Parse(text, names, true); got != skeleton || message != want {
			t.Errorf("%s: %q, %q", text, got, message)
		}
	}
	const ends = "; {path...} is the rest of the path"
	f("/a/{b}{path...}", []string{"b"}, "/a/xx", "")
	f("/a}/", nil, "/a}/", "")
	f("/{a", []string{"a"}, "", "an opening brace without a closing one")
	f("/{a}", nil, "", `the route has no parameter "a": its path has none`+ends)
	f("/{}", []string{"a", "b"}, "", `the route has no parameter "": its path has a, b`+ends)
}

func TestZeroTemplate(t *testing.T) {
	var tmpl Template
	if got := tmpl.Append(nil, nil, []byte("/a"), 0); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// FuzzParse: a template is what replacing its parameters one by one makes of it.
func FuzzParse(f *testing.F) {
	f.Add("/{a}/{path...}", "v", "/x/y")
	f.Add("/{a}{", "{a}", "//x")
	f.Fuzz(func(t *testing.T, text, value, path string) {
		tmpl, skeleton, message := Parse(text, []string{"a"}, false)
		if message != "" {
			return
		}
		rest := strings.TrimLeft(path, "/")
		want := strings.NewReplacer("{a}", value, "{path...}", rest).Replace(text)
		if got := string(tmpl.Append(nil, values{value}, []byte(path), 0)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if got := strings.NewReplacer("{a}", "x", "{path...}", "x").Replace(text); got != skeleton {
			t.Errorf("%q: skeleton %q, want %q", text, skeleton, got)
		}
	})
}
