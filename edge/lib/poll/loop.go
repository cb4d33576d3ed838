// Package poll waits for sockets in epoll sets of its own, beside the one of the Go runtime. A socket that
// nobody serves at the moment costs no goroutine, stack or buffer: when bytes come, its handler is called
// in the loop. Whoever must wait takes the socket to a goroutine, where it is an ordinary net.Conn with
// deadlines.
//
// Why not the runtime's own poller: it has to be asked by a goroutine that tries to read first, and wakes
// that goroutine through the scheduler; edge/adr/0006-loops.md has what both cost.
package poll

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// Handler is what the loop calls. Ready and Expired are calls of the socket's one owner: none is made before
// Await is called again. They must not wait for anything.
type Handler interface {
	// Ready is called when bytes, or the end, can be read.
	Ready()
	// Expired is called when the moment of SetDue has passed and nothing has come.
	Expired()
	// Hangup is called when the other side has closed its half, or is lost, while the socket was not on
	// Await: its owner may be at work at the same time. It is called again when the kernel reports it again.
	Hangup()
}

// Loops are the epoll sets of a process, one goroutine each.
type Loops struct {
	all    []*Loop
	next   atomic.Uint32
	serial atomic.Uint32
	table  table
	ended  sync.WaitGroup
}

// Loop is one epoll set with the goroutine that serves it.
type Loop struct {
	set     *Loops
	index   int
	queue   queue
	stopped atomic.Bool
	rounds  atomic.Uint64 // that are over
	asleep  atomic.Bool   // in the kernel, or about to be
	woke    bool          // a goroutine was made runnable in this round; the loop's own
	now     int64         // clock nanoseconds when the round began; the loop's own
	yielded int64         // when it let other goroutines run; the loop's own
	events  [batch]unix.EpollEvent
	wheel   wheel
}

// turnTime is how long the loop's goroutine runs before it lets others run: half of what the runtime allows.
const turnTime = int64(5 * time.Millisecond)

// batch is how many events one call of epoll_wait brings.
const batch = 128

// Start opens n epoll sets and starts their goroutines; Close ends them.
func Start(n int) (*Loops, error) {
	p := &Loops{}
	for i := range max(n, 1) {
		l, err := newLoop(p, i)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.all = append(p.all, l)
		p.ended.Add(1)
		go l.run()
	}
	return p, nil
}

func newLoop(p *Loops, index int) (*Loop, error) {
	l := &Loop{set: p, index: index, now: clock.Now()}
	if err := l.queue.open(); err != nil {
		return nil, fmt.Errorf("cannot make an epoll set: %w", err)
	}
	l.wheel.init(l.now)
	return l, nil
}

// Close ends the loops. Sockets must have been closed before.
func (p *Loops) Close() {
	for _, l := range p.all {
		l.stopped.Store(true)
		l.wake()
	}
	p.ended.Wait()
}

// Turn reports whether each loop goes round before the time is over: none is stuck in a handler.
func (p *Loops) Turn(within time.Duration) error {
	from := make([]uint64, len(p.all))
	for i, l := range p.all {
		from[i] = l.rounds.Load()
		l.wake()
	}
	until := time.Now().Add(within)
	for i, l := range p.all {
		for l.rounds.Load() == from[i] {
			if time.Now().After(until) {
				return fmt.Errorf("loop %d of %d does not turn", i+1, len(p.all))
			}
			time.Sleep(turnPoll)
		}
	}
	return nil
}

// turnPoll is how often it is looked whether a loop has turned.
const turnPoll = time.Millisecond

// Index is the loop's place among those of the process, from 0.
func (l *Loop) Index() int { return l.index }

// Round returns when the present round began, in clock nanoseconds: what came before has been heard of, or is
// next. Only handlers called by the loop may ask.
func (l *Loop) Round() int64 { return l.now }

// Pick returns the loops in turn.
func (p *Loops) Pick() *Loop { return p.all[int(p.next.Add(1))%len(p.all)] }

func (l *Loop) run() {
	defer l.set.ended.Done()
	defer l.queue.close()
	for !l.stopped.Load() {
		n := l.wait()
		l.now = clock.Now()
		for i := range n {
			l.dispatch(&l.events[i])
		}
		l.turn()
		l.rounds.Store(l.rounds.Load() + 1) // no other goroutine writes it
		if l.woke || l.now-l.yielded > turnTime {
			// What was woken runs now: a wait in the kernel would keep this processor from it. And now and then
			// even without: a goroutine that has run for 10 ms is interrupted by the runtime's monitor, which
			// then looks again every 20 us, on the processor that has work to do.
			l.woke, l.yielded = false, l.now
			runtime.Gosched()
		}
	}
}

