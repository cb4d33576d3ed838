//go:build !race

package operation

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestPriorities: on a stream to the journal each line begins with its priority; elsewhere none does.
func TestPriorities(t *testing.T) {
	t.Parallel()
	f := func(journal bool, want string) {
		t.Helper()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		g := e2e.NewGateway(t)
		g.Write(e2e.Simple(e2e.HTTPOrigin(t, e2e.PathOrigin), "\n[log]\nlevel = \"debug\"\n"))
		g.Cmd = e2e.Penstock("run", "--config", g.File)
		if info, err := w.Stat(); journal && err == nil {
			s := info.Sys().(*syscall.Stat_t)
			g.Cmd.Env = append(os.Environ(), fmt.Sprintf("JOURNAL_STREAM=%d:%d", s.Dev, s.Ino))
		}
		g.Spawn(nil, w)
		w.Close()
		g.WaitReady()
		g.Write("broken")
		if code, _ := g.Reload(); code != 422 {
			t.Errorf("a broken file: %d", code)
		}
		g.Signal(syscall.SIGTERM)
		g.Exit()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for line := range strings.Lines(string(b)) {
			prefix, rest, _ := strings.Cut(line, "{")
			_, level, _ := strings.Cut(rest, `"level":"`)
			level, _, _ = strings.Cut(level, `"`)
			seen[prefix+level] = true
		}
		for _, w := range strings.Fields(want) {
			if !seen[w] {
				t.Errorf("no line %s: %v", w, seen)
			}
		}
	}
	f(true, "<6>INFO <3>ERROR")
	f(false, "INFO ERROR")
}

// TestMemoryFits: caches and tables that cannot fit are a mistake of check, of the start and of a reload, with the
// numbers; the running generation stays.
func TestMemoryFits(t *testing.T) {
	t.Parallel()
	const limit = "[overload]\nmemory_limit = \"64MiB\"\n"
	g := e2e.Start(t, e2e.Simple(e2e.HTTPOrigin(t, e2e.PathOrigin), "cache = \"a\"\n[cache.a]\nsize = \"32MiB\"\n"+limit))
	f := func(more, want string) {
		t.Helper()
		g.Write(e2e.Simple("127.0.0.1:1", "cache = \"a\"\n"+more+limit))
		want = g.File + ":" + want
		if code, body := g.Reload(); code != 422 || !strings.Contains(body, want) || strings.Count(body, "\n") != 1 {
			t.Errorf("reload: %d %s, want %s", code, body, want)
		}
		if code, _, errs := e2e.Command(t, "check", g.File); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("check: %d %s", code, errs)
		}
		if code, _, errs := e2e.Command(t, "run", "--config", g.File); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("run: %d %s", code, errs)
		}
		if n := g.Metric("penstock_generation"); n != 1 { // under the race detector it refuses requests for memory
			t.Errorf("generation %v runs", n)
		}
	}
	const rest = "and the process some 24MiB more: there is not enough memory, which is 64MiB by memory_limit of [overload]"
	f("[cache.a]\nsize = \"256MiB\"\n", "15:1: cache.a.size: caches and tables take 256MiB up to here, "+rest)
	f("[cache.a]\nsize = \"16MiB\"\n[rate_limit.r]\nrate = \"1/s\"\nmax_keys = 4194304\n",
		"18:1: rate_limit.r.max_keys: caches and tables take 44MiB up to here, "+rest)
	f("[cache.a]\nsize = \"24MiB\"\n[cache.b]\nsize = \"24MiB\"\n",
		"17:1: cache.b.size: caches and tables take 48MiB up to here, "+rest)
	f("[cache.a]\nsize = \"900000GiB\"\n", "15:1: cache.a.size: ")
}

// TestCheckCredentials: a file for the unit is checked outside it, with the folder of what becomes credentials.
func TestCheckCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "seed"), []byte("salt"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := file(t, strings.ReplaceAll(e2e.Simple("127.0.0.1:1"), "{{addr}}", ":8080")+
		"[pool.h]\nbalance = \"consistent_hash\"\ntargets = [\"127.0.0.1:2\"]\nhash_seed = \"file:${CREDENTIALS_DIRECTORY}/seed\"\n")
	f := func(want int, text string, args ...string) {
		t.Helper()
		code, out, errs := e2e.Command(t, append([]string{"check", conf}, args...)...)
		if code != want || !strings.Contains(out+errs, text) {
			t.Errorf("%v: %d %s%s, want %d %s", args, code, out, errs, want, text)
		}
	}
	f(1, "--credentials DIR names a folder")
	f(0, "is good", "--credentials", dir)
	f(1, "no such file", "--credentials", t.TempDir())
}

// TestCheckAsUser: root is told what the user of the service could not read; others need not be.
func TestCheckAsUser(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "check") //nolint:usetesting // those are for the owner alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	secret, conf := filepath.Join(dir, "seed"), filepath.Join(dir, "penstock.toml")
	text := strings.ReplaceAll(e2e.Simple("127.0.0.1:1"), "{{addr}}", ":8080") +
		"[pool.h]\nbalance = \"consistent_hash\"\ntargets = [\"127.0.0.1:2\"]\nhash_seed = \"file:" + secret + "\"\n"
	put := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	f := func(name string, warned bool) {
		t.Helper()
		code, out, errs := e2e.Command(t, "check", "--user", name, conf)
		got := strings.Contains(out, "warning    the user "+name+" cannot do what root can: "+conf)
		if want := warned && os.Geteuid() == 0; code != 0 || got != want {
			t.Errorf("user %s, warned %v, want %v: %d %s%s", name, got, want, code, out, errs)
		}
	}
	put(conf, text, 0o644)
	put(secret, "salt", 0o644)
	f("penstock", false)
	put(secret, "salt", 0o600)
	f("penstock", true)
	f("root", false)
	put(secret, "salt", 0o644)
	put(conf, text, 0o600)
	f("penstock", true)
}
