package route

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	f := func(raw, want string, wantErr *PathError) {
		t.Helper()
		got, err := Canonical([]byte("kept"), []byte(raw))
		if err != wantErr || string(got) != "kept"+want {
			t.Errorf("Canonical(%q) = %q, %v; want %q, %v", raw, got, err, "kept"+want, wantErr)
		}
	}
	f("/", "/", nil)
	f("/a/b.c/~d", "/a/b.c/~d", nil)
	f("/a//b/", "/a//b/", nil)
	f("/[1]:@!$&'()*+,;=", "/[1]:@!$&'()*+,;=", nil)

	// Escapes.
	f("/%61%2D%2e%5f%7E", "/a-._~", nil)
	f("/%2f%5c%3f%23%20%25", "/%2F%5C%3F%23%20%25", nil)
	f("/%252e%252e/", "/%252e%252e/", nil)
	f("/\"<>^`{|}\xc3\xa9", "/%22%3C%3E%5E%60%7B%7C%7D%C3%A9", nil)
	f("/%zz", "", ErrBadEscape)
	f("/%4", "", ErrBadEscape)
	f("/%", "", ErrBadEscape)
	f("/%4g", "", ErrBadEscape)
	f("/%g4", "", ErrBadEscape)

	// What may not be there.
	f("", "", ErrPathStart)
	f("a", "", ErrPathStart)
	f("*", "", ErrPathStart)
	f("http://a/", "", ErrPathStart)
	f("//a", "", ErrDoubleSlash)
	f("/a#b", "", ErrFragment)
	f("/a?b", "", ErrQueryInPath)
	f("/a\x00", "", ErrNUL)
	f("/a%00", "", ErrNUL)
	f("/a\n", "", ErrControl)
	f("/a\x7f", "", ErrControl)
	f("/a%0d%0a", "", ErrControl)
	f("/a%7F", "", ErrControl)
	f("/a b", "", ErrSpace)
	f(`/a\..\b`, "", ErrBackslash)

}

func TestCanonicalDots(t *testing.T) {
	f := func(raw, want string, wantErr *PathError) {
		t.Helper()
		if got, err := Canonical(nil, []byte(raw)); err != wantErr || string(got) != want {
			t.Errorf("Canonical(%q) = %q, %v; want %q, %v", raw, got, err, want, wantErr)
		}
	}
	f("/.", "/", nil)
	f("/./", "/", nil)
	f("/a/.", "/a/", nil)
	f("/a/..", "/", nil)
	f("/a/../", "/", nil)
	f("/a/./b/../c", "/a/c", nil)
	f("/a/%2e%2E/c", "/c", nil)
	f("/a/.%2e/c", "/c", nil)
	f("/a//../b", "/a/b", nil)
	f("/.a/..b/...", "/.a/..b/...", nil)
	f("/..", "", ErrClimb)
	f("/../a", "", ErrClimb)
	f("/./..", "", ErrClimb)
	f("/a/../../b", "", ErrClimb)
	f("/%2e%2e/%2e%2e/etc/passwd", "", ErrClimb)
	f("/a/..//b", "", ErrDoubleSlash)
	f("/.//b", "", ErrDoubleSlash)
	f("/a/..//..", "/", nil) // the empty segment is gone in the end

	// Escaped separators.
	f("/a%2fb", "/a%2Fb", nil)
	f("/%2fa%5c", "/%2Fa%5C", nil)
	f("/a..%2fb", "/a..%2Fb", nil)
	f("/..%2Fadmin", "", ErrEscapedParent)
	f("/%2e%2e%2fadmin", "", ErrEscapedParent)
	f("/x%2f..", "", ErrEscapedParent)
	f("/x%5C..%5Cy", "", ErrEscapedParent)
	f("/x%2f.%2fy", "", ErrEscapedParent)
	f("/a%2f../../b", "", ErrEscapedParent)
	f("/%252f..", "/%252f..", nil)

	// Parameters.
	f("/..;/x", "", ErrDotParameter)
	f("/a/..;b=c/x", "", ErrDotParameter)
	f("/a/%2e%2E;/b", "", ErrDotParameter)
	f("/a/.%2e%3b/b", "", ErrDotParameter)
	f("/a/.;", "", ErrDotParameter)
	f("/a/x%2f..%3Bb", "", ErrDotParameter)
	f("/a/x;y%5c..;", "", ErrDotParameter)
	f("/a/..;b%2fx", "", ErrDotParameter)
	f("/a;b/..;", "", ErrDotParameter)
	f("/a/x;y%2f..", "", ErrEscapedParent)
	f("/a/..%2f;x", "", ErrEscapedParent)
	f("/a/x..;b/.a;/...;/;../%3b..", "/a/x..;b/.a;/...;/;../%3B..", nil)
	f("/a;b/../c", "/c", nil)
}

