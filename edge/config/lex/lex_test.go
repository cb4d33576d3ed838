package lex

import (
	"strings"
	"testing"
)

func TestSkipString(t *testing.T) {
	f := func(text, rest string) {
		t.Helper()
		if got := text[SkipString(text, 0):]; got != rest {
			t.Errorf("%q: left %q, want %q", text, got, rest)
		}
	}
	f(`"a" x`, " x")
	f(`"a\" b" x`, " x")
	f(`'a\' x`, " x")
	f("\"a\nb\"", "\nb\"") // a string on one line ends with it
	f(`"""a"b""" x`, " x")
	f("'''a\n'b''' x", " x")
	f(`"""a\"""" x`, " x")
	f(`"`, "")
	f(`"""`, "")
	f(`"a\`, "")
}

func TestUnquote(t *testing.T) {
	f := func(quoted, want string) {
		t.Helper()
		if got := Unquote(quoted); got != want {
			t.Errorf("%s: %q, want %q", quoted, got, want)
		}
	}
	f(`"a\tb"`, "a\tb")
	f(`'a\tb'`, `a\tb`)
	f(`"\u00e9"`, "é")
	f(`"\q"`, `\q`)
}

func TestTooDeep(t *testing.T) {
	f := func(text string, want bool) {
		t.Helper()
		if _, deep := TooDeep(text); deep != want {
			t.Errorf("%.40q…: %v, want %v", text, deep, want)
		}
	}
	f("a = "+strings.Repeat("[", MaxDepth), false)
	f("a = "+strings.Repeat("[", MaxDepth+1), true)
	f("a = "+strings.Repeat("{", MaxDepth+1), true)
	f("a = '"+strings.Repeat("[", MaxDepth+1)+"'", false)
	f("# "+strings.Repeat("[", MaxDepth+1), false)
	f("a"+strings.Repeat(".a", maxDots+1)+" = 1", true)
}
