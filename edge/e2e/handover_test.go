package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
func (h *holder) start(env ...string) *gateway {
	h.t.Helper()
	return h.startWith(h.addr, simple(h.target, fmt.Sprintf(drainConf, "10s")), env...)
}

// startWith starts a gateway that is given the socket and serves conf on addr, and waits until it is ready.
func (h *holder) startWith(addr, conf string, env ...string) *gateway {
	h.t.Helper()
	g := &gateway{t: h.t, addr: addr, admin: freeAddr(h.t), log: &lockedBuffer{}}
	g.file = filepath.Join(h.t.TempDir(), "penstock.toml")
	g.write(conf)
	// LISTEN_PID must be that of the process itself, which exec keeps.
	g.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary, "run", "--config", g.file)
	g.cmd.Env = append(append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=main"), env...)
	g.cmd.ExtraFiles = []*os.File{h.socket}
	g.run()
	h.t.Cleanup(g.stop)
	g.waitReady()
	return g
}

// TestHandover restarts the gateway behind a socket that stays, under 200 connections: nobody is refused, reset
// or left without an answer.
func TestHandover(t *testing.T) {
	t.Parallel()
	h := hold(t, httpOrigin(t, pathOrigin))
	f := func(what string, swap func(old *gateway) *gateway) {
		t.Helper()
		old := h.start()
		l := load(t, h.addr, 200)
		for round := range 3 {
			from := l.requests.Load()
			eventually(t, "the load flows", func() bool { return l.requests.Load() > from+1000 })
			next := swap(old)
			if code := old.exit(); code != 0 {
				t.Errorf("%s, round %d: the old gateway ends with status %d", what, round, code)
			}
			old = next
		}
		from := l.requests.Load()
		eventually(t, "the last gateway serves", func() bool { return l.requests.Load() > from+1000 })
		l.check(t, what)
		old.signal(syscall.SIGTERM)
		old.exit()
	}
	f("stop, then start, as systemctl restart does", func(old *gateway) *gateway {
		old.signal(syscall.SIGTERM)
		old.exit()
		return h.start()
	})
	f("start, then stop", func(old *gateway) *gateway {
		next := h.start()
		old.signal(syscall.SIGTERM)
		return next
	})
}

// manager receives what a gateway tells the service manager.
type manager struct {
	socket *net.UnixConn
	mu     sync.Mutex // guards seen
	seen   []string   // datagrams, oldest first
}

func listenNotify(t testing.TB) (m *manager, env string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") //nolint:usetesting // a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	addr := &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"}
	c, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	m = &manager{socket: c}
	t.Cleanup(func() { c.Close() })
	go m.receive()
	return m, "NOTIFY_SOCKET=" + addr.Name
}

func (m *manager) receive() {
	b := make([]byte, 4096)
	for {
		n, err := m.socket.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		m.mu.Lock()
		m.seen = append(m.seen, string(b[:n]))
		m.mu.Unlock()
	}
}

// count returns how many messages hold a line that begins with prefix, and that line of the last of them.
func (m *manager) count(prefix string) (n int, last string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, message := range m.seen {
		for _, line := range strings.Split(message, "\n") {
			if strings.HasPrefix(line, prefix) {
				n++
				last = line
			}
		}
	}
	return n, last
}

func (m *manager) waitFor(t testing.TB, prefix string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d messages %s", n, prefix), func() bool {
		got, _ := m.count(prefix)
		return got >= n
	})
}

// TestNotify: what the service manager is told, from readiness over reloads to the end.
func TestNotify(t *testing.T) {
	t.Parallel()
	m, env := listenNotify(t)
	g := hold(t, httpOrigin(t, pathOrigin)).start(env)
	m.waitFor(t, "READY=1", 1)
	for i := 1; i <= 3; i++ {
		if i == 3 {
			g.write("broken") // a refused reload is over as well
		}
		var before unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before); err != nil {
			t.Fatal(err)
		}
		g.signal(syscall.SIGHUP)
		m.waitFor(t, "RELOADING=1", i)
		m.waitFor(t, "READY=1", i+1)
		_, line := m.count("MONOTONIC_USEC=")
		_, text, _ := strings.Cut(line, "=")
		at, err := strconv.ParseInt(text, 10, 64)
		if err != nil || at < before.Nano()/1000 {
			t.Errorf("MONOTONIC_USEC=%s, the reload was asked for at %d", text, before.Nano()/1000)
		}
	}
	if n, _ := m.count("WATCHDOG=1"); n > 0 {
		t.Errorf("%d WATCHDOG=1 without a watchdog", n)
	}
	g.signal(syscall.SIGTERM)
	m.waitFor(t, "STOPPING=1", 1)
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if n, _ := m.count("READY=1"); n != 4 {
		t.Errorf("%d READY=1, want 4: %q", n, m.seen)
	}
}

// TestWatchdog: the beats come as long as requests are served, and only then.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	m, env := listenNotify(t)
	const interval = 200 * time.Millisecond
	g := hold(t, httpOrigin(t, pathOrigin)).start(env, fmt.Sprint("WATCHDOG_USEC=", interval.Microseconds()))
	m.waitFor(t, "WATCHDOG=1", 5)
	g.signal(syscall.SIGSTOP)
	quiet(t, m, 3*interval)
	g.signal(syscall.SIGCONT)
	n, _ := m.count("WATCHDOG=1")
	m.waitFor(t, "WATCHDOG=1", n+3)

	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// quiet waits until no beat has come for d, which must be so before long.
func quiet(t testing.TB, m *manager, d time.Duration) {
	t.Helper()
	last, since := -1, time.Now()
	eventually(t, "the beats stop", func() bool {
		if n, _ := m.count("WATCHDOG=1"); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > d
	})
}

// TestSocketOfNobody: a socket that no listener takes is said, since its clients would hang.
func TestSocketOfNobody(t *testing.T) {
	t.Parallel()
	h := hold(t, "127.0.0.1:1")
	g := h.startWith(freeAddr(t), strings.Replace(simple(h.target), `name = "main"`, `name = "other"`, 1))
	eventually(t, "the log tells of the socket", func() bool {
		return strings.Contains(g.log.String(), "no listener takes this socket")
	})
}
