package operation

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// holder plays the service manager: it holds the listening socket that gateways come and go behind.
type holder struct {
	t      testing.TB
	addr   string
	socket *os.File
	target string
}

func hold(t testing.TB, target string) *holder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // the file below is another descriptor of the same socket
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &holder{t: t, addr: l.Addr().String(), socket: f, target: target}
}

// start starts a gateway that takes over the socket.
func (h *holder) start(env ...string) *e2e.Gateway {
	h.t.Helper()
	return h.startWith(h.addr, e2e.Simple(h.target, fmt.Sprintf(drainConf, "10s")), env...)
}

// startWith starts a gateway that is given the socket and serves conf on addr, and waits until it is ready.
func (h *holder) startWith(addr, conf string, env ...string) *e2e.Gateway {
	h.t.Helper()
	g := &e2e.Gateway{T: h.t, Addr: addr, Admin: e2e.FreeAddr(h.t), Log: &e2e.LockedBuffer{}}
	g.File = filepath.Join(h.t.TempDir(), "penstock.toml")
	g.Write(conf)
	// LISTEN_PID must be that of the process itself, which exec keeps.
	g.Cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, e2e.Binary, "run", "--config", g.File)
	g.Cmd.Env = append(append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=main"), env...)
	g.Cmd.ExtraFiles = []*os.File{h.socket}
	g.Run()
	h.t.Cleanup(g.Stop)
	g.WaitReady()
	return g
}

// TestHandover restarts the gateway behind a socket that stays, under 200 connections: nobody is refused, reset
// or left without an answer.
func TestHandover(t *testing.T) {
	t.Parallel()
	h := hold(t, e2e.HTTPOrigin(t, e2e.PathOrigin))
	f := func(what string, swap func(old *e2e.Gateway) *e2e.Gateway) {
		t.Helper()
		old := h.start()
		l := e2e.Load(t, h.addr, 200)
		for round := range 3 {
			from := l.Requests.Load()
			e2e.Eventually(t, "the load flows", func() bool { return l.Requests.Load() > from+1000 })
			next := swap(old)
			if code := old.Exit(); code != 0 {
				t.Errorf("%s, round %d: the old gateway ends with status %d", what, round, code)
			}
			old = next
		}
		from := l.Requests.Load()
		e2e.Eventually(t, "the last gateway serves", func() bool { return l.Requests.Load() > from+1000 })
		l.Check(t, what)
		old.Signal(syscall.SIGTERM)
		old.Exit()
	}
	f("stop, then start, as systemctl restart does", func(old *e2e.Gateway) *e2e.Gateway {
		old.Signal(syscall.SIGTERM)
		old.Exit()
		return h.start()
	})
	f("start, then stop", func(old *e2e.Gateway) *e2e.Gateway {
		next := h.start()
		old.Signal(syscall.SIGTERM)
		return next
	})
}

// TestNotify: what the service manager is told, from readiness over reloads to the end.
func TestNotify(t *testing.T) {
	t.Parallel()
	m, env := e2e.ListenNotify(t)
	g := hold(t, e2e.HTTPOrigin(t, e2e.PathOrigin)).start(env)
	m.WaitFor(t, "READY=1", 1)
	for i := 1; i <= 3; i++ {
		if i == 3 {
			g.Write("broken") // a refused reload is over as well
		}
		var before unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before); err != nil {
			t.Fatal(err)
		}
		g.Signal(syscall.SIGHUP)
		m.WaitFor(t, "RELOADING=1", i)
		m.WaitFor(t, "READY=1", i+1)
		_, line := m.Count("MONOTONIC_USEC=")
		_, text, _ := strings.Cut(line, "=")
		at, err := strconv.ParseInt(text, 10, 64)
		if err != nil || at < before.Nano()/1000 {
			t.Errorf("MONOTONIC_USEC=%s, the reload was asked for at %d", text, before.Nano()/1000)
		}
	}
	if n, _ := m.Count("WATCHDOG=1"); n > 0 {
		t.Errorf("%d WATCHDOG=1 without a watchdog", n)
	}
	g.Signal(syscall.SIGTERM)
	m.WaitFor(t, "STOPPING=1", 1)
	if code := g.Exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if n, _ := m.Count("READY=1"); n != 4 {
		t.Errorf("%d READY=1, want 4: %q", n, m.Seen)
	}
}

// TestWatchdog: the beats come as long as requests are served, and only then.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	m, env := e2e.ListenNotify(t)
	const interval = 200 * time.Millisecond
	g := hold(t, e2e.HTTPOrigin(t, e2e.PathOrigin)).start(env, fmt.Sprint("WATCHDOG_USEC=", interval.Microseconds()))
	m.WaitFor(t, "WATCHDOG=1", 5)
	g.Signal(syscall.SIGSTOP)
	quiet(t, m, 3*interval)
	g.Signal(syscall.SIGCONT)
	n, _ := m.Count("WATCHDOG=1")
	m.WaitFor(t, "WATCHDOG=1", n+3)

	g.Signal(syscall.SIGTERM)
	if code := g.Exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// quiet waits until no beat has come for d, which must be so before long.
func quiet(t testing.TB, m *e2e.Manager, d time.Duration) {
	t.Helper()
	last, since := -1, time.Now()
	e2e.Eventually(t, "the beats stop", func() bool {
		if n, _ := m.Count("WATCHDOG=1"); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > d
	})
}

// TestSocketOfNobody: a socket that no listener takes is said, since its clients would hang.
func TestSocketOfNobody(t *testing.T) {
	t.Parallel()
	h := hold(t, "127.0.0.1:1")
	g := h.startWith(e2e.FreeAddr(t), strings.Replace(e2e.Simple(h.target), `name = "main"`, `name = "other"`, 1))
	e2e.Eventually(t, "the log tells of the socket", func() bool {
		return strings.Contains(g.Log.String(), "no listener takes this socket")
	})
}
