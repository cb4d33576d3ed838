//go:build !race

package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestQuotaOutlivesRestarts: what a key has used is known after a reload, after a restart and after kill -9.
func TestQuotaOutlivesRestarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.quota")
	target := e2e.Record(t, nil).Addr
	g := e2e.Start(t, e2e.QuotaOf(target, file, "quota = 4\nperiod = \"month\"\nzone = \"America/Sao_Paulo\"\n"))
	statuses := func(n int) (s string) {
		for range n {
			s += fmt.Sprint(g.Get("/x", "X-Key", "a").StatusCode, " ")
		}
		return s
	}
	f := func(what string, n int, want string) {
		t.Helper()
		if s := statuses(n); s != want {
			t.Errorf("%s: %s, want %s", what, s, want)
		}
	}
	again := func() {
		g.Launch()
		g.WaitReady()
	}
	f("at first", 2, "200 200 ")
	g.Reload()
	f("after a reload", 1, "200 ")
	g.Signal(syscall.SIGTERM)
	if code := g.Exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	again()
	f("after a restart", 2, "200 429 ")
	if r := g.Get("/x", "X-Key", "a"); r.Header.Get("Retry-After") == "" || !strings.Contains(r.Header.Get("RateLimit-Policy"), "q=4;w=2592000") {
		t.Errorf("%v", r.Header)
	}
	g.Write(e2e.QuotaOf(target, file, "quota = 6\nperiod = \"month\"\nzone = \"America/Sao_Paulo\"\n"))
	g.Reload()
	f("with two more", 1, "200 ")
	e2e.Eventually(t, "what was used is in the file", func() bool { return e2e.UsedInFile(t, file) == 5 })
	if err := g.Cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-g.Exited
	again()
	f("after kill -9", 2, "200 429 ")
}

// TestQuotaFileMistakes: a folder that is not there is a mistake of the file; a damaged file is set aside.
func TestQuotaFileMistakes(t *testing.T) {
	dir := t.TempDir()
	file, target := filepath.Join(dir, "plan.quota"), e2e.Record(t, nil).Addr
	if err := os.WriteFile(file, []byte("this is no quota"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := e2e.Start(t, e2e.QuotaOf(target, file, "quota = 1\n"))
	if r := g.Get("/x"); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
	if _, err := os.Stat(file + ".damaged"); err != nil || !strings.Contains(g.Log.String(), "damaged") {
		t.Errorf("%v\n%s", err, g.Log)
	}
	g.Write(e2e.QuotaOf(target, filepath.Join(dir, "missing", "plan.quota"), "quota = 1\n"))
	if code, body := g.Reload(); code != 422 || !strings.Contains(body, "rate_limit.main.file") {
		t.Errorf("%d %s", code, body)
	}
	if r := g.Get("/x"); r.StatusCode != 429 {
		t.Errorf("after a reload that was refused: %d", r.StatusCode)
	}
}
