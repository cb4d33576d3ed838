package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/penstock-edge/penstock/edge/admin"
)

// adminAPI is the admin interface. Its socket follows [admin] address over reloads: a new one is bound
// while the configuration is built, the old one closed when the new one serves.
type adminAPI struct {
	mu     sync.Mutex    // guards the fields below
	server *admin.Server // nil before the first use
	hosts  []string      // that server was made with
	at     string        // address as configured
	socket net.Listener
}

// open binds address; nil and no error when it is bound already.
func (a *adminAPI) open(address string) (net.Listener, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.socket != nil && a.at == address {
		return nil, nil
	}
	l, err := admin.Listen(address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by %s", address, a.user(address))
	}
	return l, err
}

// user guesses who uses address; a.mu is held.
func (a *adminAPI) user(address string) string {
	_, port, _ := net.SplitHostPort(address)
	_, own, _ := net.SplitHostPort(a.at)
	if a.socket != nil && port == own {
		return "this process, under its present admin address " + a.at + ": take another port, or restart"
	}
	return "another process: find it with `ss -ltnp`, or give [admin] another address"
}

// use serves on next, if there is one, and leaves the socket before. The first call's options stay.
func (a *adminAPI) use(address string, next net.Listener, o admin.Options) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server == nil {
		a.server, a.hosts = admin.New(o), o.Hosts
	}
	if !slices.Equal(a.hosts, o.Hosts) {
		slog.Warn("a change of [admin] hosts takes effect with the next start")
	}
	if next == nil {
		return
	}
	go serveAdmin(a.server, next)
	if a.socket != nil {
		_ = a.socket.Close() // only stops accepting; answers under way go on
	}
	a.at, a.socket = address, next
}

func serveAdmin(s *admin.Server, l net.Listener) {
	if err := s.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) {
		slog.Error("the admin interface has failed", "address", l.Addr().String(), "error", err)
	}
}

// address returns where the admin interface is.
func (a *adminAPI) address() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.socket == nil || strings.HasPrefix(a.at, "unix:") {
		return a.at
	}
	return a.socket.Addr().String()
}

// leave stops listening, without a word to those who call.
func (a *adminAPI) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.socket != nil {
		_ = a.socket.Close() // only stops accepting
	}
}

// close ends the interface, calls under way last.
func (a *adminAPI) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.socket != nil {
		_ = a.socket.Close() // the process ends
		a.server.Close()
	}
}
