package rawnet

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a Poller waits for and reports, as epoll_ctl(2) has it.
const (
	In  = unix.EPOLLIN
	Out = unix.EPOLLOUT
)

// Poller is a level-triggered epoll set. One goroutine waits on it; Wake may be called by any.
type Poller struct {
	fd, wake int
	events   []unix.EpollEvent
	owned    bool
}

// NewPoller opens a set. owned promises that the process has one goroutine, which may then wait without the
// scheduler's knowledge: cheaper, but nothing else of the process runs meanwhile.
func NewPoller(owned bool) (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot open an epoll set: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot open an eventfd: %w", err)
	}
	p := &Poller{fd: fd, wake: wake, events: make([]unix.EpollEvent, 512), owned: owned}
	if err := p.Add(wake, In); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Add starts to watch a descriptor.
func (p *Poller) Add(fd int, events uint32) error { return p.control(unix.EPOLL_CTL_ADD, fd, events) }

// Change watches a descriptor for other events.
func (p *Poller) Change(fd int, events uint32) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, events)
}

func (p *Poller) control(op, fd int, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(fd)}
	if err := unix.EpollCtl(p.fd, op, fd, &e); err != nil {
		return fmt.Errorf("cannot watch a socket: %w", err)
	}
	return nil
}

// Wait returns the events that have come, at most 512, after at most the given time; negative: however long
// it takes. It returns none when the time is over, when a signal came, and after Wake. The slice is good
// until the next call.
func (p *Poller) Wait(limit time.Duration) []unix.EpollEvent {
	var timeout *unix.Timespec
	if limit >= 0 {
		t := unix.NsecToTimespec(int64(limit))
		timeout = &t
	}
	wait := unix.Syscall6
	if p.owned {
		wait = unix.RawSyscall6
	}
	n, _, errno := wait(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(unsafe.Pointer(timeout)), 0, 0)
	if errno != 0 {
		return nil
	}
	return p.without(p.events[:n])
}

// without takes the event of wake out of the list.
func (p *Poller) without(events []unix.EpollEvent) []unix.EpollEvent {
	for i := range events {
		if int(events[i].Fd) != p.wake {
			continue
		}
		var counter [8]byte
		Read(p.wake, counter[:])
		events[i] = events[len(events)-1]
		return events[:len(events)-1]
	}
	return events
}

// Wake makes Wait return.
func (p *Poller) Wake() {
	one := [8]byte{1}
	_, _ = unix.Write(p.wake, one[:]) // the counter is full: Wait returns all the same
}

// Close closes the set, not what it watches.
func (p *Poller) Close() {
	unix.Close(p.wake)
	unix.Close(p.fd)
}
