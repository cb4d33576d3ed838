package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDrainDelay: after SIGTERM the gateway is not ready and goes on accepting until drain_delay has passed.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	target := httpOrigin(t, pathOrigin)
	f := func(delay string) (*gateway, *manager) {
		t.Helper()
		m, env := listenNotify(t)
		g := newGateway(t)
		g.write(simple(target, "\n[server]\ndrain_delay = \""+delay+"\"\ndrain_timeout = \"1s\"\n"))
		g.launch(env)
		t.Cleanup(g.stop)
		g.waitReady()
		g.signal(syscall.SIGTERM)
		return g, m
	}
	g, m := f("1h")
	eventually(t, "/readyz says 503", func() bool { return g.readyz() == 503 })
	for i := range 20 { // each on a connection of its own
		if r := <-ask(t, g.addr, fmt.Sprint("/", i)); r.err != nil || r.resp.StatusCode != 200 || r.resp.Close {
			t.Fatalf("request %d before drain_delay has passed: %+v", i, r)
		}
	}
	m.waitFor(t, "EXTEND_TIMEOUT_USEC=3611000000", 1)
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 1 {
		t.Errorf("ended at once, with status %d", code)
	}
	g, _ = f("10ms")
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// unread returns the end to write to of a pipe that is full and that nobody reads.
func unread(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	size, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, strings.Repeat("x", size)); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestNobodyReads: standard output and error that nobody reads stop neither requests, nor reloads, nor the end.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.write(simple(httpOrigin(t, pathOrigin), "\n[log.access]\noutput = \"stdout\"\n[log]\nlevel = \"debug\"\n"))
	g.cmd = penstock("run", "--config", g.file)
	stdout := unread(t)
	stderr := unread(t)
	g.spawn(stdout, stderr)
	g.waitReady()
	for i := range 50 {
		if r := g.get(fmt.Sprint("/", i)); r.StatusCode != 200 {
			t.Fatalf("request %d: %d", i, r.StatusCode)
		}
	}
	if code, body := g.reload(); code != 200 {
		t.Errorf("reload: %d %s", code, body)
	}
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	for i, name := range []string{"a file with a mistake", "one that is not there"} {
		g.file = filepath.Join(t.TempDir(), "penstock.toml")
		if i == 0 {
			g.write("broken")
		}
		g.cmd = penstock("run", "--config", g.file)
		g.spawn(stdout, stderr)
		if code := g.exit(); code != 1 {
			t.Errorf("%s: exit status %d", name, code)
		}
	}
}

// TestReaderLeaves: a reader of the events that has gone does not take the gateway along.
func TestReaderLeaves(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	g := newGateway(t)
	g.write(simple(httpOrigin(t, pathOrigin)))
	g.cmd = penstock("run", "--config", g.file)
	g.spawn(w, w)
	w.Close()
	g.waitReady()
	if got := g.metric("penstock_log_dropped_total"); got == 0 {
		t.Error("no event is counted as lost")
	}
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestLostLinesAreTold: an access log that drops lines says so, with the number and the cause.
func TestLostLinesAreTold(t *testing.T) {
	t.Parallel()
	f := func(output, cause string, stdout *os.File) {
		t.Helper()
		g := newGateway(t)
		g.write(simple(httpOrigin(t, pathOrigin), "\n[log.access]\noutput = \""+output+
			"\"\nmax_backlog_bytes = \"64KiB\"\nformat = \""+strings.Repeat("x", 4000)+" {path}\"\n"))
		g.cmd = penstock("run", "--config", g.file)
		g.spawn(stdout, g.log)
		defer g.stop()
		g.waitReady()
		const sent = 60
		for range sent {
			g.get("/x")
		}
		told := func() map[string]any { return g.event("lines of the access log are lost") }
		eventually(t, "the log tells of lost lines", func() bool { return told() != nil })
		n, _ := told()["lines"].(float64)
		why, _ := told()["cause"].(string)
		if n < 1 || n > sent || !strings.Contains(why, cause) {
			t.Errorf("%s: it tells of %v lines, because %q", output, n, why)
		}
	}
	f("/dev/full", "no space left on device", nil)
	stdout := unread(t)
	f("stdout", "not read", stdout)
}

// TestSecondSignalSaves: a process that is ended at once has written what it has counted: quotas, lines of the
// access log, those of requests under way too, and its last events; and the cache on disk is closed well.
func TestSecondSignalSaves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	quota, access := filepath.Join(dir, "plan.quota"), filepath.Join(dir, "access.log")
	release := make(chan struct{})
	defer close(release)
	target := httpOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		slowOrigin(release)(w, r)
	})
	g := start(t, quotaOf(target, quota, "quota = 1000\nperiod = \"month\"\n")+
		"[[route]]\nprefix = \"/kept\"\npool = \"app\"\ncache = \"disk\"\nrate_limits = [\"main\"]\n[cache.disk]\nsize = \"4MiB\"\ndisk = \""+filepath.Join(dir, "cache")+"\"\n"+
		"[server]\ndrain_timeout = \"10m\"\n[log.access]\noutput = \""+access+"\"\nformat = \"{path} {code}\"\n")
	eventually(t, "the cache is loaded", func() bool { return g.event("cache on disk loaded") != nil })
	hanging := ask(t, g.addr, "/hang")
	eventually(t, "the request has arrived", func() bool { return g.inFlight() == 1 })
	for i := range 7 {
		g.get(fmt.Sprint("/kept/", i))
	}
	g.signal(syscall.SIGTERM)
	eventually(t, "/readyz says 503", func() bool { return g.readyz() == 503 })
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	<-hanging
	if n := usedInFile(t, quota); n != 8 {
		t.Errorf("the quota's file has %d of 8", n)
	}
	b, err := os.ReadFile(access)
	if err != nil || strings.Count(string(b), "\n") != 8 || !strings.Contains(string(b), "/hang client_gone\n") {
		t.Errorf("the access log: %v\n%s", err, b)
	}
	if g.event("ended at once, without waiting for requests") == nil {
		t.Error("the last event is lost")
	}
	b, err = os.ReadFile(filepath.Join(dir, "cache", "state"))
	if err != nil || !strings.Contains(string(b), "closed, and synchronised") {
		t.Errorf("the cache on disk: %v %q", err, b)
	}
}

// TestSecondSignalHangs: nothing that hangs keeps the process: not a log, not an admin call, not a server.
func TestSecondSignalHangs(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.write(simple(httpOrigin(t, pathOrigin), "\n[log.access]\noutput = \"stdout\"\n[server]\ndrain_delay = \"1h\"\n"))
	g.cmd = penstock("run", "--config", g.file)
	stdout := unread(t)
	stderr := unread(t)
	g.spawn(stdout, stderr)
	g.waitReady()
	g.get("/")
	c, err := net.Dial("tcp", g.admin) // a profile of an hour
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /debug/pprof/profile?seconds=3600 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	g.signal(syscall.SIGTERM)
	eventually(t, "/readyz says 503", func() bool { return g.readyz() == 503 })
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
}
