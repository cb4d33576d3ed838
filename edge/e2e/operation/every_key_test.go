//go:build !race

package operation

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestEveryKeyWrong: a file in which all keys have a value of one strange kind is refused with lines that say where,
// by check, reload and SIGHUP alike, and the gateway goes on serving.
func TestEveryKeyWrong(t *testing.T) {
	o := e2e.NewScripted(t)
	o.On("/a", 200, "good")
	g := e2e.Start(t, e2e.Simple(o.Addr))
	full, err := os.ReadFile("../../../configs/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile(`(?m)^([a-z0-9_]+) = [^\[{\n][^\n]*`) // a scalar on a line of its own
	place := regexp.MustCompile(`^\S+:\d+:\d+: \S`)
	for _, value := range []string{`"x"`, `-1`, `9223372036854775807`, `[]`, `[1]`, `{ a = 1 }`} {
		text := key.ReplaceAllString(string(full), "$1 = "+value)
		file := filepath.Join(t.TempDir(), "f.toml")
		for _, f := range []string{file, g.File} {
			if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command(e2e.Binary, "check", file).CombinedOutput()
		if code := exitCode(err); code != 1 {
			t.Errorf("%s: exit %d\n%s", value, code, out)
		}
		for line := range strings.Lines(string(out)) {
			if !place.MatchString(line) || strings.Contains(line, "makes the gateway fail") {
				t.Errorf("%s: %s", value, line)
			}
		}
		if status, text := g.Reload(); status != 422 {
			t.Errorf("%s: a reload answers %d %.300s", value, status, text)
		}
		before := g.Metric(`penstock_reloads_total{result="error"}`)
		g.Signal(syscall.SIGHUP)
		g.Counted(`penstock_reloads_total{result="error"}`, before+1)
		if got := g.Ask("GET", "/a"); got.Body != "good" {
			t.Fatalf("%s: %d %q", value, got.Status, got.Body)
		}
	}
}
