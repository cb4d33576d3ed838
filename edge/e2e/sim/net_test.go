//go:build sim

package sim

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge/lib/poll"
)

// network is the kernel and the wires of a world. Bytes that are sent stay on their wire until the scheduler
// delivers some of them: nothing else moves. Its methods may be called by any goroutine of the bubble.
type network struct {
	mu        sync.Mutex // guards all that follows, wires and queues too
	w         *world
	faults    *draws                        // of connections that are refused or broken; nil: none is
	names     map[string][]netip.AddrPort   // what a host has for addresses
	fds       []*end                        // by descriptor; nil: free
	listeners map[netip.AddrPort]*end       // those that listen
	remotes   map[netip.AddrPort]func(*end) // who is called at the other end of a connection that the gateway opens
	wires     []*wire                       // that have something to deliver, in the order in which they got it
	dials     []*dial                       // that wait to be decided
	queues    int
	port      uint16 // of the last connection
	maxFds    int    // descriptors that there are; 0: no bound
	window    int    // bytes that a wire takes
}

// firstFd: below are those of a process.
const firstFd = 3

// end is one end of a connection, or a listening socket.
type end struct {
	net           *network
	fd            int // the gateway's; -1: an actor's
	local, remote netip.AddrPort
	name          string // for the trace

	in, out       *wire // in: what comes; out: what is sent
	resets        bool  // close sends a reset
	closed        bool
	pending       []*end // of a listening socket: accepted by the system, and not yet by the gateway
	listens       bool
	queue         *queue // that reports what comes; nil: none
	serial        int32
	events        uint32
	pendingEvents uint32        // that its queue has not given out
	waiter        chan struct{} // of a blocking read or write; nil: none
	actor         func()        // called by the scheduler when something has come, for an actor
}

// wire is one direction of a connection.
type wire struct {
	sender   *end
	to       *end
	flying   []byte // sent, and not yet delivered
	there    []byte // delivered, and not yet read
	fin      bool   // the sender has ended its half
	finThere bool   // and that has been delivered
	rst      bool   // the sender has reset
	rstThere bool
	rstAt    time.Time // when that was delivered
	since    time.Time // when the first byte was sent of what is on the wire
	queued   bool      // is in network.wires
	full     bool      // somebody was told that there is no room
	passed   int       // how many bytes were delivered
	marks    []mark
	packets  []int // lengths of what was sent, each of which is read alone; nil: a stream
}

// mark is what is done when so many bytes have been delivered.
type mark struct {
	at int
	do func()
}

// mark has do called when the gateway has got n bytes more than it was sent so far by e.
func (n *network) mark(e *end, more int, do func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e.out.marks = append(e.out.marks, mark{e.out.passed + len(e.out.flying) + more, do})
}

func newNetwork(w *world) *network {
	return &network{w: w, listeners: make(map[netip.AddrPort]*end), names: make(map[string][]netip.AddrPort),
		remotes: make(map[netip.AddrPort]func(*end)), port: 20000, window: 64 << 10}
}

// misbehave draws how narrow the network is, and whether it fails.
func (n *network) misbehave(chaos bool, d *draws) {
	if d.one(4) {
		n.window = 2 << 10
	}
	if !chaos {
		return
	}
	n.faults = n.w.drawsOf("network")
	if d.one(4) {
		n.maxFds = 8 + d.n(16)
	}
}

// pair makes a connection; a and b are told apart by descriptors: -1 for an actor's end.
func (n *network) pair(from, to netip.AddrPort) (a, b *end) {
	ab, ba := &wire{}, &wire{}
	a = &end{net: n, fd: -1, local: from, remote: to, in: ba, out: ab}
	b = &end{net: n, fd: -1, local: to, remote: from, in: ab, out: ba}
	ab.sender, ab.to, ba.sender, ba.to = a, b, b, a
	return a, b
}

// give gives the end a descriptor: the lowest that is free, as the kernel does. false: there is none.
func (n *network) give(e *end) bool {
	fd := slices.Index(n.fds, nil)
	if fd < 0 {
		fd = len(n.fds)
		if n.maxFds > 0 && fd >= n.maxFds {
			return false
		}
		n.fds = append(n.fds, nil)
	}
	n.fds[fd] = e
	e.fd = fd + firstFd
	return true
}

func (n *network) get(fd int) *end {
	if fd < firstFd || fd-firstFd >= len(n.fds) {
		return nil
	}
	return n.fds[fd-firstFd]
}

// open returns how many descriptors are in use.
func (n *network) open() (used int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.fds {
		if e != nil {
			used++
		}
	}
	return used
}

