package e2e

import (
	le "encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// quotaOf is a configuration whose route has a quota of one node.
func quotaOf(target, file, keys string) string {
	return limitedTo(target, "algorithm = \"quota\"\nfile = \""+file+"\"\nkey = \"header:X-Key\"\n"+keys)
}

// TestQuotaOutlivesRestarts: what a key has used is known after a reload, after a restart and after kill -9.
func TestQuotaOutlivesRestarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.quota")
	target := record(t, nil).addr
	g := start(t, quotaOf(target, file, "quota = 4\nperiod = \"month\"\nzone = \"America/Sao_Paulo\"\n"))
	statuses := func(n int) (s string) {
		for range n {
			s += fmt.Sprint(g.get("/x", "X-Key", "a").StatusCode, " ")
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
		g.launch()
		g.waitReady()
	}
	f("at first", 2, "200 200 ")
	g.reload()
	f("after a reload", 1, "200 ")
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	again()
	f("after a restart", 2, "200 429 ")
	if r := g.get("/x", "X-Key", "a"); r.Header.Get("Retry-After") == "" || !strings.Contains(r.Header.Get("RateLimit-Policy"), "q=4;w=2592000") {
		t.Errorf("%v", r.Header)
	}
	g.write(quotaOf(target, file, "quota = 6\nperiod = \"month\"\nzone = \"America/Sao_Paulo\"\n"))
	g.reload()
	f("with two more", 1, "200 ")
	eventually(t, "what was used is in the file", func() bool { return usedInFile(t, file) == 5 })
	if err := g.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-g.exited
	again()
	f("after kill -9", 2, "200 429 ")
}

// usedInFile adds up what the keys of a quota have used. A record has 40 bytes, the last 8 of them are that; before
// them are 16 bytes, and after them 8.
func usedInFile(t *testing.T, file string) (n int64) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for b = b[16:]; len(b) > 8; b = b[40:] {
		n += int64(le.LittleEndian.Uint64(b[32:40]))
	}
	return n
}

// TestQuotaFileMistakes: a folder that is not there is a mistake of the file; a damaged file is set aside.
func TestQuotaFileMistakes(t *testing.T) {
	dir := t.TempDir()
	file, target := filepath.Join(dir, "plan.quota"), record(t, nil).addr
	if err := os.WriteFile(file, []byte("this is no quota"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := start(t, quotaOf(target, file, "quota = 1\n"))
	if r := g.get("/x"); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
	if _, err := os.Stat(file + ".damaged"); err != nil || !strings.Contains(g.log.String(), "damaged") {
		t.Errorf("%v\n%s", err, g.log)
	}
	g.write(quotaOf(target, filepath.Join(dir, "missing", "plan.quota"), "quota = 1\n"))
	if code, body := g.reload(); code != 422 || !strings.Contains(body, "rate_limit.main.file") {
		t.Errorf("%d %s", code, body)
	}
	if r := g.get("/x"); r.StatusCode != 429 {
		t.Errorf("after a reload that was refused: %d", r.StatusCode)
	}
}
