package config

import "testing"

// TestMisspeltRequiredKey: a required key that is misspelt is one mistake, not two.
func TestMisspeltRequiredKey(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		c := Load("x.toml", []byte(text), Options{})
		c.File.Root.Children("pool")
		if got := c.File.Finish().Error(); got != want {
			t.Fatalf("%s\nwant %s", got, want)
		}
	}
	const route = "\n[[route]]\nprefix = \"/\"\n"
	f("[[listener]]\nadress = \":1\"\n"+route, `x.toml:2:1: listener[1].adress: unknown key (did you mean "address"?)`)
	f("[[listener]]\n"+route, `x.toml:1:1: listener[1].address: is required`)
	f("[[listener]]\nlimit = 1\n"+route, "x.toml:1:1: listener[1].address: is required\n"+
		"x.toml:2:1: listener[1].limit: unknown key")
}
