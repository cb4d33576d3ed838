package e2e

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

// memory is what a process uses.
type memory struct{ rss, peak int64 } // bytes

func memoryOf(t testing.TB, pid int) (m memory) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			m.rss = kb << 10
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			m.peak = kb << 10
		}
	}
	return m
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// TestReloadUnderLoad swaps the configuration again and again under 200 connections: no request fails, no
// connection is lost, and what lives longer than a generation lives on.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	lasting, long := soak(t, 5*time.Second)
	pause := 200 * time.Millisecond
	if long {
		pause = time.Second
	}
	a, b := httpOrigin(t, pathOrigin), httpOrigin(t, pathOrigin)
	second := freeAddr(t)
	conf, _ := varied(0, second, a, b)
	g := start(t, conf)
	idle := g.metric("go_goroutines")

	talking, listening := talk(t, g.addr), followEvents(t, g.addr)
	l := load(t, g.addr, 200)
	onSecond := load(t, second, 10, func(l *loader) { l.refused = true })
	eventually(t, "the load has begun", func() bool { return l.requests.Load() > 1000 })
	before := memoryOf(t, g.cmd.Process.Pid)

	reloads, refused := 0, 0
	for end, i := time.Now().Add(lasting), 1; time.Now().Before(end); i++ {
		conf, good := varied(i, second, a, b)
		g.write(conf)
		status, body := g.reload()
		switch {
		case good && status != 200, !good && status != 422:
			t.Errorf("reload %d: status %d: %s", i, status, body)
		case good:
			reloads++
		default:
			refused++
		}
		if !l.rest(pause) {
			break
		}
	}
	pinned := g.metric("penstock_generations_alive")
	talking.check(t, "WebSocket")
	listening.check(t, "event stream")
	l.check(t, "main listener")
	onSecond.check(t, "second listener")

	eventually(t, "one generation is left", func() bool { return g.metric("penstock_generations_alive") == 1 })
	if got := int(g.metric(`penstock_reloads_total{result="ok"}`)); got != reloads {
		t.Errorf("%d reloads counted, want %d", got, reloads)
	}
	if got := int(g.metric(`penstock_reloads_total{result="error"}`)); got != refused {
		t.Errorf("%d refused reloads counted, want %d", got, refused)
	}
	settled(t, g, idle)
	after := memoryOf(t, g.cmd.Process.Pid)
	t.Logf("%d reloads taken, %d refused; %d messages, %d events; generations alive %v with both streams open",
		reloads, refused, talking.n.Load(), listening.n.Load(), pinned)
	t.Logf("goroutines idle %v, afterwards %v; RSS under load %s, afterwards %s, peak %s", idle,
		g.metric("go_goroutines"), mib(before.rss), mib(after.rss), mib(after.peak))
	if grown := after.rss - before.rss; grown > 32<<20 && !raceEnabled {
		t.Errorf("RSS has grown by %s", mib(grown))
	}
}

// settled waits until no more than a few goroutines are left above what there were: connections of the admin
// API come and go.
func settled(t testing.TB, g *gateway, idle float64) {
	t.Helper()
	eventually(t, "goroutines are what they were", func() bool { return g.metric("go_goroutines") <= idle+3 })
}

