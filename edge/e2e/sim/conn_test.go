//go:build sim

package sim

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is an end as a net.Conn: for parts of the gateway that wait for one connection, as health checks do, and for
// those whose descriptor moves to a loop.
type conn struct {
	e     *end
	moved bool // the descriptor belongs to a loop now
	read  time.Time
	write time.Time
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	for {
		c.e.net.mu.Lock()
		n, errno := c.e.recv(p)
		wait := c.e.waits(errno)
		until := c.read
		c.e.net.mu.Unlock()
		switch {
		case c.e.closed:
			return 0, net.ErrClosed
		case wait != nil:
			if !waited(wait, until) {
				return 0, os.ErrDeadlineExceeded
			}
		case errno != 0:
			return 0, os.NewSyscallError("read", errno)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (n int, err error) {
	for n < len(b) {
		c.e.net.mu.Lock()
		m, errno := c.e.send(b[n:])
		wait := c.e.waits(errno)
		until := c.write
		c.e.net.mu.Unlock()
		switch {
		case c.e.closed:
			return n, net.ErrClosed
		case wait != nil:
			if !waited(wait, until) {
				return n, os.ErrDeadlineExceeded
			}
		case errno != 0:
			return n, os.NewSyscallError("write", errno)
		}
		n += m
	}
	return n, nil
}

// waits returns what is closed when the end is to be looked at again; nil: it need not wait.
func (e *end) waits(errno syscall.Errno) chan struct{} {
	if errno != syscall.EAGAIN || e.closed {
		return nil
	}
	if e.waiter == nil {
		e.waiter = make(chan struct{})
	}
	return e.waiter
}

// waited reports whether something came before until.
func waited(c chan struct{}, until time.Time) bool {
	if until.IsZero() {
		<-c
		return true
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
		return false
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.e.net.mu.Lock()
	defer c.e.net.mu.Unlock()
	if !c.moved {
		c.e.close()
	}
	return nil
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.e.local) }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.e.remote) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.e.net.mu.Lock()
	defer c.e.net.mu.Unlock()
	c.read = t
	c.e.wakeWaiter()
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.e.net.mu.Lock()
	defer c.e.net.mu.Unlock()
	c.write = t
	c.e.wakeWaiter()
	return nil
}

// CloseWrite ends the sending half.
func (c *conn) CloseWrite() error {
	c.e.net.mu.Lock()
	defer c.e.net.mu.Unlock()
	c.e.shut()
	return nil
}

// listener is a listening socket until a loop has taken it over.
type listener struct {
	e     *end
	moved bool
}

// Accept implements net.Listener. Only loops accept.
func (l *listener) Accept() (net.Conn, error) { return nil, net.ErrClosed }

// Close implements net.Listener.
func (l *listener) Close() error {
	l.e.net.mu.Lock()
	defer l.e.net.mu.Unlock()
	if !l.moved {
		l.e.close()
	}
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.e.local) }

// Listen implements sockets.Simulated.
func (n *network) Listen(_, address string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[at] != nil {
		return nil, os.NewSyscallError("bind", unix.EADDRINUSE)
	}
	e := &end{net: n, local: at, listens: true, name: "listener"}
	if !n.give(e) {
		return nil, os.NewSyscallError("socket", unix.EMFILE)
	}
	n.listeners[at] = e
	return &listener{e: e}, nil
}

// dial is a connection that the gateway opens, until the scheduler has decided on it.
type dial struct {
	to   netip.AddrPort
	e    *end
	err  error
	done chan struct{}
}

// Dial implements sockets.Simulated.
func (n *network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.port++
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), n.port)
	ours, _ := n.pair(local, to)
	d := &dial{to: to, e: ours, done: make(chan struct{})}
	if !n.give(ours) {
		n.mu.Unlock()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", unix.EMFILE)}
	}
	if network == "udp" {
		ours.in.packets, ours.out.packets = []int{}, []int{}
		if accept := n.remotes[to]; accept != nil {
			accept(ours.in.sender)
		}
		n.mu.Unlock()
		return &packets{conn{e: ours}}, nil
	}
	n.dials = append(n.dials, d)
	n.mu.Unlock()
	select {
	case <-d.done:
	case <-ctx.Done():
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil && d.err == nil {
		d.err = err
	}
	if d.err != nil {
		ours.resets = true
		ours.close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: d.err}
	}
	return &conn{e: ours}, nil
}

// decide connects the dial at i with whoever is there, or refuses it.
func (n *network) decide(i int) {
	d := n.dials[i]
	n.dials = append(n.dials[:i], n.dials[i+1:]...)
	accept := n.remotes[d.to]
	if accept == nil || n.fails(20) {
		d.err = os.NewSyscallError("connect", unix.ECONNREFUSED)
	} else if !d.e.closed {
		accept(d.e.in.sender)
	}
	close(d.done)
}

// fails reports whether the network fails now, once in so many times.
func (n *network) fails(in int) bool { return n.faults != nil && n.faults.one(in) }

// connect opens a connection of a client to a listener; nil: nobody listens, or its queue is full.
func (n *network) connect(from, to netip.AddrPort) *end {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[to]
	if l == nil || len(l.pending) >= 128 {
		return nil
	}
	client, ours := n.pair(from, to)
	l.pending = append(l.pending, ours)
	l.report(unix.EPOLLIN)
	return client
}

// Lookup implements sockets.Simulated.
func (n *network) Lookup(ctx context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []netip.Addr
	for _, a := range n.names[host] {
		all = append(all, a.Addr())
	}
	if n.fails(6) || len(all) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return all, ctx.Err()
}

// packets is a conn that keeps what is sent apart, as UDP does.
type packets struct{ conn }

// ReadFrom implements net.PacketConn.
func (p *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := p.Read(b)
	return n, p.RemoteAddr(), err
}

// WriteTo implements net.PacketConn.
func (p *packets) WriteTo(b []byte, _ net.Addr) (int, error) { return p.Write(b) }
