package operation

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// varied is a configuration that differs from one reload to the next: routes, the second target, settings of the
// listener and of the pool, and every other time a second listener. One in three is wrong, in a different way
// each time.
func varied(i int, second, a, b string) (conf string, good bool) {
	targets := `"` + a + `"`
	if i%4 < 2 {
		targets += `, { address = "` + b + `", weight = 2 }`
	}
	c := fmt.Sprintf(`
[[listener]]
name = "main"
address = "{{addr}}"
idle_timeout = "%ds"

[pool.app]
targets = [%s]
max_connections = %d

[pool.other%d]
targets = ["%s"]

[[route]]
name = "all"
prefix = "/"
pool = "app"

[[route]]
name = "changing-%d"
prefix = "/load/%d/"
pool = "other%d"
`, 60+i%5, targets, 512+i%2, i, b, i, i%50, i)
	if i%2 == 0 {
		c += "\n[[listener]]\nname = \"second\"\naddress = \"" + second + "\"\n"
	}
	if i%3 != 2 {
		return c, true
	}
	return c + wrongs[i/3%len(wrongs)], false
}

// wrongs are ways to spoil a file.
var wrongs = []string{
	"\n[pool.bad]\ntargts = [\"127.0.0.1:1\"]\n",
	"\n[[route]]\nname = \"bad\"\nprefix = \"/bad/\"\npool = \"nowhere\"\n",
	"\n[[route]\n",
	"\n[[listener]]\naddress = \"{{addr}}\"\n",
	"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener.certificate]]\ncert = \"/nowhere.crt\"\nkey = \"/nowhere.key\"\n",
}

// bytes

// TestReloadUnderLoad swaps the configuration again and again under 200 connections: no request fails, no
// connection is lost, and what lives longer than a generation lives on.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	lasting, long := e2e.Soak(t, 5*time.Second)
	pause := 200 * time.Millisecond
	if long {
		pause = time.Second
	}
	a, b := e2e.HTTPOrigin(t, e2e.PathOrigin), e2e.HTTPOrigin(t, e2e.PathOrigin)
	second := e2e.FreeAddr(t)
	conf, _ := varied(0, second, a, b)
	g := e2e.Start(t, conf)
	idle := g.Metric("go_goroutines")

	talking, listening := e2e.Talk(t, g.Addr), e2e.FollowEvents(t, g.Addr)
	l := e2e.Load(t, g.Addr, 200)
	onSecond := e2e.Load(t, second, 10, func(l *e2e.Loader) { l.Refused = true })
	e2e.Eventually(t, "the load has begun", func() bool { return l.Requests.Load() > 1000 })
	before := e2e.MemoryOf(t, g.Cmd.Process.Pid)

	reloads, refused := 0, 0
	for end, i := time.Now().Add(lasting), 1; time.Now().Before(end); i++ {
		conf, good := varied(i, second, a, b)
		g.Write(conf)
		status, body := g.Reload()
		switch {
		case good && status != 200, !good && status != 422:
			t.Errorf("reload %d: status %d: %s", i, status, body)
		case good:
			reloads++
		default:
			refused++
		}
		if !l.Rest(pause) {
			break
		}
	}
	pinned := g.Metric("penstock_generations_alive")
	talking.Check(t, "WebSocket")
	listening.Check(t, "event stream")
	l.Check(t, "main listener")
	onSecond.Check(t, "second listener")

	e2e.Eventually(t, "one generation is left", func() bool { return g.Metric("penstock_generations_alive") == 1 })
	if got := int(g.Metric(`penstock_reloads_total{result="ok"}`)); got != reloads {
		t.Errorf("%d reloads counted, want %d", got, reloads)
	}
	if got := int(g.Metric(`penstock_reloads_total{result="error"}`)); got != refused {
		t.Errorf("%d refused reloads counted, want %d", got, refused)
	}
	e2e.Settled(t, g, idle)
	after := e2e.MemoryOf(t, g.Cmd.Process.Pid)
	t.Logf("%d reloads taken, %d refused; %d messages, %d events; generations alive %v with both streams open",
		reloads, refused, talking.N.Load(), listening.N.Load(), pinned)
	t.Logf("goroutines idle %v, afterwards %v; RSS under load %s, afterwards %s, peak %s", idle,
		g.Metric("go_goroutines"), e2e.MiB(before.RSS), e2e.MiB(after.RSS), e2e.MiB(after.Peak))
	if grown := after.RSS - before.RSS; grown > 32<<20 && !e2e.RaceEnabled {
		t.Errorf("RSS has grown by %s", e2e.MiB(grown))
	}
}