// TestReloadKeepsConnections: connections to targets that stay are neither closed nor made anew, whatever else
// changes.
func TestReloadKeepsConnections(t *testing.T) {
	t.Parallel()
	a, aConnects := countedOrigin(t, pathOrigin)
	b, bConnects := countedOrigin(t, pathOrigin)
	conf := func(targets, more string) string {
		return "[[listener]]\naddress = \"{{addr}}\"\n[pool.app]\nslow_start = \"0s\"\ntargets = [" + targets +
			"]\n[[route]]\nprefix = \"/\"\npool = \"app\"\n" + more
	}
	both := fmt.Sprintf("%q, %q", a, b)
	g := start(t, conf(both, ""))
	c, err := net.Dial("tcp", g.addr)
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
		g.write(conf)
		if status, body := g.reload(); status != 200 {
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
	target := httpOrigin(t, pathOrigin)
	g := start(t, simple(target))
	second := freeAddr(t)
	added := "\n[[listener]]\nname = \"second\"\naddress = \"" + second + "\"\n"
	mustReload := func(conf string) {
		t.Helper()
		g.write(conf)
		if status, body := g.reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, body)
		}
	}
	for round := range 3 {
		mustReload(simple(target, added))
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
		talking := talk(t, second)

		mustReload(simple(target))
		if !ask().Close {
			t.Errorf("round %d: the answer on a removed listener does not say Connection: close", round)
		}
		if _, err := net.Dial("tcp", second); err == nil {
			t.Errorf("round %d: a removed listener still takes connections", round)
		}
		mustReload(simple(target)) // another one in between changes nothing
		talking.flows(t, "the tunnel of a removed listener")
		talking.check(t, "the tunnel of a removed listener")
	}
	eventually(t, "removed listeners are forgotten", func() bool {
		return len(g.status()["listeners"].([]any)) == 1
	})
}

// TestReloadListenerGoes: whoever has connected to a listener before it is removed is served, even if its
// connection was not accepted yet.
func TestReloadListenerGoes(t *testing.T) {
	t.Parallel()
	target := httpOrigin(t, pathOrigin)
	g := start(t, simple(target))
	second := freeAddr(t)
	l := load(t, second, 50, func(l *loader) { l.refused, l.single, l.think = true, true, time.Millisecond })
	const rounds = 20
	for i := range 2 * rounds {
		more := ""
		if i%2 == 0 {
			more = "\n[[listener]]\nname = \"second\"\naddress = \"" + second + "\"\n"
		}
		g.write(simple(target, more))
		if status, body := g.reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, body)
		}
		from, turned := l.requests.Load(), l.turned.Load()
		eventually(t, "clients notice", func() bool {
			return i%2 == 0 && l.requests.Load() > from+50 || i%2 == 1 && l.turned.Load() > turned+50
		})
	}
	l.check(t, "load on a listener that comes and goes")
}

// TestReloadInvalidBySignal: a file with mistakes leaves everything as it was and says where they are.
func TestReloadInvalidBySignal(t *testing.T) {
	t.Parallel()
	target := httpOrigin(t, pathOrigin)
	g := start(t, simple(target))
	const get = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	for i, wrong := range wrongs {
		g.write(simple(target, wrong))
		g.signal(syscall.SIGHUP)
		eventually(t, "the refused reload is counted", func() bool {
			return g.metric(`penstock_reloads_total{result="error"}`) == float64(i+1)
		})
		if g.metric("penstock_generation") != 1 || g.metric("penstock_config_last_reload_success") != 0 {
			t.Errorf("%q: generation %v", wrong, g.metric("penstock_generation"))
		}
		if !strings.HasPrefix(raw(t, g.addr, get), "HTTP/1.1 200 ") {
			t.Errorf("%q: the running generation does not answer", wrong)
		}
	}
	log := g.log.String()
	for _, want := range []string{
		`:15:1: pool.bad.targts: unknown key (did you mean \"targets\"?)`,
		`:17:8: route[2].pool: no pool named \"nowhere\"`, `:14:8: `, `:15:1: listener[2].address: `,
		`:17:1: listener[2].certificate[1].cert: `,
	} {
		if !strings.Contains(log, g.file+want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
	}
	g.write(simple(target))
	g.signal(syscall.SIGHUP)
	eventually(t, "the good file is taken", func() bool { return g.metric("penstock_generation") == 2 })
	if g.metric("penstock_config_last_reload_success") != 1 {
		t.Error("penstock_config_last_reload_success is not 1 after a good reload")
	}
}

func (g *gateway) signal(s syscall.Signal) {
	g.t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		g.t.Fatal(err)
	}
}

