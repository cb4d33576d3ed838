package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is a service manager's notification socket.
type manager struct{ c *net.UnixConn }

func newManager(t *testing.T) *manager {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // nobody writes any more
	t.Setenv("NOTIFY_SOCKET", name)
	return &manager{c}
}

// next returns the next message that is no WATCHDOG=1.
func (m *manager) next(t *testing.T, want string) string {
	t.Helper()
	for {
		s := m.read(t)
		if s == "WATCHDOG=1" && want != s {
			continue
		}
		if !strings.HasPrefix(s, want) {
			t.Errorf("the service manager hears %q, want %q", s, want)
		}
		return s
	}
}

func (m *manager) read(t *testing.T) string {
	t.Helper()
	b := make([]byte, 4096)
	_ = m.c.SetReadDeadline(time.Now().Add(20 * time.Second)) // it is open
	n, err := m.c.Read(b)
	if err != nil {
		t.Fatalf("the service manager hears nothing: %v", err)
	}
	return string(b[:n])
}

func TestServiceManager(t *testing.T) {
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "")
	name := file(t, pong)
	g := start(t, source{file: name})
	m.next(t, "READY=1\nSTATUS=Generation 1, 1 routes")
	m.next(t, "WATCHDOG=1")
	m.next(t, "WATCHDOG=1")
	g.signals <- syscall.SIGHUP
	if s := m.next(t, "RELOADING=1\nMONOTONIC_USEC="); len(s) < len("RELOADING=1\nMONOTONIC_USEC=1000000") {
		t.Errorf("%q has no microseconds", s)
	}
	m.next(t, "READY=1\nSTATUS=Generation 2, 1 routes")
	write(t, name, "broken")
	call(g, "reload")
	m.next(t, "RELOADING=1\n")
	m.next(t, "READY=1\nSTATUS=Generation 2, 1 routes; the last reload was refused")
	g.signals <- syscall.SIGTERM
	m.next(t, "STOPPING=1\n")
	g.end(0)
}

func listenFile(t *testing.T, name string) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close() // f keeps the socket
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close() // fd keeps it; only its name is another one
	return os.NewFile(uintptr(fd), name), at
}

func TestInheritedSockets(t *testing.T) {
	byName, at := listenFile(t, "main")
	unused, idle := listenFile(t, "other")
	g := start(t, source{file: file(t, pong)}, byName, unused)
	if g.base != "http://"+at {
		t.Errorf("it listens on %s, want %s, which was handed in", g.base, at)
	}
	if code, body := get(g.base + "/"); code != 200 || body != "one" {
		t.Errorf("%d %q", code, body)
	}
	const warning = "no listener takes this socket of the service manager: connections to it hang"
	if got := g.log.value(warning, "address"); got != idle {
		t.Errorf("it warns about %q, want %s", got, idle)
	}
	g.stop()
	for _, f := range []*os.File{byName, unused} {
		_ = f.Close() // the service manager would keep it
	}
}

// The self-check is content with listeners of every kind, and none of them hears of it.
func TestSelfCheck(t *testing.T) {
	dir := pki(t)
	certificate := "\n[[listener.certificate]]\ncert = \"" + dir + "/example.crt\"\nkey = \"" + dir + "/example.key\"\n"
	socket := filepath.Join(dir, "http.sock")
	f := func(listener, rest string) {
		t.Helper()
		p := newProcess(io.Discard, source{file: file(t, "[[listener]]\nname = \"main\"\n"+listener+
			"\n[[route]]\npath = \"/\"\nrespond = { body = \"x\" }\n"+rest)}, nil)
		defer p.close()
		defer func() {
			p.conf.Load().drainTimeout = 0
			p.drain()
		}()
		if _, err := p.live.Load(); err != nil {
			t.Fatal(err)
		}
		if err := p.selfCheck(10 * time.Second); err != nil {
			t.Errorf("%s: %v", listener, err)
		}
		var metrics strings.Builder
		if err := p.registry.Write(&metrics); err != nil {
			t.Fatal(err)
		}
		for _, what := range []string{"proxy", "tls"} {
			if s := `penstock_bad_greetings_total{what="` + what + `"} 0`; !strings.Contains(metrics.String(), s) {
				t.Errorf("%s: not %s", listener, s)
			}
		}
	}
	f(`address = "127.0.0.1:0"`, "")
	f(`address = "127.0.0.1:0"`+certificate, "")
	f("address = \"127.0.0.1:0\"\nproxy_protocol = true", "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]")
	f("address = \"127.0.0.1:0\"\nproxy_protocol = true", "")
	f("address = \"127.0.0.1:0\"\nproxy_protocol = true\n"+certificate, "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]")
	f(`address = "unix:`+socket+`"`, "")
}
