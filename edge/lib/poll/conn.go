package poll

import (
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// Read implements net.Conn: it waits for bytes, the end, or the read deadline.
func (s *Socket) Read(p []byte) (int, error) {
	if !s.enter() {
		return 0, net.ErrClosed
	}
	defer s.leave()
	for {
		if err := s.may(&s.in); err != nil {
			return 0, err
		}
		if s.in.state.Load() != idle {
			if n, dry, err := s.read(p); !dry {
				return n, err
			}
		}
		s.park(&s.in)
	}
}

// Write implements net.Conn: it waits until all of b is taken, or for the write deadline.
func (s *Socket) Write(b []byte) (n int, err error) {
	if !s.enter() {
		return 0, net.ErrClosed
	}
	defer s.leave()
	for {
		if err := s.may(&s.out); err != nil {
			return n, err
		}
		s.out.state.Store(idle)
		m, full, err := s.write(b[n:])
		n += m
		switch {
		case full:
			s.ask()
			s.park(&s.out)
		case err != nil:
			return n, err
		case n == len(b):
			return n, nil
		}
	}
}

// may returns the error with which a call must end, nil when it may go on.
func (s *Socket) may(d *side) error {
	if s.ref.Load()&closed != 0 {
		return net.ErrClosed
	}
	if at := d.deadline.Load(); at != 0 && clock.Now() >= at {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// ask makes epoll report when the socket can be written to. Most sockets never need it.
func (s *Socket) ask() {
	if s.asked.Load() {
		return
	}
	if s.loop.queue.change(s.fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP, s.serial) != nil {
		s.out.state.Store(ready) // short of kernel memory: the caller tries again at once
		return
	}
	s.asked.Store(true)
}

// park makes a goroutine wait until something may have come, the deadline has passed, or another has changed
// what it waits for.
func (s *Socket) park(d *side) {
	if d.token == nil {
		d.token = make(chan struct{}, 1)
	}
	at := d.deadline.Load()
	var late <-chan time.Time
	if at != 0 {
		late = d.alarm(time.Duration(at - clock.Now()))
		defer d.timer.Stop()
	}
	if !d.state.CompareAndSwap(idle, parked) {
		return
	}
	if d.deadline.Load() != at || s.ref.Load()&closed != 0 {
		d.poke() // whoever changed it may have come before the line above
	}
	select {
	case <-d.token:
	case <-late:
		if !d.state.CompareAndSwap(parked, idle) {
			<-d.token // it was woken just now
		}
	}
}

func (d *side) alarm(wait time.Duration) <-chan time.Time {
	if d.timer == nil {
		d.timer = time.NewTimer(wait)
	} else {
		d.timer.Reset(wait)
	}
	return d.timer.C
}

// poke wakes the goroutine that is parked, for it to look again.
func (d *side) poke() {
	if d.state.CompareAndSwap(parked, idle) {
		d.token <- struct{}{}
	}
}

// wake wakes a waiting goroutine, since something may be there, and reports whether there was one.
func (d *side) wake() bool {
	if d.state.Swap(ready) != parked {
		return false
	}
	d.token <- struct{}{}
	return true
}

// SetDeadline implements net.Conn.
func (s *Socket) SetDeadline(t time.Time) error {
	return max2(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

func max2(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// SetReadDeadline implements net.Conn. It is for Read, not for the loop.
func (s *Socket) SetReadDeadline(t time.Time) error { return s.setDeadline(&s.in, t) }

// SetWriteDeadline implements net.Conn.
func (s *Socket) SetWriteDeadline(t time.Time) error { return s.setDeadline(&s.out, t) }

func (s *Socket) setDeadline(d *side, t time.Time) error {
	if s.ref.Load()&closed != 0 {
		return net.ErrClosed
	}
	at := int64(0)
	if !t.IsZero() {
		at = max(clock.Of(t), 1)
	}
	if d.deadline.Swap(at) != at {
		d.poke()
	}
	return nil
}

// CloseWrite sends the end of the stream; reading goes on.
func (s *Socket) CloseWrite() error {
	if !s.enter() {
		return net.ErrClosed
	}
	defer s.leave()
	return os.NewSyscallError("shutdown", shutdown(s.fd, unix.SHUT_WR))
}

// SetReset makes Close send RST instead of an orderly end.
func (s *Socket) SetReset() {
	if s.enter() {
		lingerReset(s.fd)
		s.leave()
	}
}

// RemoteAddr implements net.Conn.
func (s *Socket) RemoteAddr() net.Addr {
	if !s.remote.IsValid() {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(s.remote)
}

// LocalAddr implements net.Conn.
func (s *Socket) LocalAddr() net.Addr {
	at, _ := s.Local() // what is lost has no address
	if at.IsValid() {
		return net.TCPAddrFromAddrPort(at)
	}
	return &net.UnixAddr{Net: "unix"}
}

// SyscallConn implements syscall.Conn.
func (s *Socket) SyscallConn() (syscall.RawConn, error) { return (*raw)(s), nil }

// raw is a Socket as syscall.RawConn: its calls wait as Read and Write do.
type raw Socket

// Control implements syscall.RawConn.
func (r *raw) Control(f func(fd uintptr)) error {
	s := (*Socket)(r)
	if !s.enter() {
		return net.ErrClosed
	}
	f(uintptr(s.fd))
	s.leave()
	return nil
}

// Read implements syscall.RawConn: f returns false to wait until there is something to read.
func (r *raw) Read(f func(fd uintptr) bool) error {
	s := (*Socket)(r)
	if !s.enter() {
		return net.ErrClosed
	}
	defer s.leave()
	for {
		if err := s.may(&s.in); err != nil {
			return err
		}
		if s.in.state.Load() != idle {
			s.in.state.Store(idle)
			if f(uintptr(s.fd)) {
				s.in.state.Store(ready) // f may have left something
				return nil
			}
		}
		s.park(&s.in)
	}
}

// Write implements syscall.RawConn: f returns false to wait until there is room.
func (r *raw) Write(f func(fd uintptr) bool) error {
	s := (*Socket)(r)
	if !s.enter() {
		return net.ErrClosed
	}
	defer s.leave()
	for {
		if err := s.may(&s.out); err != nil {
			return err
		}
		s.out.state.Store(idle)
		if f(uintptr(s.fd)) {
			return nil
		}
		s.ask()
		s.park(&s.out)
	}
}

// Queued returns how many bytes the other side has not acknowledged; 0 when the socket does not tell.
func (s *Socket) Queued() (n int64) {
	if s.enter() {
		n = unacked(s.fd)
		s.leave()
	}
	return n
}