// recv reads what has been delivered.
func (e *end) recv(p []byte) (int, syscall.Errno) {
	w := e.in
	switch {
	case w.rstThere:
		return 0, syscall.ECONNRESET
	case len(w.there) > 0:
		c := copy(p, w.there)
		if w.packets != nil { // what does not fit is lost
			c = copy(p, w.there[:w.packets[0]])
			w.there, w.packets = w.there[w.packets[0]-c:], w.packets[1:]
		}
		w.there = w.there[c:]
		if w.full && len(w.flying)+len(w.there) <= e.net.window/2 {
			w.full = false
			if other := e.out.to; other != nil {
				other.report(unix.EPOLLOUT)
			}
		}
		return c, 0
	case w.finThere:
		return 0, 0
	case e.closed:
		return 0, syscall.EBADF
	}
	return 0, syscall.EAGAIN
}

// send puts what there is room for on the wire.
func (e *end) send(b []byte) (int, syscall.Errno) {
	w := e.out
	switch {
	case e.in.rstThere:
		return 0, syscall.ECONNRESET
	case w.fin || w.rst:
		return 0, syscall.EPIPE
	case w.to.closed: // its close has been, or will be, answered by a reset
		if !e.in.rst {
			e.in.rst = true
			e.net.enqueue(e.in)
		}
		return len(b), 0
	}
	room := e.net.window - len(w.flying) - len(w.there)
	if room <= 0 {
		w.full = true
		return 0, syscall.EAGAIN
	}
	c := min(room, len(b))
	if c < len(b) {
		w.full = true
	}
	if len(w.flying)+len(w.there) == 0 {
		w.since = time.Now()
	}
	w.flying = append(w.flying, b[:c]...)
	if w.packets != nil {
		w.packets = append(w.packets, c)
	}
	e.net.enqueue(w)
	return c, 0
}

// shut ends the sending half.
func (e *end) shut() {
	if e.out != nil && !e.out.fin {
		e.out.fin = true
		e.net.enqueue(e.out)
	}
}

// close ends the connection: with a reset when asked for, or when bytes are left unread (RFC 1122 4.2.2.13).
func (e *end) close() {
	if e.closed {
		return
	}
	e.closed = true
	if e.listens {
		delete(e.net.listeners, e.local)
		for _, p := range e.pending {
			p.resets = true
			p.close()
		}
	} else if e.resets || len(e.in.there) > 0 {
		e.out.rst, e.out.flying = true, nil
		e.net.enqueue(e.out)
	} else {
		e.shut()
	}
	if e.fd >= 0 {
		e.net.fds[e.fd-firstFd] = nil
	}
	if e.queue != nil {
		e.queue.drop(e)
	}
	e.wakeWaiter()
}

func (n *network) enqueue(w *wire) {
	if !w.queued {
		w.queued = true
		n.wires = append(n.wires, w)
	}
}

// deliver moves something along a wire, as the scheduler has drawn it: up to most bytes, or the end behind them.
func (n *network) deliver(i, most int) {
	w := n.wires[i]
	switch {
	case w.rst:
		w.rstThere, w.finThere, w.rstAt = true, true, time.Now()
		w.flying, w.there = nil, nil
	case len(w.flying) > 0:
		c := min(most, len(w.flying))
		if w.packets != nil {
			c = w.packets[0]
			if len(w.there) > 0 || n.fails(8) { // one at a time; the network may lose it
				w.flying, w.packets, c = w.flying[c:], w.packets[1:], 0
			}
		}
		w.there = append(w.there, w.flying[:c]...)
		w.flying = w.flying[c:]
		w.passed += c
		for len(w.marks) > 0 && w.marks[0].at <= w.passed {
			w.marks[0].do()
			w.marks = w.marks[1:]
		}
	case w.fin:
		w.finThere = true
	}
	if len(w.flying) == 0 && (!w.fin || w.finThere) && (!w.rst || w.rstThere) {
		w.queued = false
		n.wires = slices.Delete(n.wires, i, i+1)
	}
	to := w.to
	if to.closed {
		if !w.rst && !w.finThere && !to.out.rst { // bytes for an end that is not there any more
			to.out.rst = true
			n.enqueue(to.out)
		}
		return
	}
	events := uint32(unix.EPOLLIN)
	switch {
	case w.rstThere:
		events |= unix.EPOLLERR | unix.EPOLLHUP | unix.EPOLLRDHUP | unix.EPOLLOUT
	case w.finThere:
		events |= unix.EPOLLRDHUP
		if to.out.fin {
			events |= unix.EPOLLHUP
		}
	}
	to.report(events)
}

// report tells whoever waits at the end.
func (e *end) report(events uint32) {
	if e.closed {
		return
	}
	if e.queue != nil {
		e.queue.put(e, events)
	}
	e.wakeWaiter()
	if e.actor != nil {
		e.actor()
	}
}

func (e *end) wakeWaiter() {
	if e.waiter != nil {
		close(e.waiter)
		e.waiter = nil
	}
}

// The kernel of package poll.

// Recv implements poll.Kernel.
func (n *network) Recv(fd int, p []byte) (int, syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.get(fd).recv(p)
}

