// Package relay is the floor of a proxy in Go: one thread, one epoll set, no parsing. A client's connection
// is bound to one connection to the target for as long as it lives; what is read from the one is written to
// the other. A request costs four calls on sockets and one wait or two.
package relay

import (
	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/bench/rawnet"
)

// Relay is one listener and one target. One goroutine runs Serve.
type Relay struct {
	*rawnet.Server
	target rawnet.Target
	ends   []*end // by descriptor; nil: not in use
	buf    []byte
}

// end is one of the two sockets of a pair.
type end struct {
	fd    int
	other *end   // nil: the pair is closed
	out   []byte // what this socket has not yet taken; while there is some, other is not read
}

// Listen opens a relay from an IPv4 address to another; port 0 picks a free one. owned: see rawnet.NewPoller.
func Listen(addr, target string, owned bool) (*Relay, error) {
	to, err := rawnet.NewTarget(target)
	if err != nil {
		return nil, err
	}
	server, err := rawnet.NewServer(addr, owned)
	if err != nil {
		return nil, err
	}
	return &Relay{Server: server, target: to, buf: make([]byte, 64<<10)}, nil
}

// Serve relays until Close, then closes everything.
func (r *Relay) Serve() {
	r.Server.Serve(r.accepted, func(fd int, events uint32) {
		if from := r.ends[fd]; from != nil {
			r.move(from, events)
		}
	})
	for _, e := range r.ends {
		if e != nil {
			unix.Close(e.fd)
		}
	}
}

func (r *Relay) accepted(fd int) {
	up, err := r.target.Connect()
	if err != nil {
		unix.Close(fd)
		return
	}
	a, b := &end{fd: fd}, &end{fd: up}
	a.other, b.other = b, a
	for max(fd, up) >= len(r.ends) {
		r.ends = append(r.ends, nil)
	}
	r.ends[fd], r.ends[up] = a, b
	if r.Poll.Add(fd, rawnet.In) != nil || r.Poll.Add(up, rawnet.In) != nil {
		r.drop(a)
	}
}

func (r *Relay) drop(e *end) {
	r.ends[e.fd], r.ends[e.other.fd] = nil, nil
	unix.Close(e.fd)
	unix.Close(e.other.fd)
}

// move reads once and writes once, or writes what could not be written before.
func (r *Relay) move(from *end, events uint32) {
	if events&rawnet.Out != 0 && len(from.out) > 0 {
		r.flush(from)
		return
	}
	if len(from.other.out) > 0 { // not to be read now, so its connection has broken
		r.drop(from)
		return
	}
	n, errno := rawnet.Read(from.fd, r.buf)
	switch {
	case errno != 0 && rawnet.Again(errno):
		return
	case errno != 0 || n == 0:
		r.drop(from)
		return
	}
	to := from.other
	m, errno := rawnet.Write(to.fd, r.buf[:n])
	switch {
	case errno != 0 && rawnet.Again(errno):
		m = 0
	case errno != 0:
		r.drop(from)
		return
	}
	if m < n {
		to.out = append(to.out[:0], r.buf[m:n]...)
		r.watch(to)
	}
}

func (r *Relay) flush(e *end) {
	n, errno := rawnet.Write(e.fd, e.out)
	switch {
	case errno != 0 && rawnet.Again(errno):
		return
	case errno != 0:
		r.drop(e)
		return
	}
	if e.out = e.out[n:]; len(e.out) == 0 {
		r.watch(e)
	}
}

// watch sets what to wait for on both sockets of a pair, after e has got or lost bytes that it has to take.
func (r *Relay) watch(e *end) {
	if r.Poll.Change(e.fd, e.interest()) != nil || r.Poll.Change(e.other.fd, e.other.interest()) != nil {
		r.drop(e)
	}
}

func (e *end) interest() uint32 {
	var events uint32
	if len(e.out) > 0 {
		events |= rawnet.Out
	}
	if len(e.other.out) == 0 {
		events |= rawnet.In
	}
	return events
}

// Run relays until the process ends, and prints the address first.
func Run(addr, target string) error {
	rawnet.Own()
	r, err := Listen(addr, target, true)
	if err != nil {
		return err
	}
	r.Announce()
	r.Serve()
	return nil
}
