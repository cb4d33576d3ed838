// Package relay is the floor of a proxy in Go: one thread, one epoll set, no parsing. A client's connection
// is bound to one connection to the target for as long as it lives; what is read from the one is written to
// the other. A request costs four calls on sockets and one wait or two.
package relay

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/bench/rawnet"
)

// Relay is one listener and one target. One goroutine runs Serve.
type Relay struct {
	poll   *rawnet.Poller
	listen int
	addr   string
	target rawnet.Target
	ends   []*end // by descriptor; nil: not in use
	buf    []byte
	closed atomic.Bool
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
	poll, err := rawnet.NewPoller(owned)
	if err != nil {
		return nil, err
	}
	fd, bound, err := rawnet.Listen(addr)
	if err != nil {
		poll.Close()
		return nil, err
	}
	r := &Relay{poll: poll, listen: fd, addr: bound, target: to, buf: make([]byte, 64<<10)}
	if err := poll.Add(fd, rawnet.In); err != nil {
		poll.Close()
		unix.Close(fd)
		return nil, err
	}
	return r, nil
}

// Addr is the address the relay listens on.
func (r *Relay) Addr() string { return r.addr }

// Close makes Serve return.
func (r *Relay) Close() {
	r.closed.Store(true)
	r.poll.Wake()
}

// Serve relays until Close, then closes everything.
func (r *Relay) Serve() {
	for !r.closed.Load() {
		for _, e := range r.poll.Wait(-time.Second) {
			if int(e.Fd) == r.listen {
				r.accept()
				continue
			}
			if from := r.ends[e.Fd]; from != nil {
				r.move(from, e.Events)
			}
		}
	}
	for _, e := range r.ends {
		if e != nil {
			unix.Close(e.fd)
		}
	}
	unix.Close(r.listen)
	r.poll.Close()
}

func (r *Relay) accept() {
	for {
		fd, ok := rawnet.Accept(r.listen)
		if !ok {
			return
		}
		up, err := r.target.Connect()
		if err != nil {
			unix.Close(fd)
			continue
		}
		a, b := &end{fd: fd}, &end{fd: up}
		a.other, b.other = b, a
		for max(fd, up) >= len(r.ends) {
			r.ends = append(r.ends, nil)
		}
		r.ends[fd], r.ends[up] = a, b
		if r.poll.Add(fd, rawnet.In) != nil || r.poll.Add(up, rawnet.In) != nil {
			r.drop(a)
		}
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
	if r.poll.Change(e.fd, e.interest()) != nil || r.poll.Change(e.other.fd, e.other.interest()) != nil {
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
	fmt.Println(strconv.Quote(r.Addr()))
	r.Serve()
	return nil
}