// Send implements poll.Kernel.
func (n *network) Send(fd int, b []byte) (int, syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.get(fd).send(b)
}

// Quiet implements poll.Kernel.
func (n *network) Quiet(fd int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.get(fd).in
	return !w.rstThere && len(w.there) == 0 && !w.finThere
}

// Shutdown implements poll.Kernel.
func (n *network) Shutdown(fd, how int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.get(fd)
	if e.listens {
		return nil
	}
	e.shut()
	if how == unix.SHUT_RDWR {
		e.in.there, e.in.finThere = nil, true
		e.report(unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLHUP)
	}
	return nil
}

// Close implements poll.Kernel.
func (n *network) Close(fd int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.get(fd).close()
}

// Reset implements poll.Kernel.
func (n *network) Reset(fd int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.get(fd).resets = true
}

// Sockname implements poll.Kernel.
func (n *network) Sockname(fd int) (poll.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.get(fd).local, nil
}

// Unacked implements poll.Kernel.
func (n *network) Unacked(fd int) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.get(fd).out
	return int64(len(w.flying))
}

// Accept implements poll.Kernel.
func (n *network) Accept(fd int) (int, poll.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.get(fd)
	if len(l.pending) == 0 {
		return -1, poll.Addr{}, unix.EAGAIN
	}
	e := l.pending[0]
	if !n.give(e) {
		return -1, poll.Addr{}, unix.EMFILE
	}
	l.pending = l.pending[1:]
	return e.fd, e.remote, nil
}

// Descriptor implements poll.Kernel: the descriptor of a connection that the gateway has opened, or of a listener,
// moves over.
func (n *network) Descriptor(c any) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch c := c.(type) {
	case *conn:
		c.moved = true
		return c.e.fd, nil
	case *listener:
		c.moved = true
		return c.e.fd, nil
	}
	return -1, errors.New("no connection of the simulation")
}

// NewQueue implements poll.Kernel.
func (n *network) NewQueue() poll.Queue {
	n.queues++
	return &queue{net: n, wake: make(chan struct{}, 1), late: time.Duration(n.queues)}
}

// queue is an epoll set, edge-triggered.
type queue struct {
	net   *network
	ready []*end // with events that have not been taken
	wake  chan struct{}
	late  time.Duration // so that no two wake up at the same moment
}

func (q *queue) put(e *end, events uint32) {
	events &= e.events | unix.EPOLLHUP | unix.EPOLLERR
	if events == 0 {
		return
	}
	for i := range q.ready {
		if q.ready[i] == e {
			e.pendingEvents |= events
			return
		}
	}
	e.pendingEvents = events
	q.ready = append(q.ready, e)
	q.Wake()
}

func (q *queue) drop(e *end) {
	q.ready = slices.DeleteFunc(q.ready, func(other *end) bool { return other == e })
}

// Add implements poll.Queue.
func (q *queue) Add(fd int, events uint32, serial int32) error {
	q.net.mu.Lock()
	defer q.net.mu.Unlock()
	e := q.net.get(fd)
	e.queue, e.serial, e.events = q, serial, events
	if now := e.level(); now != 0 {
		q.put(e, now)
	}
	return nil
}

// Change implements poll.Queue.
func (q *queue) Change(fd int, events uint32, serial int32) error { return q.Add(fd, events, serial) }

// level returns what would be reported of the end now.
func (e *end) level() (events uint32) {
	if e.listens {
		if len(e.pending) > 0 {
			return unix.EPOLLIN
		}
		return 0
	}
	if len(e.in.there) > 0 || e.in.finThere || e.in.rstThere {
		events |= unix.EPOLLIN
	}
	if e.in.finThere {
		events |= unix.EPOLLRDHUP
	}
	if e.in.rstThere {
		events |= unix.EPOLLERR | unix.EPOLLHUP | unix.EPOLLRDHUP
	}
	if len(e.out.flying)+len(e.out.there) < e.net.window {
		events |= unix.EPOLLOUT
	}
	return events
}

// Wait implements poll.Queue.
func (q *queue) Wait(events []unix.EpollEvent, rest int) int {
	q.net.mu.Lock()
	none := len(q.ready) == 0
	q.net.mu.Unlock()
	if none && rest != 0 {
		if rest < 0 {
			<-q.wake
		} else {
			t := time.NewTimer(time.Duration(rest)*time.Millisecond + q.late)
			select {
			case <-q.wake:
			case <-t.C:
			}
			t.Stop()
		}
	}
	q.net.mu.Lock()
	defer q.net.mu.Unlock()
	n := min(len(q.ready), len(events))
	for i, e := range q.ready[:n] {
		events[i] = unix.EpollEvent{Events: e.pendingEvents, Fd: int32(e.fd), Pad: e.serial}
		e.pendingEvents = 0
	}
	q.ready = q.ready[n:]
	return n
}

// Wake implements poll.Queue.
func (q *queue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Close implements poll.Queue.
func (q *queue) Close() {}