// TestReloadKeepsConnections: connections to targets that stay are neither closed nor made anew, whatever else
// changes.
func TestReloadKeepsConnections(t *testing.T) {
	t.Parallel()
	a, aConnects := e2e.CountedOrigin(t, e2e.PathOrigin)
	b, bConnects := e2e.CountedOrigin(t, e2e.PathOrigin)
	conf := func(targets, more string) string {
		return "[[listener]]\naddress = \"{{addr}}\"\n[pool.app]\nslow_start = \"0s\"\ntargets = [" + targets +
			"]\n[[route]]\nprefix = \"/\"\npool = \"app\"\n" + more
	}
	both := fmt.Sprintf("%q, %q", a, b)
	g := e2e.Start(t, conf(both, ""))
	c, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	ask := func() {
		t.Helper()
		for range 10 {
			fmt.Fprint(c, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != 200 || resp.Close {
				t.Fatalf("the client's connection did not outlive the reload: %v %v", resp, err)
			}
			resp.Body.Close()
			br.Discard(br.Buffered())
		}
	}
	f := func(conf string, wantA, wantB int64) {
		t.Helper()
		g.Write(conf)
		if status, body := g.Reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, body)
		}
		ask()
		if gotA, gotB := aConnects.Load(), bConnects.Load(); gotA != wantA || gotB != wantB {
			t.Errorf("connections made: %d and %d, want %d and %d", gotA, gotB, wantA, wantB)
		}
	}
	ask()
	f(conf(both, ""), 1, 1)                                                                     // nothing changed
	f(conf(both, "\n[[route]]\nprefix = \"/more/\"\npool = \"app\"\n"), 1, 1)                   // a route more
	f(conf(fmt.Sprintf("%q, { address = %q, weight = 3 }", a, b), ""), 1, 1)                    // another weight
	f(conf(fmt.Sprintf("%q", a), ""), 1, 1)                                                     // one target less
	f(conf(both, ""), 1, 2)                                                                     // it comes back, with a new connection
	f(conf(both, "\n[pool.third]\ntargets = [\"127.0.0.1:1\"]\n"), 1, 2)                        // a pool more
	f(strings.Replace(conf(both, ""), "[[route]]", "balance = \"random\"\n[[route]]", 1), 1, 2) // another way to choose
}

// TestReloadListeners: a listener that comes is served at once; the connections of one that goes end with their
// next answer, and its tunnels live on.
func TestReloadListeners(t *testing.T) {
	t.Parallel()
	target := e2e.HTTPOrigin(t, e2e.PathOrigin)
	g := e2e.Start(t, e2e.Simple(target))
	second := e2e.FreeAddr(t)
	added := "\n[[listener]]\nname = \"second\"\naddress = \"" + second + "\"\n"
	mustReload := func(conf string) {
		t.Helper()
		g.Write(conf)
		if status, body := g.Reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, body)
		}
	}
	for round := range 3 {
		mustReload(e2e.Simple(target, added))
		c, err := net.Dial("tcp", second)
		if err != nil {
			t.Fatalf("round %d: the new listener takes no connection: %v", round, err)
		}
		defer c.Close()
		br := bufio.NewReader(c)
		ask := func() *http.Response {
			t.Helper()
			fmt.Fprint(c, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("round %d: %v %v", round, resp, err)
			}
			br.Discard(int(resp.ContentLength))
			return resp
		}
		if ask().Close {
			t.Errorf("round %d: a new listener closes its connections", round)
		}
		talking := e2e.Talk(t, second)

		mustReload(e2e.Simple(target))
		if !ask().Close {
			t.Errorf("round %d: the answer on a removed listener does not say Connection: close", round)
		}
		if _, err := net.Dial("tcp", second); err == nil {
			t.Errorf("round %d: a removed listener still takes connections", round)
		}
		mustReload(e2e.Simple(target)) // another one in between changes nothing
		talking.Flows(t, "the tunnel of a removed listener")
		talking.Check(t, "the tunnel of a removed listener")
	}
	e2e.Eventually(t, "removed listeners are forgotten", func() bool {
		return len(g.Status()["listeners"].([]any)) == 1
	})
}

