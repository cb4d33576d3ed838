package suggest

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSuggest(t *testing.T) {
	f := func(got, want string, known ...string) {
		t.Helper()
		if s := Nearest(got, known); s != want {
			t.Errorf("%q: got %q, want %q", got, s, want)
		}
	}
	f("usrs", "users", "app", "users")
	f("adress", "address", "address")
	f("tiemout", "timeout", "timeout")
	f("header-timeout", "header_timeout", "idle_timeout", "header_timeout")
	f("pol", "pool", "pool")
	f("users", "user", "user", "usersss")
	f("ab", "", "cd", "x")
	f("ip", "", "up")
	f("wholly", "", "different")
	f("same", "", "same")
	f("ünï", "", "uni")
	f("tïmeöut", "timeout", "timeout")
	f("", "", "a")
	f("x", "")
}

// slowDistance is the definition, without a table.
func slowDistance(a, b []rune) int {
	if len(a) == 0 || len(b) == 0 {
		return len(a) + len(b)
	}
	i, j := len(a)-1, len(b)-1
	cost := 1
	if a[i] == b[j] {
		cost = 0
	}
	d := min(slowDistance(a[:i], b)+1, slowDistance(a, b[:j])+1, slowDistance(a[:i], b[:j])+cost)
	if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
		d = min(d, slowDistance(a[:i-1], b[:j-1])+1)
	}
	return d
}

func TestDistance(t *testing.T) {
	word := rapid.StringOfN(rapid.RuneFrom([]rune("abcä")), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := []rune(word.Draw(t, "a")), []rune(word.Draw(t, "b"))
		if got, want := distance(a, b), slowDistance(a, b); got != want {
			t.Fatalf("%q to %q: got %d, want %d", string(a), string(b), got, want)
		}
	})
}
