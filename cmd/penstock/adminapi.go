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
	next   *admin.Place // another process serves there until this one is ready; nil: none
	gone   bool         // another process has the address now
}

// open takes address; nil and no error when that was done before. shared: a process that shares it too
// may have it.
func (a *adminAPI) open(address string, shared bool) (*admin.Place, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at == address && (a.socket != nil || a.next != nil || a.gone) {
		return nil, nil
	}
	p, err := admin.Reserve(address, shared)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by %s", address, a.user(address))
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// user guesses what uses address; a.mu is held.
func (a *adminAPI) user(address string) string {
	_, port, _ := net.SplitHostPort(address)
	_, own, _ := net.SplitHostPort(a.at)
	if a.socket != nil && port == own {
		return "this process, under its present admin address " + a.at + ": take another port, or restart"
	}
	return "another process: find it with `ss -ltnp`, or give [admin] another address"
}

// use serves at p, if there is one, and leaves the socket before. Where another process serves, takeOver
// does so later. The first call's options stay.
func (a *adminAPI) use(address string, p *admin.Place, o admin.Options) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server == nil {
		a.server, a.hosts = admin.New(o), o.Hosts
	}
	if !slices.Equal(a.hosts, o.Hosts) {
		slog.Warn("a change of [admin] hosts takes effect with the next start")
	}
	if p == nil {
		return
	}
	if a.next != nil {
		a.next.Close()
		a.next = nil
	}
	a.at, a.gone = address, false
	if p.Occupied() {
		a.next = p
		slog.Info("another process serves at the admin address until this one is ready", "address", address)
		return
	}
	a.serveAt(p)
}

// serveAt serves at p. a.mu is held.
func (a *adminAPI) serveAt(p *admin.Place) {
	l, err := p.TakeOver()
	if err != nil {
		slog.Error("the admin address is not this process's alone", "address", a.at, "error", err)
	}
	if l == nil {
		return
	}
	go serveAdmin(a.server, l)
	if a.socket != nil {
		_ = a.socket.Close() // only stops accepting; answers under way go on
	}
	a.socket = l
	publish(a.known())
}

// takeOver takes the address from the process that had it until this one was ready.
func (a *adminAPI) takeOver() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		a.serveAt(a.next)
		a.next = nil
	}
}

// handOver leaves the address to another process.
func (a *adminAPI) handOver() {
	slog.Info("another process has the admin address from now on")
	a.leave()
	a.mu.Lock()
	a.gone = true
	a.mu.Unlock()
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
	return a.known()
}

// known is address; a.mu is held.
func (a *adminAPI) known() string {
	if a.socket == nil || strings.HasPrefix(a.at, "unix:") {
		return a.at
	}
	return a.socket.Addr().String()
}

// leave stops listening, without a word to callers.
func (a *adminAPI) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.socket != nil {
		_ = a.socket.Close() // only stops accepting
	}
	if a.next != nil {
		a.next.Close()
	}
}

// close ends the interface, calls under way last.
func (a *adminAPI) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != nil {
		a.next.Close()
	}
	if a.socket != nil {
		_ = a.socket.Close() // the process ends
		a.server.Close()
	}
}
