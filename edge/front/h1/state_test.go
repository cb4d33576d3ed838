package h1

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestStates: a transition is made or refused as the table says, and the README draws the same machine.
func TestStates(t *testing.T) {
	var want []string
	for from := range states {
		for to := range states {
			legal := next[from]&(1<<to) != 0
			if legal {
				want = append(want, from.String()+" --> "+to.String())
			}
			c := &conn{state: from}
			if got := enters(c, to); got != legal {
				t.Errorf("from %s to %s: entered %v, want %v", from, to, got, legal)
			}
			if legal != (c.state == to) && from != to {
				t.Errorf("from %s to %s: the state is %s", from, to, c.state)
			}
		}
	}
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`(?m)^    (\w+ --> \w+)`).FindAllString(string(text), -1)
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the README draws\n%s\nthe code has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for s := range states {
		if !strings.Contains(string(text), "\n| `"+s.String()+"` | ") {
			t.Errorf("the README does not name the owner of a connection that is %s", s)
		}
	}
}

// enters reports whether c may enter s. A panic of another kind than a refusal goes on.
func enters(c *conn, s state) (ok bool) {
	defer func() {
		if p := recover(); p != nil && !strings.HasPrefix(fmt.Sprint(p), "BUG: a connection goes from ") {
			panic(p)
		}
	}()
	c.enter(s)
	return true
}
