package config

import (
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/config/suggest"
)

// What users of other gateways write gets one line that shows the right form.
func TestHints(t *testing.T) {
	const start = "[[listener]]\naddress = \":8080\"\n"
	f := func(text string, want string) {
		t.Helper()
		c := Load("f", []byte(text), Options{})
		c.File.Root.Value("pool")
		if got := c.File.Finish().Error(); got != want {
			t.Errorf("%s\ngives %s\nwant  %s", text, got, want)
		}
	}
	f(strings.Replace(start, `":8080"`, `:8080`, 1), `f:2:11: expected value but found ':' instead: a string stands in quotes, address = ":8080"`)
	f(start+"[[route]]\npath = /api\n", `f:4:8: expected value but found '/' instead: a string stands in quotes, path = "/api"`)
	f(start+"[redis]\npassword = s3cret\n", `f:4:12: expected value but found "s" instead: a string stands in quotes, password = "…"`)
	f(start+"[pool.app]\n[[route]]\nprefix = \"/\"\n[pool.app]\n", `f:6:2: pool.app is already defined at line 3`)
	f(start+"[[route]]\nprefix = \"/\"\nprefix = \"/b\"\n", `f:5:1: route.prefix is already defined at line 4`)
	f(start+"[[route]]\npath = \"/api/*\"\n",
		`f:4:1: route[1].path: * is no pattern at the end of a path: write prefix = "/api/" or path = "/api/{rest:*}"`)
	f(start+"[[route]]\nprefix = \"/x/*\"\n",
		`f:4:1: route[1].prefix: * is no pattern at the end of a prefix: write prefix = "/x/"`)
	f(start+"[[route]]\nprefix = \"/\"\nhosts = [\"https://a.example/\"]\n",
		`f:5:10: route[1].hosts[1]: a host is a name without a scheme, such as https://, is "https://a.example/" (did you mean "a.example"?)`)
	f(start+"[[route]]\npath = \"/{rest:*}\"\n", "")
}

func TestTargetHints(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		if err := CheckServer("target", address); err == nil || err.Error() != want {
			t.Errorf("%s gives %v, want %s", address, err, want)
		}
	}
	f("redis://u:pw@h:1", `target "h:1" is host:port and no URL: write "h:1"`) // no message shows a password
	f("u:pw@h", `target "h" is not host:port or unix:/path`)
	f("https://host", `target "https://host" is host:port and no URL: write "host:443" and, in [pool.NAME.tls], enabled = true`)
	f("http://host:81/x", `target "http://host:81/x" is host:port and no URL: write "host:81"`)
}

func TestSuggestAbbreviation(t *testing.T) {
	kinds := []string{"round_robin", "least_connections", "random", "ewma", "ran_out"}
	for got, want := range map[string]string{"leastconn": "least_connections", "least-conn": "least_connections",
		"roundrobin": "round_robin", "rand": "random", "ran": "", "Round": "round_robin"} {
		if s := suggest.Nearest(got, kinds); s != want {
			t.Errorf("%s: %q, want %q", got, s, want)
		}
	}
}