func TestMergeSlashes(t *testing.T) {
	f := func(raw, want string) {
		t.Helper()
		if got := string(MergeSlashes([]byte(raw))); got != want {
			t.Errorf("MergeSlashes(%q) = %q, want %q", raw, got, want)
		}
	}
	f("/", "/")
	f("/a/b/", "/a/b/")
	f("//", "/")
	f("//evil/a///b//", "/evil/a/b/")
	f("/a//../b", "/a/../b")
	f("/a%2f%2F/b", "/a%2f%2F/b")
}

func TestPathError(t *testing.T) {
	if got := ErrNUL.Error(); got != "bad path: a NUL byte is not allowed in the path" {
		t.Errorf("got %q", got)
	}
}

// canonicalTwin does what Canonical does, by splitting strings.
func canonicalTwin(raw string) (string, bool) {
	if !strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, "//") {
		return "", false
	}
	var out []string
	segments := strings.Split(raw[1:], "/")
	for i, s := range segments {
		s, ok := escapeTwin(s)
		if !ok {
			return "", false
		}
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." {
				if len(out) == 0 {
					return "", false
				}
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
			continue
		}
		parts := strings.Split(strings.ReplaceAll(s, "%5C", "%2F"), "%2F")
		for _, p := range parts {
			name, _, _ := strings.Cut(strings.ReplaceAll(p, "%3B", ";"), ";")
			if name == "." || name == ".." {
				return "", false
			}
		}
		out = append(out, s)
	}
	s := "/" + strings.Join(out, "/")
	return s, !strings.HasPrefix(s, "//")
}

func escapeTwin(s string) (string, bool) {
	const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if len(s) < i+3 || !strings.Contains("0123456789abcdefABCDEF", s[i+1:i+2]) ||
				!strings.Contains("0123456789abcdefABCDEF", s[i+2:i+3]) {
				return "", false
			}
			fmt.Sscanf(s[i+1:i+3], "%02x", &c)
			if c < ' ' || c == 127 {
				return "", false
			}
			i += 2
			if strings.IndexByte(unreserved, c) >= 0 {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
			continue
		}
		switch {
		case c <= ' ' || c == 127 || c == '\\' || c == '#' || c == '?':
			return "", false
		case c >= 128 || strings.IndexByte("\"<>^`{|}", c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

func checkCanonical(t *testing.T, raw string) {
	t.Helper()
	got, err := Canonical(nil, []byte(raw))
	want, ok := canonicalTwin(raw)
	if (err == nil) != ok || err == nil && string(got) != want {
		t.Fatalf("Canonical(%q) = %q, %v; the twin says %q, %v", raw, got, err, want, ok)
	}
	if err != nil {
		return
	}
	again, err := Canonical(nil, got)
	if err != nil || !bytes.Equal(got, again) {
		t.Fatalf("Canonical(%q) = %q, but of that it is %q, %v", raw, got, again, err)
	}
	if got[0] != '/' || bytes.HasPrefix(got, []byte("//")) || bytes.Contains(append(got, '/'), []byte("/../")) ||
		bytes.Contains(append(got, '/'), []byte("/./")) {
		t.Fatalf("Canonical(%q) = %q", raw, got)
	}
}

func TestCanonicalAgainstTwin(t *testing.T) {
	pieces := []string{
		"/", "/", "/", ".", "..", "a", "%2e", "%2E", "%2f", "%5C", "%25", "%c3", "%7e", "é", "{", "%0", "\\", ";", "%3b",
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		raw := "/"
		for range rnd.IntN(9) {
			raw += pieces[rnd.IntN(len(pieces))]
		}
		checkCanonical(t, raw)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"/", "/a/../%2e%2E/b", "/x%2f..", "/a/..//b", "/a/..;/b", "/\x00", "/%zz"} {
		f.Add(s)
	}
	f.Fuzz(checkCanonical)
}
