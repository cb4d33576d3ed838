//go:build sim

package poll

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Kernel is what a simulation has in place of the system's. Descriptors are its own.
type Kernel interface {
	// Recv and Send do not wait: EAGAIN.
	Recv(fd int, p []byte) (int, syscall.Errno)
	Send(fd int, b []byte) (int, syscall.Errno)
	Quiet(fd int) bool // nothing has come
	Shutdown(fd, how int) error
	Close(fd int)
	Reset(fd int) // makes the close of fd a reset
	Sockname(fd int) (Addr, error)
	Unacked(fd int) int64
	// Accept does not wait: EAGAIN.
	Accept(fd int) (int, Addr, error)
	// Descriptor returns that of a connection or a listener of the simulation.
	Descriptor(c any) (int, error)
	NewQueue() Queue
}

// Queue is an epoll set of a simulation.
type Queue interface {
	Add(fd int, events uint32, serial int32) error
	Change(fd int, events uint32, serial int32) error
	// Wait returns how many events have come, after rest milliseconds at most; -1: no bound.
	Wait(events []unix.EpollEvent, rest int) int
	Wake()
	Close()
}

// Sim is the kernel of the simulation. It is set before anything else of the package is used.
var Sim Kernel

func recv(fd int, p []byte) (int, syscall.Errno) { return Sim.Recv(fd, p) }

func send(fd int, b []byte) (int, syscall.Errno) { return Sim.Send(fd, b) }

func sendBoth(fd int, a, b []byte) (int, syscall.Errno) {
	n, errno := Sim.Send(fd, a)
	if errno != 0 || n < len(a) {
		return n, errno
	}
	if m, errno := Sim.Send(fd, b); errno == 0 {
		n += m
	}
	return n, 0
}

func quietFd(fd int) bool { return Sim.Quiet(fd) }

func shutdown(fd, how int) error { return Sim.Shutdown(fd, how) }

func closeFd(fd int) { Sim.Close(fd) }

func sockname(fd int) (Addr, error) { return Sim.Sockname(fd) }

func accept(fd int) (int, Addr, error) { return Sim.Accept(fd) }

func lingerReset(fd int) { Sim.Reset(fd) }

func unacked(fd int) int64 { return Sim.Unacked(fd) }

func inherit(int) {}

func duplicate(c any) (int, error) { return Sim.Descriptor(c) }

type queue struct{ q Queue }

func (q *queue) open() error {
	q.q = Sim.NewQueue()
	return nil
}

func (q *queue) close() { q.q.Close() }

func (q *queue) add(fd int, events uint32, serial int32) error { return q.q.Add(fd, events, serial) }

func (q *queue) change(fd int, events uint32, serial int32) error {
	return q.q.Change(fd, events, serial)
}

func (q *queue) wait(events *[batch]unix.EpollEvent, rest int, _ int64) int {
	return q.q.Wait(events[:], rest)
}

func (q *queue) wake() { q.q.Wake() }
