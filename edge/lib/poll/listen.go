package poll

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listener accepts connections for the loops. One goroutine may be in Accept.
type Listener struct {
	set  *Loops
	s    *Socket
	addr net.Addr
	path string // of a Unix socket, to be removed by Close; else empty
}

// Listen takes over the listening socket l. With keepPath set, Close leaves the file of a Unix socket in
// place.
func (p *Loops) Listen(l net.Listener, keepPath bool) (*Listener, error) {
	n := &Listener{set: p, addr: l.Addr()}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
		if !keepPath {
			n.path = l.Addr().String()
		}
	}
	defer l.Close() // the duplicate lives on
	fd, err := duplicate(l)
	if err != nil {
		return nil, fmt.Errorf("cannot take over a listening socket: %w", err)
	}
	if n.path == "" {
		inherit(fd)
	}
	n.s, err = p.Pick().Adopt(fd, Addr{}, nil)
	if err != nil {
		return nil, err
	}
	n.s.listens = true
	n.s.in.state.Store(ready) // connections may be there already
	return n, nil
}

// Accepted is a connection that Accept has taken from the queue and no loop knows yet.
type Accepted struct {
	fd     int
	Remote Addr // zero for a Unix socket
}

// Accept waits for a connection, or for the deadline.
func (n *Listener) Accept() (a Accepted, err error) {
	rerr := (*raw)(n.s).Read(func(fd uintptr) bool {
		for {
			a.fd, a.Remote, err = accept(int(fd))
			switch {
			case err == nil:
				return true
			case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
				continue
			}
			return !errors.Is(err, unix.EAGAIN)
		}
	})
	if rerr != nil {
		return a, rerr
	}
	return a, os.NewSyscallError("accept4", err)
}

// Hold makes an accepted connection the socket s, which its handler may hold by value. From here on anybody
// may know of s, but no loop waits for it before Begin. With an error, s is closed.
func (p *Loops) Hold(s *Socket, a Accepted, h Handler) error {
	return p.Pick().hold(s, a.fd, a.Remote, h)
}

// TurnAway sends b as far as there is room, and closes the connection.
func (a Accepted) TurnAway(b []byte) {
	if len(b) > 0 {
		_, _ = send(a.fd, b) // best effort: the client is turned away anyway
		_ = shutdown(a.fd, unix.SHUT_WR)
	}
	closeFd(a.fd)
}

// Addr returns where the listener listens.
func (n *Listener) Addr() net.Addr { return n.addr }

// SetDeadline bounds Accept.
func (n *Listener) SetDeadline(t time.Time) error { return n.s.SetReadDeadline(t) }

// SyscallConn implements syscall.Conn.
func (n *Listener) SyscallConn() (syscall.RawConn, error) { return n.s.SyscallConn() }

// Close stops listening.
func (n *Listener) Close() error {
	err := n.s.Close()
	if err == nil && n.path != "" {
		_ = os.Remove(n.path) // gone already: as wanted
	}
	return err
}

// AdoptConn adopts a connection of the net package, which must have nothing buffered: its descriptor moves
// over.
func (l *Loop) AdoptConn(c net.Conn, h Handler) (*Socket, error) {
	fd, err := duplicate(c)
	if err != nil {
		return nil, err
	}
	remote := Addr{}
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		remote = t.AddrPort()
	}
	_ = c.Close() // the duplicate lives on
	return l.Adopt(fd, remote, h)
}
