package header

import (
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

const tchar = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func TestIsToken(t *testing.T) {
	for c := range 256 {
		s := string([]byte{byte(c)})
		want := strings.Contains(tchar, s)
		if IsToken(s) != want || IsToken("a"+s) != want || IsToken(s+"a") != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
	if IsToken("") {
		t.Error("the empty string is no token")
	}
}

func TestSameName(t *testing.T) {
	for i := range tchar {
		for j := range tchar {
			a, b := tchar[i:i+1], tchar[j:j+1]
			want := strings.EqualFold(a, b)
			if SameName([]byte("x"+a), "X"+b) != want || HasPrefix([]byte(a+"-y"), b) != want {
				t.Errorf("%s and %s: %v", a, b, !want)
			}
			if got := string(AppendLower(nil, []byte(a))); got != strings.ToLower(a) {
				t.Errorf("%s in lower case: %s", a, got)
			}
		}
	}
	if SameName([]byte("a"), "ab") || SameName(nil, "a") || HasPrefix([]byte("a"), "ab") || !HasPrefix([]byte("a"), "") {
		t.Error("names of different lengths are the same")
	}
	if name := []byte("ab"); View(name) != "ab" || View(nil) != "" {
		t.Error("a view shows something else")
	}
}

// FuzzCanonical holds names against those of fasthttp.
func FuzzCanonical(f *testing.F) {
	f.Add("sec-webSocket-KEY")
	f.Add("-x--y.z")
	f.Fuzz(func(t *testing.T, name string) {
		if want := string(fasthttp.AppendNormalizedHeaderKey(nil, name)); IsToken(name) && Canonical(name) != want {
			t.Errorf("%q: %q, want %q", name, Canonical(name), want)
		}
	})
}