// TestReloadListenerGoes: whoever has connected to a listener before it is removed is served, even if its
// connection was not accepted yet.
func TestReloadListenerGoes(t *testing.T) {
	t.Parallel()
	target := e2e.HTTPOrigin(t, e2e.PathOrigin)
	g := e2e.Start(t, e2e.Simple(target))
	second := e2e.FreeAddr(t)
	l := e2e.Load(t, second, 50, func(l *e2e.Loader) { l.Refused, l.Single, l.Think = true, true, time.Millisecond })
	const rounds = 20
	for i := range 2 * rounds {
		more := ""
		if i%2 == 0 {
			more = "\n[[listener]]\nname = \"second\"\naddress = \"" + second + "\"\n"
		}
		g.Write(e2e.Simple(target, more))
		if status, body := g.Reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, body)
		}
		from, turned := l.Requests.Load(), l.Turned.Load()
		e2e.Eventually(t, "clients notice", func() bool {
			return i%2 == 0 && l.Requests.Load() > from+50 || i%2 == 1 && l.Turned.Load() > turned+50
		})
	}
	l.Check(t, "load on a listener that comes and goes")
}

// TestReloadInvalidBySignal: a file with mistakes leaves everything as it was and says where they are.
func TestReloadInvalidBySignal(t *testing.T) {
	t.Parallel()
	target := e2e.HTTPOrigin(t, e2e.PathOrigin)
	g := e2e.Start(t, e2e.Simple(target))
	const get = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	for i, wrong := range wrongs {
		g.Write(e2e.Simple(target, wrong))
		g.Signal(syscall.SIGHUP)
		e2e.Eventually(t, "the refused reload is counted", func() bool {
			return g.Metric(`penstock_reloads_total{result="error"}`) == float64(i+1)
		})
		g.Counted("penstock_config_last_reload_success", 0)
		if g.Metric("penstock_generation") != 1 {
			t.Errorf("%q: generation %v", wrong, g.Metric("penstock_generation"))
		}
		if !strings.HasPrefix(e2e.Raw(t, g.Addr, get), "HTTP/1.1 200 ") {
			t.Errorf("%q: the running generation does not answer", wrong)
		}
	}
	log := g.Log.String()
	for _, want := range []string{
		`:15:1: pool.bad.targts: unknown key (did you mean \"targets\"?)`,
		`:17:8: route[2].pool: no pool named \"nowhere\"`, `:14:8: `, `:15:1: listener[2].address: `,
		`:17:1: listener[2].certificate[1].cert: `,
	} {
		if !strings.Contains(log, g.File+want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
	}
	g.Write(e2e.Simple(target))
	g.Signal(syscall.SIGHUP)
	e2e.Eventually(t, "the good file is taken", func() bool { return g.Metric("penstock_generation") == 2 })
	g.Counted("penstock_config_last_reload_success", 1)
}

// TestReloadReopensLog is what logrotate does: rename, SIGHUP. No line is lost or doubled, and none is written to
// the old file once the reload has been counted.
func TestReloadReopensLog(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.log")
	section := "\n[log.access]\noutput = \"" + file + "\"\nformat = \"{path}\"\n"
	g := e2e.Start(t, e2e.Simple(e2e.HTTPOrigin(t, e2e.PathOrigin), section))
	l := e2e.Load(t, g.Addr, 20, func(l *e2e.Loader) { l.Think = time.Millisecond })
	const rounds = 4
	for i := range rounds {
		from := l.Requests.Load()
		e2e.Eventually(t, "some requests are made", func() bool { return l.Requests.Load() > from+200 })
		if err := os.Rename(file, fmt.Sprint(file, ".", i)); err != nil {
			t.Fatal(err)
		}
		g.Signal(syscall.SIGHUP)
		e2e.Eventually(t, "the log is opened anew", func() bool {
			_, err := os.Stat(file)
			return err == nil && g.Metric(`penstock_reloads_total{result="ok"}`) == float64(i+1)
		})
	}
	l.Check(t, "load")
	want := l.Requests.Load()
	count := func() (n int64) {
		seen := map[string]bool{}
		names, _ := filepath.Glob(file + "*") // the pattern is good
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			n += int64(strings.Count(string(text), "\n"))
			seen[name] = len(text) > 0
		}
		if len(seen) != rounds+1 {
			t.Fatalf("files %v, want %d", seen, rounds+1)
		}
		return n
	}
	e2e.Eventually(t, "all lines are written", func() bool { return count() >= want })
	if n := count(); n != want {
		t.Errorf("%d lines for %d requests", n, want)
	}
	t.Logf("%d requests, %d lines in %d files", want, count(), rounds+1)
}

