package poll

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Addr is the address of a socket's other end; the zero value stands for a Unix socket.
type Addr = netip.AddrPort

// Socket is a connected stream socket. It has one owner: the loop's handler while it is on Await, else
// whoever runs on from there. Reading and writing may be done by two goroutines at a time, one each; Close
// and the deadlines may be called by anybody.
type Socket struct {
	fd      int
	serial  int32 // tells the sockets apart that have had this descriptor
	loop    *Loop
	handler Handler
	remote  Addr
	ref     atomic.Uint32 // calls under way, and closed
	hup     atomic.Bool   // the other side has closed its half, or is lost
	listens bool          // accepts connections
	asked   atomic.Bool   // epoll reports when the socket can be written to
	in, out side

	due        atomic.Int64 // when Expired is called, clock nanoseconds; 0: never
	tick       atomic.Int64 // where the wheel holds it; 0: nowhere
	prev, next *Socket      // in the wheel's slot; guarded by its lock
}

// closed is the bit of Socket.ref that keeps new calls out.
const closed = 1 << 31

// side is one direction of a socket.
type side struct {
	state    atomic.Uint32
	deadline atomic.Int64  // clock nanoseconds; 0: none
	token    chan struct{} // wakes the goroutine that is parked; made by the first
	timer    *time.Timer   // of that goroutine; made by the first that has a deadline
}

// What a direction is about. Whoever moves it away from awaited owns the socket.
const (
	idle    uint32 = iota // nothing has come since the last look
	ready                 // something may have
	parked                // a goroutine waits
	awaited               // the loop calls the handler; reading only
)

// Loop returns the loop that waits for the socket.
func (s *Socket) Loop() *Loop { return s.loop }

// Await gives the socket to the loop: its handler is called when bytes or the end come, or at the moment of
// SetDue. It returns false when there may be something to read now; the caller then goes on as its owner.
func (s *Socket) Await() bool { return s.in.state.CompareAndSwap(idle, awaited) }

// SetDue sets the moment for Expired, in clock nanoseconds; 0: never. It may be up to 34 ms late.
func (s *Socket) SetDue(at int64) {
	s.due.Store(at)
	if at == 0 {
		return
	}
	if t := s.tick.Load(); t != 0 && t <= (at+tick-1)/tick {
		return // it is looked at before, and then put where it belongs
	}
	if s.loop.wheel.put(s, at) && s.loop.asleep.Load() {
		s.loop.wake()
	}
}

// Fresh reports whether nothing has come since the last read: no bytes, and no end.
func (s *Socket) Fresh() bool { return s.in.state.Load() == idle && !s.hup.Load() }

// HungUp reports whether the other side has closed its half, or is lost.
func (s *Socket) HungUp() bool { return s.hup.Load() }

// TryRead reads what is there. It returns 0 and no error when there is nothing.
func (s *Socket) TryRead(p []byte) (int, error) {
	if !s.enter() {
		return 0, net.ErrClosed
	}
	n, _, err := s.read(p)
	s.leave()
	return n, err
}

// read makes one read. A read that does not fill p has taken all there was (epoll(7)), so none is made to
// learn that, unless the end has been reported: nothing would report it again. dry is true when there was
// nothing.
func (s *Socket) read(p []byte) (n int, dry bool, err error) {
	s.in.state.Store(idle)
	for {
		r, errno := recv(s.fd, p)
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			return 0, true, nil
		case errno != 0:
			s.in.state.Store(ready)
			return 0, false, os.NewSyscallError("recv", errno)
		case r == 0 && len(p) > 0:
			s.in.state.Store(ready)
			return 0, false, io.EOF
		}
		if r == len(p) || s.hup.Load() {
			s.in.state.Store(ready)
		}
		return r, false, nil
	}
}

// TryWrite writes as much of b as there is room for.
func (s *Socket) TryWrite(b []byte) (int, error) {
	if !s.enter() {
		return 0, net.ErrClosed
	}
	n, _, err := s.write(b)
	s.leave()
	return n, err
}

// write makes one write; full is true when there was no room.
func (s *Socket) write(b []byte) (n int, full bool, err error) {
	for {
		w, errno := send(s.fd, b)
		switch errno {
		case 0:
			return w, false, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, true, nil
		default:
			return 0, false, os.NewSyscallError("send", errno)
		}
	}
}

// TryWriteBoth writes as much of a and, behind it, b as there is room for, in one call of the kernel.
func (s *Socket) TryWriteBoth(a, b []byte) (int, error) {
	switch {
	case len(b) == 0:
		return s.TryWrite(a)
	case len(a) == 0:
		return s.TryWrite(b)
	case !s.enter():
		return 0, net.ErrClosed
	}
	defer s.leave()
	for {
		w, errno := sendBoth(s.fd, a, b)
		switch errno {
		case 0:
			return w, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("sendmsg", errno)
		}
	}
}

// Peek reports whether there is nothing to read: no byte, and no end. It takes nothing, and does not wait.
func (s *Socket) Peek() (quiet bool) {
	if !s.enter() {
		return false
	}
	defer s.leave()
	return quietFd(s.fd)
}

// Shutdown ends both directions without giving the descriptor back: whoever reads learns of the end, the
// handler of a socket on Await too. Anybody may call it.
func (s *Socket) Shutdown() {
	if s.enter() {
		_ = shutdown(s.fd, unix.SHUT_RDWR) // not connected any more: that is what was wanted
		s.leave()
	}
}

// Remote returns the address of the socket's other end.
func (s *Socket) Remote() Addr { return s.remote }

// Local returns the address of the socket's own end; the zero value stands for a Unix socket.
func (s *Socket) Local() (Addr, error) {
	if !s.enter() {
		return Addr{}, net.ErrClosed
	}
	defer s.leave()
	return sockname(s.fd)
}

// Close implements net.Conn. Calls under way end with net.ErrClosed; the handler is not called any more.
func (s *Socket) Close() error {
	for {
		v := s.ref.Load()
		if v&closed != 0 {
			return net.ErrClosed
		}
		if s.ref.CompareAndSwap(v, (v+1)|closed) {
			break
		}
	}
	if s.ref.Load() != closed|1 {
		if !s.listens { // other processes may listen on the same socket
			_ = shutdown(s.fd, unix.SHUT_RDWR) // as above
		}
		s.in.poke()
		s.out.poke()
	}
	s.leave()
	return nil
}

// enter begins a call that uses the descriptor; false: it is closed.
func (s *Socket) enter() bool {
	for {
		v := s.ref.Load()
		if v&closed != 0 {
			return false
		}
		if s.ref.CompareAndSwap(v, v+1) {
			return true
		}
	}
}

// leave ends it. The last one gives a closed descriptor back.
func (s *Socket) leave() {
	if s.ref.Add(^uint32(0)) != closed {
		return
	}
	s.loop.set.table.drop(s)
	s.loop.wheel.remove(s)
	closeFd(s.fd)
}
