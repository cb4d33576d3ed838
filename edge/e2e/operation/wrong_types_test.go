//go:build !race

package operation

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestScalarForTable: a section that is given a scalar or a list is an error of the file with its place, and
// harms no gateway that runs.
func TestScalarForTable(t *testing.T) {
	o := e2e.NewScripted(t)
	o.On("/a", 200, "good")
	g := e2e.Start(t, e2e.Simple(o.Addr))
	good, err := os.ReadFile(g.File)
	if err != nil {
		t.Fatal(err)
	}
	f := func(old, wrong, key string) {
		t.Helper()
		text := strings.Replace(string(good), old, old+"\n"+wrong+"\n", 1)
		if text == string(good) {
			t.Fatalf("no %s in %s", old, good)
		}
		if err := os.WriteFile(g.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(e2e.Binary, "check", g.File).CombinedOutput()
		if code := exitCode(err); code != 1 || strings.Contains(string(out), "goroutine") ||
			!strings.Contains(string(out), key+": must be a table, is ") {
			t.Errorf("%s: exit %d\n%s", wrong, code, out)
		}
		if status, text := g.Reload(); status != 422 || !strings.Contains(text, key) {
			t.Errorf("%s: a reload answers %d %s", wrong, status, text)
		}
		g.Signal(syscall.SIGHUP)
		if got := g.Ask("GET", "/a"); got.Body != "good" {
			t.Errorf("%s: %d %q", wrong, got.Status, got.Body)
		}
	}
	pool, route := "[pool.app]", "prefix = \"/\""
	for _, value := range []string{"\"x\"", "[1]"} {
		for _, key := range []string{"health", "outlier", "breaker", "retry", "hedge", "tls", "sticky", "discover", "fallback",
			"concurrency"} {
			f(pool, key+" = "+value, "pool.app."+key)
		}
		for _, key := range []string{"respond", "redirect"} {
			f(route, key+" = "+value, "route[1]."+key)
		}
	}
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // it is what Command returns
		return e.ExitCode()
	}
	return -1
}

// TestScalarForLimit: the same of sections that other sections have.
func TestScalarForLimit(t *testing.T) {
	o := e2e.NewScripted(t)
	g := e2e.Start(t, e2e.Simple(o.Addr, `rate_limits = ["l"]`, "[rate_limit.l]\nrate = \"10/s\"\n"))
	g.Write(e2e.Simple(o.Addr, `rate_limits = ["l"]`, "[rate_limit.l]\nrate = \"10/s\"\nanswer = \"x\"\n"))
	if status, text := g.Reload(); status != 422 || !strings.Contains(text, "rate_limit.l.answer: must be a table") {
		t.Errorf("%d %s", status, text)
	}
}
