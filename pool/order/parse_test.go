package order

import (
	"fmt"
	"testing"

	"github.com/penstock-edge/penstock/pool/section"
)

func TestParse(t *testing.T) {
	f := func(rest, query, want string) {
		t.Helper()
		address, c, unknown, why := Parse(rest, []byte(query))
		got := fmt.Sprintf("%s %s %d", address, c.Verb, c.Weight)
		switch {
		case unknown:
			got = "unknown"
		case why != "":
			got = "wrong"
		}
		if got != want {
			t.Errorf("%s?%s: %s, want %s", rest, query, got, want)
		}
	}
	f("10.0.0.1:80/drain", "", "10.0.0.1:80 drain 0")
	f("10.0.0.1:80/undrain", "", "10.0.0.1:80 undrain 0")
	f("unix:/run/app.sock/drain", "", "unix:/run/app.sock drain 0")
	f("unix:%2Frun%2Fapp.sock/drain", "", "unix:/run/app.sock drain 0")
	f("[fe80::1%eth0]:80/drain", "", "[fe80::1%eth0]:80 drain 0")
	f("10.0.0.1:80/weight", "value=7", "10.0.0.1:80 weight 7")
	f("10.0.0.1:80/weight", "value=65535", "10.0.0.1:80 weight 65535")
	f("10.0.0.1:80/weight", "value=65536", "wrong")
	f("10.0.0.1:80/weight", "value=-1", "wrong")
	f("10.0.0.1:80/weight", "value=+1", "wrong")
	f("10.0.0.1:80/weight", "value=1&value=2", "wrong")
	f("10.0.0.1:80/weight", "weight=1", "wrong")
	f("10.0.0.1:80/weight", "", "wrong")
	f("10.0.0.1:80/drain", "force=1", "wrong")
	f("10.0.0.1:80/eject", "", "unknown")
	f("10.0.0.1:80", "", "unknown")
	f("", "", "unknown")
}

func TestApply(t *testing.T) {
	o, spec := &Order{}, &section.Target{Address: "a:1", Weight: 2}
	f := func(c Command, weight int32, closed bool) {
		t.Helper()
		if c.Apply(o, spec); o.Of(spec) != weight || (o.Closes(spec) != "") != closed {
			t.Errorf("%+v: weight %d, closed %q", c, o.Of(spec), o.Closes(spec))
		}
	}
	if o.Said() {
		t.Error("something was said")
	}
	f(Command{Verb: "weight", Weight: 9}, 9, false)
	f(Command{Verb: "drain"}, 9, true)
	f(Command{Verb: "undrain"}, 9, false)
	f(Command{Verb: "weight", Weight: 0}, 0, true)
	f(Command{Verb: "weight", Weight: 2}, 2, false)
	if o.Said() {
		t.Error("what is configured anyway was said")
	}
}