// TestReloadReopensLog is what logrotate does: rename, SIGHUP. No line is lost or doubled, and none is written to
// the old file once the reload has been counted.
func TestReloadReopensLog(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.log")
	section := "\n[log.access]\noutput = \"" + file + "\"\nformat = \"{path}\"\n"
	g := start(t, simple(httpOrigin(t, pathOrigin), section))
	l := load(t, g.addr, 20, func(l *loader) { l.think = time.Millisecond })
	const rounds = 4
	for i := range rounds {
		from := l.requests.Load()
		eventually(t, "some requests are made", func() bool { return l.requests.Load() > from+200 })
		if err := os.Rename(file, fmt.Sprint(file, ".", i)); err != nil {
			t.Fatal(err)
		}
		g.signal(syscall.SIGHUP)
		eventually(t, "the log is opened anew", func() bool {
			_, err := os.Stat(file)
			return err == nil && g.metric(`penstock_reloads_total{result="ok"}`) == float64(i+1)
		})
	}
	l.check(t, "load")
	want := l.requests.Load()
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
	eventually(t, "all lines are written", func() bool { return count() >= want })
	if n := count(); n != want {
		t.Errorf("%d lines for %d requests", n, want)
	}
	t.Logf("%d requests, %d lines in %d files", want, count(), rounds+1)
}

// TestReloadLogSettings: format, output and level change by reload.
func TestReloadLogSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := httpOrigin(t, pathOrigin)
	conf := func(level, access string) string {
		return simple(target, "\n[log]\nlevel = \""+level+"\"\n[log.access]\n"+access)
	}
	g := start(t, conf("warn", "output = \""+dir+"/one\"\nformat = \"{status} {path}\""))
	f := func(level, access, file, want string) {
		t.Helper()
		g.write(conf(level, access))
		if status, body := g.reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, body)
		}
		raw(t, g.addr, "GET /here HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		eventually(t, fmt.Sprintf("%s holds %q", file, want), func() bool {
			text, _ := os.ReadFile(filepath.Join(dir, file)) // not there yet: looked at again
			return strings.Contains(string(text), want)
		})
	}
	f("warn", "output = \""+dir+"/one\"\nformat = \"{method}={path}\"", "one", "GET=/here\n")
	f("warn", "output = \""+dir+"/two\"\nformat = \"json\"", "two", `"path":"/here"`)
	f("warn", "output = \""+dir+"/two\"\nformat = \"combined\"", "two", `"GET /here HTTP/1.1" 200 5 `)
	if strings.Contains(g.log.String(), `"level":"INFO"`) {
		t.Errorf("level warn lets INFO through:\n%s", g.log)
	}
	f("info", "output = \""+dir+"/three\"", "three", `"path":"/here"`)
	eventually(t, "level info is in force", func() bool { return strings.Contains(g.log.String(), `"level":"INFO"`) })
}

// TestFullDisk: a log that cannot be written costs its lines, which are counted, and no request.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	g := start(t, simple(httpOrigin(t, pathOrigin), "\n[log.access]\noutput = \"/dev/full\"\n"))
	l := load(t, g.addr, 20, func(l *loader) { l.think = time.Millisecond })
	eventually(t, "a thousand requests are served", func() bool { return l.requests.Load() > 1000 })
	l.check(t, "load")
	eventually(t, "every line is counted as dropped", func() bool {
		return int64(g.metric("penstock_access_log_dropped_total")) == l.requests.Load()
	})
	if g.metric("penstock_access_log_errors_total") == 0 {
		t.Error("no error of the log is counted")
	}
	t.Logf("%d requests, %v lines dropped", l.requests.Load(), g.metric("penstock_access_log_dropped_total"))
	g.write(simple(httpOrigin(t, pathOrigin), "\n[log.access]\noutput = \""+t.TempDir()+"/log\"\n"))
	if status, body := g.reload(); status != 200 {
		t.Fatalf("reload: %d %s", status, body)
	}
	raw(t, g.addr, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	eventually(t, "a log with room is written", func() bool { return g.metric("penstock_access_log_lines_total") > 0 })
}