// TestReloadLogSettings: format, output and level change by reload.
func TestReloadLogSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := e2e.HTTPOrigin(t, e2e.PathOrigin)
	conf := func(level, access string) string {
		return e2e.Simple(target, "\n[log]\nlevel = \""+level+"\"\n[log.access]\n"+access)
	}
	g := e2e.Start(t, conf("warn", "output = \""+dir+"/one\"\nformat = \"{status} {path}\""))
	f := func(level, access, file, want string) {
		t.Helper()
		g.Write(conf(level, access))
		if status, body := g.Reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, body)
		}
		e2e.Raw(t, g.Addr, "GET /here HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		e2e.Eventually(t, fmt.Sprintf("%s holds %q", file, want), func() bool {
			text, _ := os.ReadFile(filepath.Join(dir, file)) // not there yet: looked at again
			return strings.Contains(string(text), want)
		})
	}
	f("warn", "output = \""+dir+"/one\"\nformat = \"{method}={path}\"", "one", "GET=/here\n")
	f("warn", "output = \""+dir+"/two\"\nformat = \"json\"", "two", `"path":"/here"`)
	f("warn", "output = \""+dir+"/two\"\nformat = \"combined\"", "two", `"GET /here HTTP/1.1" 200 5 `)
	if strings.Contains(g.Log.String(), `"level":"INFO"`) {
		t.Errorf("level warn lets INFO through:\n%s", g.Log)
	}
	f("info", "output = \""+dir+"/three\"", "three", `"path":"/here"`)
	e2e.Eventually(t, "level info is in force", func() bool { return strings.Contains(g.Log.String(), `"level":"INFO"`) })
}

// TestFullDisk: a log that cannot be written costs its lines, which are counted, and no request.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, e2e.Simple(e2e.HTTPOrigin(t, e2e.PathOrigin), "\n[log.access]\noutput = \"/dev/full\"\n"))
	l := e2e.Load(t, g.Addr, 20, func(l *e2e.Loader) { l.Think = time.Millisecond })
	e2e.Eventually(t, "a thousand requests are served", func() bool { return l.Requests.Load() > 1000 })
	l.Check(t, "load")
	e2e.Eventually(t, "every line is counted as dropped", func() bool {
		return int64(g.Metric("penstock_access_log_dropped_total")) == l.Requests.Load()
	})
	if g.Metric("penstock_access_log_errors_total") == 0 {
		t.Error("no error of the log is counted")
	}
	t.Logf("%d requests, %v lines dropped", l.Requests.Load(), g.Metric("penstock_access_log_dropped_total"))
	g.Write(e2e.Simple(e2e.HTTPOrigin(t, e2e.PathOrigin), "\n[log.access]\noutput = \""+t.TempDir()+"/log\"\n"))
	if status, body := g.Reload(); status != 200 {
		t.Fatalf("reload: %d %s", status, body)
	}
	e2e.Raw(t, g.Addr, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	e2e.Eventually(t, "a log with room is written", func() bool { return g.Metric("penstock_access_log_lines_total") > 0 })
}
