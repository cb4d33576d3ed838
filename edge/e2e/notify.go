package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Manager receives what a gateway tells the service manager.
type Manager struct {
	socket *net.UnixConn
	mu     sync.Mutex // guards seen
	Seen   []string   // datagrams, oldest first
}

// ListenNotify starts a manager; env is what names it in the environment of a gateway.
func ListenNotify(t testing.TB) (m *Manager, env string) {
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
	m = &Manager{socket: c}
	t.Cleanup(func() { c.Close() })
	go m.receive()
	return m, "NOTIFY_SOCKET=" + addr.Name
}

func (m *Manager) receive() {
	b := make([]byte, 4096)
	for {
		n, err := m.socket.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		m.mu.Lock()
		m.Seen = append(m.Seen, string(b[:n]))
		m.mu.Unlock()
	}
}

// Count returns how many messages hold a line that begins with prefix, and that line of the last of them.
func (m *Manager) Count(prefix string) (n int, last string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, message := range m.Seen {
		for _, line := range strings.Split(message, "\n") {
			if strings.HasPrefix(line, prefix) {
				n++
				last = line
			}
		}
	}
	return n, last
}

// WaitFor waits until n messages hold a line that begins with prefix.
func (m *Manager) WaitFor(t testing.TB, prefix string, n int) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%d messages %s", n, prefix), func() bool {
		got, _ := m.Count(prefix)
		return got >= n
	})
}
