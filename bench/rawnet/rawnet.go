// Package rawnet holds the few calls on non-blocking sockets and epoll that the programs of the benchmark
// share. They stay below the net package, so that what is measured beside them is not disturbed by a
// scheduler.
package rawnet

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read reads into p and returns what read(2) returned. It does not tell the scheduler, so the socket must not
// block. 0 and no error is the end of the stream.
func Read(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)))
	return int(n), errno
}

// Write writes p and returns what write(2) returned. It does not tell the scheduler, so the socket must not
// block.
func Write(fd int, p []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)))
	return int(n), errno
}

// Discard takes up to n bytes that have arrived from a TCP socket without copying them, and returns how
// many.
func Discard(fd, n int) (int, unix.Errno) {
	got, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, uintptr(n), unix.MSG_TRUNC, 0, 0)
	return int(got), errno
}

// Again reports whether a call would have had to wait.
func Again(errno unix.Errno) bool { return errno == unix.EAGAIN || errno == unix.EINTR }

// Listen opens a non-blocking listener on an IPv4 address and port; port 0 picks a free one. The address in
// use is returned.
func Listen(addr string) (fd int, bound string, err error) {
	to, err := sockaddr(addr)
	if err != nil {
		return -1, "", err
	}
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, "", fmt.Errorf("cannot open a socket: %w", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = unix.Bind(fd, to)
	}
	if err == nil {
		err = unix.Listen(fd, 4096)
	}
	if err != nil {
		unix.Close(fd)
		return -1, "", fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return -1, "", fmt.Errorf("cannot tell the address of the listener: %w", err)
	}
	in := name.(*unix.SockaddrInet4) // bound above, to an IPv4 address
	return fd, netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)).String(), nil
}

// Accept takes one connection, non-blocking and without Nagle's delay; ok is false when none waits.
func Accept(listener int) (fd int, ok bool) {
	fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return -1, false
	}
	noDelay(fd)
	return fd, true
}

// Target is an address to connect to, taken apart once.
type Target struct{ addr unix.SockaddrInet4 }

// NewTarget takes an IPv4 address and port apart.
func NewTarget(addr string) (Target, error) {
	a, err := sockaddr(addr)
	if err != nil {
		return Target{}, err
	}
	return Target{*a}, nil
}

// Connect opens a connection and waits until it stands; then it is non-blocking.
func (t *Target) Connect() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot open a socket: %w", err)
	}
	for err = unix.Connect(fd, &t.addr); errors.Is(err, unix.EINTR); { // interrupted once, it goes on by itself
		err = waitConnected(fd)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("cannot connect: %w", err)
	}
	noDelay(fd)
	return fd, nil
}

func waitConnected(fd int) error {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if _, err := unix.Poll(p, -1); err != nil {
		return err
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	return err
}

// Start opens a non-blocking connection without waiting until it stands: the first Write says EAGAIN until
// then.
func (t *Target) Start() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = unix.Connect(fd, &t.addr); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return -1, err
	}
	noDelay(fd)
	return fd, nil
}

// noDelay cannot fail on a TCP socket.
func noDelay(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

func sockaddr(addr string) (*unix.SockaddrInet4, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil || !a.Addr().Is4() {
		return nil, fmt.Errorf("%q is no IPv4 address with a port", addr)
	}
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}, nil
}
