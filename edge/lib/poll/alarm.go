//go:build !sim

package poll

import (
	"golang.org/x/sys/unix"
)

// alarm wakes a loop that sleeps when something is due in some milliseconds. A short time-out of epoll_wait
// would do the same, but sets a timer of the processor for each sleep, which costs a microsecond and more
// on a virtual machine: with sockets that are due every two milliseconds, as hedged requests are, 8 % of a
// busy gateway's CPU. This timer is set once for many sleeps. Only the loop uses it.
type alarm struct {
	fd int
	at int64 // when it goes off, clock nanoseconds; 0: it is not set
}

// longSleep is a time-out of epoll_wait, in milliseconds, from which on it needs no alarm: few sleeps are
// that long, and other timers of the machine go off before.
const longSleep = 34

func (a *alarm) open(epfd int) (err error) {
	if a.fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	return unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, a.fd,
		&unix.EpollEvent{Events: unix.EPOLLIN | edgeTriggered, Fd: int32(a.fd)})
}

// instead returns how long the loop may sleep when it may for rest milliseconds, as epoll_wait takes both.
// now is when the round began.
func (a *alarm) instead(rest int, now int64) int {
	if a.at <= now {
		a.at = 0 // it has gone off
	}
	if rest <= 0 || rest >= longSleep {
		return rest
	}
	at := now + int64(rest)*1_000_000
	if a.at == 0 || a.at > at {
		in := unix.ItimerSpec{Value: unix.NsecToTimespec(at - now)}
		if unix.TimerfdSettime(a.fd, 0, &in, nil) != nil {
			return rest
		}
		a.at = at
	}
	return longSleep
}
