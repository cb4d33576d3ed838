//go:build !race

package operation

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestSecretsAreNotShown: check and a refused reload show what variables and files of secrets stand for as it is
// written.
func TestSecretsAreNotShown(t *testing.T) {
	o := e2e.NewScripted(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2-in-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PENSTOCK_A=sesame-open", "PENSTOCK_B=user:Hidden-Word@10.0.0.1:x"}
	g := &e2e.Gateway{T: t, Addr: e2e.FreeAddr(t), Admin: e2e.FreeAddr(t), Log: &e2e.LockedBuffer{}}
	g.File = filepath.Join(t.TempDir(), "penstock.toml")
	g.Write(e2e.Simple(o.Addr))
	g.Launch(env...)
	t.Cleanup(g.Stop)
	g.WaitReady()
	g.Write(e2e.Simple(o.Addr) + `
[pool.a]
targets = ["${PENSTOCK_B}"]
balance = "${PENSTOCK_A}"
idle_timeout = "${PENSTOCK_A}"
hash_key = "header-${PENSTOCK_A}"
[pool.b]
targets = ["127.0.0.1:1"]
hash_seed = "file:` + secret + `"
max_connections = "${PENSTOCK_A}"
[redis]
address = "redis://${PENSTOCK_B}"
`)
	check := exec.Command(e2e.Binary, "check", g.File)
	check.Env = append(os.Environ(), env...)
	out, err := check.CombinedOutput()
	if code := exitCode(err); code != 1 {
		t.Errorf("exit %d", code)
	}
	check = exec.Command(e2e.Binary, "check", "--json", g.File)
	check.Env = append(os.Environ(), env...)
	asJSON, _ := check.CombinedOutput() // it fails as the one above
	status, text := g.Reload()
	if status != 422 {
		t.Errorf("the reload answers %d", status)
	}
	e2e.Eventually(t, "the log shows what is written", func() bool { return strings.Contains(g.Log.String(), "${PENSTOCK_B}") })
	for what, shown := range map[string]string{"check": string(out), "json": string(asJSON), "reload": text,
		"log": g.Log.String()} {
		for _, word := range []string{"sesame", "Hidden", "hidden", "10.0.0.1", "hunter2"} {
			if strings.Contains(shown, word) {
				t.Errorf("%s shows %s:\n%s", what, word, shown)
			}
		}
		if !strings.Contains(shown, "${PENSTOCK_A}") || !strings.Contains(shown, "${PENSTOCK_B}") {
			t.Errorf("%s does not show what is written:\n%s", what, shown)
		}
	}
}

// TestCacheOnFullDisk: a gateway whose cache has no room on disk starts, serves what is there and says so; and
// nobody else may read what it has written.
func TestCacheOnFullDisk(t *testing.T) {
	o := e2e.NewScripted(t)
	o.On("/kept", 200, "kept", "Cache-Control: max-age=1000")
	dir := filepath.Join(t.TempDir(), "cache")
	g := e2e.Start(t, e2e.OnDisk(o.Addr, dir)+"\n[log.access]\noutput = \""+filepath.Join(filepath.Dir(dir), "access.log")+"\"\n")
	g.Loaded()
	host := "Host: h.example"
	g.Ask("GET", "/kept", host)
	e2e.Eventually(t, "it is on disk", func() bool { return g.Metric("penstock_cache_disk_entries{") == 1 })
	g.Purge("url=http://h.example/nothing") // a note in the journal
	g.Signal(syscall.SIGTERM)
	if code := g.Exit(); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	for _, folder := range []string{dir, filepath.Dir(dir)} {
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if info, err := f.Info(); err == nil && !f.IsDir() && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %s", f.Name(), info.Mode())
			}
		}
	}
	for _, name := range []string{"state.new", "journal.new"} { // what is written there finds no room
		if err := os.Symlink("/dev/full", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	o.On("/kept", 500, "asked again")
	g.Again()
	if got := g.Ask("GET", "/kept", host); got.Body != "kept" {
		t.Errorf("%d %q", got.Status, got.Body)
	}
	if !strings.Contains(g.Log.String(), "the disk of the cache is full") {
		t.Errorf("the log does not say so:\n%s", g.Log)
	}
}

// TestCheckFindsWhatRunWould: each mistake is one line, at its place, and shows the right form.
func TestCheckFindsWhatRunWould(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.toml")
	if err := os.WriteFile(broken, []byte("targets = [\"a\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const good = "[[listener]]\naddress = \":8080\"\n[[route]]\nprefix = \"/\"\npool = \"app\"\n[pool.app]\n" +
		"targets = [\"10.0.0.1:9000\"]\n"
	f := func(text string, want int, says string) {
		t.Helper()
		name := file(t, text)
		status, stdout, stderr := e2e.Command(t, "check", name)
		if status != want || !strings.Contains(stdout+stderr, says) || status == 1 && strings.Count(stderr, "\n") != 1 {
			t.Errorf("status %d, want %d and %s:\n%s%s", status, want, says, stdout, stderr)
		}
	}
	with := func(old, by string) string { return strings.Replace(good, old, by, 1) }
	f(good, 0, "is good")
	f(good+"[log.access]\noutput = \""+dir+"/none/a.log\"\n", 1, `log.access.output: cannot open log: stat `+dir+`/none: no such`)
	f(good+"[pool.x.discover]\nfile = \""+dir+"/none.toml\"\n", 0, `pool.x.discover.file: "`+dir+`/none.toml" is not there`)
	f(good+"[pool.x.discover]\nfile = \""+broken+"\"\n", 1, `broken.toml:1:12: targets[1]: "a" is not host:port`)
	f(good+"balance = \"leastconn\"\n", 1, `:8:11: pool.app.balance: no balance named "leastconn" `+
		`(did you mean "least_connections"?); known: round_robin, least_connections, `)
	f(with(`prefix = "/"`, `path = "/api/*"`), 1, `write prefix = "/api/" or path = "/api/{rest:*}"`)
	f(with(`prefix = "/"`, `prefix = "/x/*"`), 1, `write prefix = "/x/"`)
	f(with(`10.0.0.1:9000`, `https://host`), 1, `write "host:443" and, in [pool.NAME.tls], enabled = true`)
	f(with(`["10.0.0.1:9000"]`, `"127.0.0.1:1"`), 1, `:7:11: pool.app.targets: must be a list: targets = ["127.0.0.1:1"]`)
	f(with(`prefix = "/"`, "prefix = \"/\"\nhosts = [\"https://a\"]"), 1, `a host is a name without a scheme`)
	f(good+"[pool.app]\n", 1, `:8:2: pool.app is already defined at line 6`)
	f(with(`":8080"`, `:8080`), 1, `a string stands in quotes, address = ":8080"`)
}

// TestReloadSaysWhat: the answer and the log name what has changed, files too.
func TestReloadSaysWhat(t *testing.T) {
	o := e2e.NewScripted(t)
	dir := t.TempDir()
	seed := filepath.Join(dir, "seed")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(seed, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	more := "[pool.more]\ntargets = [\"127.0.0.1:1\"]\nhash_seed = \"file:" + seed + "\"\n"
	g := e2e.Start(t, e2e.Simple(o.Addr)+more)
	f := func(want ...string) {
		t.Helper()
		status, text := g.Reload()
		lines := strings.Count(text, "\n    \"")
		if status != 200 || lines != len(want) {
			t.Errorf("%d, %d lines for %q: %s", status, lines, want, text)
		}
		for _, line := range want {
			if !strings.Contains(text, "\""+line+"\"") {
				t.Errorf("%q is not told: %s", line, text)
			}
			e2e.Eventually(t, "the log tells it too", func() bool { return strings.Contains(g.Log.String(), line) })
		}
	}
	f()
	put("two")
	f("file " + seed + " changed")
	g.Write(e2e.Simple(o.Addr) + more + "max_connections = 7\n")
	f("pool more changed")
	g.Write(e2e.Simple(o.Addr, `timeout = "9s"`))
	f("route all changed", "pool more removed", "file "+seed+" removed")
}

// TestCauseOfFailedAttempts: why an attempt failed stands in the access log and, at level debug, in the log; never in
// the answer.
func TestCauseOfFailedAttempts(t *testing.T) {
	refused := e2e.FreeAddr(t)
	reset := e2e.Origin(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1)) // what is left unread makes the end a reset
		_ = c.(*net.TCPConn).SetLinger(0)
	})
	list := "[[listener]]\naddress = \"{{addr}}\"\n[log]\nlevel = \"debug\"\n[log.access]\noutput = \"stdout\"\n"
	for name, target := range map[string]string{"refused": refused, "reset": reset, "unknown": "nobody.invalid:80"} {
		list += fmt.Sprintf("[pool.%s]\ntargets = [%q]\n[[route]]\nname = %q\nprefix = \"/%s\"\npool = %q\n", name, target, name,
			name, name)
	}
	g := e2e.Start(t, list)
	for name, cause := range map[string]string{"refused": "connection refused", "reset": "connection reset",
		"unknown": "nobody.invalid"} {
		got := g.Ask("GET", "/"+name)
		if got.Status != 502 || strings.Contains(got.Body, cause) {
			t.Errorf("%s: %d %q", name, got.Status, got.Body)
		}
		e2e.Eventually(t, name+" is told in both logs", func() bool {
			access, debug := false, false
			for line := range strings.Lines(g.Log.String()) {
				if strings.Contains(line, `"route":"`+name+`"`) && strings.Contains(line, cause) {
					access = access || strings.Contains(line, `"cause":"`)
					debug = debug || strings.Contains(line, "an attempt has failed")
				}
			}
			return access && debug
		})
	}
}
