package operation

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// shared is a configuration that two processes may serve at once.
func shared(target, more string) string {
	return strings.Replace(e2e.Simple(target, more), "address =", "reuse_port = true\naddress =", 1)
}

// systemctl plays the service manager for a script: instances of a unit are gateways on one file.
type systemctl struct {
	t       *testing.T
	conf    *e2e.Gateway // the file and the addresses
	calls   string       // a FIFO: the script's calls, a line each
	answers string       // another: an exit status for each
	running map[string]*e2e.Gateway
	seen    []string
}

// newSystemctl puts a command systemctl into a folder for PATH. A call writes its arguments and exits with what it
// is answered.
func newSystemctl(t *testing.T, conf *e2e.Gateway) (s *systemctl, dir string) {
	t.Helper()
	dir = t.TempDir()
	s = &systemctl{t: t, conf: conf, calls: filepath.Join(dir, "calls"), answers: filepath.Join(dir, "answers"),
		running: map[string]*e2e.Gateway{}}
	for _, fifo := range []string{s.calls, s.answers} {
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := fmt.Sprintf("#!/bin/sh\necho \"$*\" >%s\nread -r status <%s\nexit \"$status\"\n", s.calls, s.answers)
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// serve answers calls until the script has ended.
func (s *systemctl) serve(ended <-chan struct{}) {
	for {
		b, err := os.ReadFile(s.calls) // opened by the next call, or by whoever ends this
		if err != nil {
			s.t.Error(err)
			return
		}
		select {
		case <-ended:
			return
		default:
		}
		call := strings.TrimSpace(string(b))
		s.seen = append(s.seen, call)
		if err := os.WriteFile(s.answers, []byte(fmt.Sprintln(s.answer(strings.Fields(call)))), 0o600); err != nil {
			s.t.Error(err)
			return
		}
	}
}

func (s *systemctl) answer(call []string) int {
	verb, unit := call[len(call)-2], call[len(call)-1]
	g := s.running[unit]
	switch verb {
	case "is-active":
		if g == nil {
			return 3
		}
	case "start":
		m, env := e2e.ListenNotify(s.t)
		next := &e2e.Gateway{T: s.t, Addr: s.conf.Addr, Admin: s.conf.Admin, Log: &e2e.LockedBuffer{}, File: s.conf.File}
		next.Launch(env)
		s.t.Cleanup(next.Stop)
		m.WaitFor(s.t, "READY=1", 1)
		s.running[unit] = next
	case "stop":
		g.Signal(syscall.SIGTERM)
		delete(s.running, unit)
		return g.Exit()
	}
	return 0
}

// restart runs the script and returns what it asked the service manager for.
func (s *systemctl) restart(dir string) []string {
	s.t.Helper()
	s.seen = nil
	cmd := exec.Command("/bin/sh", "../../../configs/systemd/penstock-restart")
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	ended, served := make(chan struct{}), make(chan struct{})
	go func() {
		s.serve(ended)
		close(served)
	}()
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Errorf("the script: %v\n%s", err, out)
	}
	close(ended)
	_ = os.WriteFile(s.calls, nil, 0o600) // it waits for the next call
	<-served
	return s.seen
}

// TestRestartScript: two processes relieve each other, on one file with one admin address: nobody is lost.
func TestRestartScript(t *testing.T) {
	t.Parallel()
	f := func(admin string) {
		t.Helper()
		conf := e2e.NewGateway(t)
		conf.Write(shared(e2e.HTTPOrigin(t, e2e.PathOrigin), fmt.Sprintf(drainConf, "10s")+admin))
		s, dir := newSystemctl(t, conf)
		s.restart(dir)
		l := e2e.Load(t, conf.Addr, 50)
		for _, names := range [][2]string{{"blue", "green"}, {"green", "blue"}} {
			from := l.Requests.Load()
			e2e.Eventually(t, "the load flows", func() bool { return l.Requests.Load() > from+300 })
			calls := strings.Join(s.restart(dir), "\n")
			want := fmt.Sprintf("start penstock@%s.service\n--quiet enable penstock@%[1]s.service\n"+
				"--quiet disable penstock@%s.service\nstop penstock@%[2]s.service", names[1], names[0])
			if !strings.HasSuffix(calls, want) {
				t.Errorf("the script calls\n%s\nwant\n%s", calls, want)
			}
		}
		from := l.Requests.Load()
		e2e.Eventually(t, "the last one serves", func() bool { return l.Requests.Load() > from+300 })
		l.Check(t, "the restarts")
		if code, out, errs := e2e.Command(t, "status", "--json", "--config", conf.File); code != 0 {
			t.Errorf("nobody has the admin address: %s%s", out, errs)
		}
	}
	f("")
	f("\n[admin]\naddress = \"unix:" + filepath.Join(t.TempDir(), "admin.sock") + "\"\n")
}

// TestAdminIsHandedOver: the admin address stays with a process until the next one is ready; without reuse_port it
// is not shared.
func TestAdminIsHandedOver(t *testing.T) {
	t.Parallel()
	target := e2e.HTTPOrigin(t, e2e.PathOrigin)
	g := e2e.NewGateway(t)
	g.Write(shared(target, ""))
	g.Launch()
	t.Cleanup(g.Stop)
	g.WaitReady()
	// The next one is not ready as long as its discovery has found nobody.
	next := &e2e.Gateway{T: t, Addr: g.Addr, Admin: g.Admin, Log: &e2e.LockedBuffer{}, File: filepath.Join(t.TempDir(), "p.toml")}
	next.Write(shared(target, "\n[server]\nready_after = \"1h\"\n[pool.found]\ndiscover = { dns = \"srv:_http._tcp.app.test\", servers = [\"127.0.0.1:1\"] }\n"+
		"[[route]]\npath = \"/found\"\npool = \"found\"\n"))
	next.Launch()
	t.Cleanup(next.Stop)
	e2e.Eventually(t, "the next one waits", func() bool {
		return next.Event("another process serves at the admin address until this one is ready") != nil
	})
	if code := g.Readyz(); code != 200 || g.Event("another process has the admin address from now on") != nil {
		t.Errorf("/readyz says %d while the next one is not ready", code)
	}
	next.Signal(syscall.SIGTERM)
	if code := next.Exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if code := g.Readyz(); code != 200 {
		t.Errorf("/readyz says %d when the next one has given up", code)
	}
	next.Write(e2e.Simple(target))
	next.Launch()
	if code := next.Exit(); code != 1 || !strings.Contains(next.Log.String(), "another process") {
		t.Errorf("without reuse_port: exit status %d\n%s", code, next.Log)
	}
}

// TestReloadFindsTheAddress: a command finds the gateway by a file that is broken, on a unix socket too, and within
// the unit by what the gateway has written down; the mistakes are printed and the status is 1.
func TestReloadFindsTheAddress(t *testing.T) {
	t.Parallel()
	f := func(admin, broken, want string) {
		t.Helper()
		g := e2e.NewGateway(t)
		g.Admin = e2e.FreeAddr(t)
		admin = strings.ReplaceAll(admin, "{{admin}}", g.Admin)
		run := t.TempDir()
		g.Write(e2e.Simple("127.0.0.1:1") + admin)
		g.Launch("RUNTIME_DIRECTORY=" + run)
		t.Cleanup(g.Stop)
		e2e.Eventually(t, "the gateway serves", func() bool { return g.Event("serving") != nil })
		if code, out, errs := e2e.Command(t, "reload", "--config", g.File); code != 0 {
			t.Errorf("a good file: %d %s%s", code, out, errs)
		}
		g.Write(e2e.Simple("127.0.0.1:1") + admin + broken)
		code, out, errs := e2e.Command(t, "reload", "--config", g.File)
		if code != 1 || !strings.Contains(errs, want) {
			t.Errorf("%q: %d %q %q, want %q", broken, code, out, errs, want)
		}
		g.Write("[admin]\naddress = \"127.0.0.1:1\"\n") // it is elsewhere
		cmd := e2e.Penstock("reload", "--config", g.File)
		cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+run+":/run/other")
		if b, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(b), "there must be at least one [[listener]]") {
			t.Errorf("within the unit: %v %s", err, b)
		}
	}
	const address = "\n[admin] # the way in\n# a word\n\nhosts = []\naddress = \"{{admin}}\"\n"
	f(address, "\n[[route]\n", "penstock.toml:")
	f(address, "\nx = \"", "penstock.toml:")
	f(strings.Replace(address, "{{admin}}", "unix:"+filepath.Join(t.TempDir(), "a.sock"), 1), "\n[pool\n", "penstock.toml:")
}

