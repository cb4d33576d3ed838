package live

import (
	"errors"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

// fragile panics in the step that `[fragile] at` names.
func fragile() edge.Feature {
	return edge.Feature{Name: "fragile", New: func(h *edge.Host) *edge.Instance {
		var c struct {
			At string `toml:"at"`
		}
		t := h.Config.File.Root.Child("fragile")
		if t == nil {
			return nil
		}
		t.Decode(&c)
		at := func(step string) func() {
			return func() {
				if c.At == step {
					panic("BUG: " + step)
				}
			}
		}
		at("new")()
		return &edge.Instance{
			Route: func(*edge.RouteSetup) { at("route")() }, Open: at("open"), Start: at("start"), Close: at("close"),
			Reopen: at("reopen"), Unready: func() string { at("ready")(); return "" },
		}
	}}
}

// Whatever panics while a file is built, it is an error with a place, and the running generation stays.
func TestPanicsAreErrorsOfTheFile(t *testing.T) {
	x := &text{s: goodFile}
	l, current := newLive(t, x, fragile())
	mustLoad(t, l)
	g := current.Load()
	for _, step := range []string{"new", "route", "open"} {
		x.set(goodFile + "[fragile]\nat = \"" + step + "\"\n")
		_, err := l.Load()
		var errs config.Errors
		if !errors.As(err, &errs) || len(errs) != 1 || !strings.Contains(errs[0].Message, "BUG: "+step) {
			t.Fatalf("%s: %v", step, err)
		}
		if e := errs[0]; step == "new" && (e.Line != 8 || e.Key != "fragile") {
			t.Errorf("%s: %+v does not name the section", step, e)
		}
		if current.Load() != g {
			t.Fatalf("%s: the generation does not stay", step)
		}
	}
	for _, step := range []string{"start", "close", "reopen", "ready"} { // nobody is refused for that any more
		x.set(goodFile + "[fragile]\nat = \"" + step + "\"\n")
		mustLoad(t, l)
		l.Reopen()
		if why := l.Unready(); why != "" {
			t.Errorf("%s: not ready: %s", step, why)
		}
	}
	x.set(goodFile)
	mustLoad(t, l)
	eventually(t, "all others have closed", func() bool { return len(l.generations()) == 1 })
}

// A panic that no step contains answers all callers.
func TestPanicOfTheSource(t *testing.T) {
	x := &text{s: goodFile}
	l, current := newLive(t, x)
	mustLoad(t, l)
	g := current.Load()
	l.o.Text = func() (string, []byte, error) { panic("source") }
	if _, err := l.Load(); err == nil || !strings.Contains(err.Error(), "source") || current.Load() != g {
		t.Errorf("%v, generation %d", err, current.Load().ID)
	}
	l.o.Text = x.get
	mustLoad(t, l)
}