// wait returns how many events have come.
func (l *Loop) wait() int {
	l.asleep.Store(true) // from here on whoever shortens the rest wakes the loop
	n := l.queue.wait(&l.events, l.wheel.rest(l.now), l.now)
	l.asleep.Store(false)
	return n
}

// dispatch calls the handler of a socket for what has come.
func (l *Loop) dispatch(ev *unix.EpollEvent) {
	s := l.set.table.get(ev.Fd)
	if s == nil || s.serial != ev.Pad { // closed meanwhile; or the eventfd, whose event has done its work
		return
	}
	const lost = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if ev.Events&lost != 0 {
		s.hup.Store(true)
	}
	if ev.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		l.woke = s.out.wake() || l.woke
	}
	if ev.Events&(unix.EPOLLIN|lost) == 0 {
		return
	}
	switch s.in.state.Swap(ready) {
	case parked:
		s.in.token <- struct{}{}
		l.woke = true
	case awaited:
		s.handler.Ready()
	default:
		if ev.Events&lost != 0 && s.handler != nil {
			s.handler.Hangup()
		}
	}
}

// turn looks after the sockets whose time has come.
func (l *Loop) turn() {
	for {
		s := l.wheel.expired(l.now)
		if s == nil {
			return
		}
		if !s.in.state.CompareAndSwap(awaited, idle) {
			l.wheel.put(s, l.now+tick) // its owner is about to await it, or to cancel what is due
			continue
		}
		if due := s.due.Load(); due > 0 && due <= l.now {
			s.handler.Expired()
			continue
		}
		s.SetDue(s.due.Load()) // it was moved at the last moment
		if !s.Await() {
			s.handler.Ready()
		}
	}
}

// wake makes the loop's goroutine look at its wheel.
func (l *Loop) wake() { l.queue.wake() }

// Adopt takes over a connected, non-blocking descriptor: it belongs to the socket from now on, or is closed
// when there is an error. Bytes that are there already are reported like others. The handler may be nil when
// Await is never called.
func (l *Loop) Adopt(fd int, remote Addr, h Handler) (*Socket, error) {
	s := &Socket{}
	err := l.hold(s, fd, remote, h)
	if err == nil {
		err = s.Begin(false)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// hold makes the descriptor the socket s; Begin must follow. With an error, s is closed.
func (l *Loop) hold(s *Socket, fd int, remote Addr, h Handler) error {
	s.fd, s.remote, s.handler = fd, remote, h
	s.loop, s.serial = l, int32(l.set.serial.Add(1))
	if !l.set.table.put(s) {
		_ = s.Close()
		return errTable
	}
	return nil
}

// Begin makes the loop wait for the socket; with await it is on Await from the start, and the handler may be
// called before Begin returns. With an error, the socket is closed and the handler is not called.
func (s *Socket) Begin(await bool) error {
	if !s.enter() {
		return net.ErrClosed
	}
	defer s.leave() // until then the descriptor is this socket's, whatever the handler does
	if await {
		s.in.state.Store(awaited)
	}
	if err := s.loop.queue.add(s.fd, unix.EPOLLIN|unix.EPOLLRDHUP, s.serial); err != nil {
		if await && !s.in.state.CompareAndSwap(awaited, idle) {
			return nil // it was due, and its handler has it
		}
		_ = s.Close()
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

var errTable = errors.New("descriptor number beyond what the table of sockets holds")

// table finds a socket by its descriptor. Rows are made when the first descriptor in them is used.
type table struct {
	rows [4096]atomic.Pointer[row]
	mu   sync.Mutex // held to make a row
}

type row [1024]atomic.Pointer[Socket]

func (t *table) get(fd int32) *Socket {
	r := t.rows[uint32(fd)/uint32(len(row{}))%uint32(len(t.rows))].Load()
	if r == nil {
		return nil
	}
	return r[uint32(fd)%uint32(len(row{}))].Load()
}

func (t *table) put(s *Socket) bool {
	at := s.fd / len(row{})
	if at >= len(t.rows) {
		return false
	}
	if t.rows[at].Load() == nil {
		t.mu.Lock()
		if t.rows[at].Load() == nil {
			t.rows[at].Store(new(row))
		}
		t.mu.Unlock()
	}
	t.rows[at].Load()[s.fd%len(row{})].Store(s)
	return true
}

// drop forgets s; one that put refused is not there.
func (t *table) drop(s *Socket) {
	if at := s.fd / len(row{}); at < len(t.rows) {
		t.rows[at].Load()[s.fd%len(row{})].Store(nil)
	}
}