// TestWatchdogWithoutDescriptors: the watchdog is fed without a descriptor, and nothing hears of its question.
func TestWatchdogWithoutDescriptors(t *testing.T) {
	t.Parallel()
	m, env := e2e.ListenNotify(t)
	g := e2e.NewGateway(t)
	access := filepath.Join(t.TempDir(), "access.log")
	g.Write(e2e.Simple(e2e.HTTPOrigin(t, e2e.PathOrigin), "\n[log.access]\noutput = \""+access+"\"\n"))
	g.Cmd = exec.Command("/bin/sh", "-c", `ulimit -n 48; exec "$0" "$@"`, e2e.Binary, "run", "--config", g.File)
	g.Cmd.Env = append(os.Environ(), env, "WATCHDOG_USEC=1000000") // a busy machine answers within a quarter of it
	g.Run()
	t.Cleanup(g.Stop)
	g.WaitReady()
	m.WaitFor(t, "WATCHDOG=1", 2)
	if got := g.Metric("penstock_requests_total"); got != 0 {
		t.Errorf("%v requests are counted, nobody has made one", got)
	}
	http.DefaultClient.CloseIdleConnections()
	idle := make([]net.Conn, 60)
	for i := range idle {
		c, err := net.Dial("tcp", g.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle[i] = c
	}
	n, _ := m.Count("WATCHDOG=1")
	m.WaitFor(t, "WATCHDOG=1", n+3)
	if g.Event("the self-check failed, the watchdog is not fed") != nil {
		t.Error("the watchdog needs a descriptor")
	}
	for _, c := range idle {
		c.Close()
	}
	if b, err := os.ReadFile(access); err != nil || len(b) > 0 {
		t.Errorf("the access log: %v %s", err, b)
	}
}
