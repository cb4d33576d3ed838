package headers

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// compiled returns the changes of a request that text says.
func compiled(t testing.TB, text string) *changes {
	t.Helper()
	f := config.Parse("test.toml", []byte(text), config.Options{})
	var c Config
	f.Root.Decode(&c)
	out := c.Request.compile(true)
	if errs := f.Finish(); errs != nil {
		t.Fatal(errs)
	}
	return out
}

func TestApply(t *testing.T) {
	f := func(keys, lines, want string) {
		t.Helper()
		x := new(edge.Exchange)
		x.Host = []byte("h")
		var fields header.Fields
		fields.SetLines([]byte(strings.ReplaceAll(lines, "|", "\r\n")), nil)
		compiled(t, "request = { "+keys+" }").apply(x, &fields)
		if got := strings.ReplaceAll(string(fields.Lines()), "\r\n", "|"); got != want {
			t.Errorf("%s: %s, want %s", keys, got, want)
		}
	}
	f(`remove = ["x-a", "X-P*"]`, "X-A: 1|a: 2|X-a: 3|x-pa: 4|Host: h|", "a: 2|Host: h|")
	f(`remove = ["H*", "D*"]`, "Host: h|Date: d|hx: 1|", "Host: h|Date: d|")
	f(`rename = { X-A = "X-B" }`, "X-B: 0|x-a: 1|c: 2|X-A: 3|", "X-B: 1|c: 2|X-B: 3|")
	f(`rename = { X-A = "X-B" }`, "X-B: 0|", "X-B: 0|")
	f(`rename = { x-a = "X-A" }`, "x-a: 0|", "X-A: 0|")
	f(`set = { X-A = "{host}" }`, "c: 1|X-a: 2|d: 3|x-A: 4|", "c: 1|X-A: h|d: 3|")
	f(`set = { X-A = "{headers.x-none}" }`, "X-A: 1|", "")
	f(`add = { X-A = "{host}" }`, "X-A: 1|", "X-A: 1|X-A: h|")
	f(`remove = ["X-A"], rename = { X-B = "X-A" }, set = { X-C = "1" }, add = { X-C = "2" }`, "X-A: 0|X-B: b|", "X-A: b|X-C: 1|X-C: 2|")
}

func TestReadmeShowsTheExample(t *testing.T) {
	text, err := os.ReadFile("../../configs/headers.toml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil || !bytes.Contains(readme, text) {
		t.Errorf("README.md does not show the example (%v)", err)
	}
}

func TestStrict(t *testing.T) {
	f := func(scheme string, want ...string) {
		t.Helper()
		x := new(edge.Exchange)
		x.Scheme = scheme
		strictChanges().apply(x, &x.Resp.Fields)
		var names []string
		for name := range x.Resp.Each() {
			names = append(names, string(name))
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: %q", scheme, names)
		}
	}
	f("http", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy")
	f("https", "Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy")
}
