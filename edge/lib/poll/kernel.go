//go:build !sim

package poll

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the package asks of the kernel, and nothing else of the package does. A simulation has its own: see
// kernel_sim.go.

// recv reads what is there: it spares the kernel the detour over files that read takes.
func recv(fd int, p []byte) (n int, errno syscall.Errno) {
	r, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	return int(r), errno
}

// send writes what there is room for.
func send(fd int, b []byte) (n int, errno syscall.Errno) {
	w, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	return int(w), errno
}

// sendBoth writes what there is room for of a and, behind it, b. Neither is empty.
func sendBoth(fd int, a, b []byte) (n int, errno syscall.Errno) {
	iov := [2]unix.Iovec{{Base: unsafe.SliceData(a)}, {Base: unsafe.SliceData(b)}}
	iov[0].SetLen(len(a))
	iov[1].SetLen(len(b))
	msg := unix.Msghdr{Iov: &iov[0]}
	msg.SetIovlen(len(iov))
	w, _, errno := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)),
		unix.MSG_NOSIGNAL)
	return int(w), errno
}

// quietFd reports whether nothing has come on fd.
func quietFd(fd int) bool {
	var b [1]byte
	_, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), 1,
		unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return errno == syscall.EAGAIN
}

// shutdown ends directions of a connection: unix.SHUT_WR or unix.SHUT_RDWR.
func shutdown(fd, how int) error { return unix.Shutdown(fd, how) }

// closeFd gives a descriptor back.
func closeFd(fd int) { _ = unix.Close(fd) } // its error would tell of bytes that nobody waits for

// sockname returns the address of a socket's own end.
func sockname(fd int) (Addr, error) {
	sa, err := unix.Getsockname(fd)
	return addrOf(sa), os.NewSyscallError("getsockname", err)
}

// accept takes a connection from a listening socket's queue.
func accept(fd int) (nfd int, remote Addr, err error) {
	nfd, sa, err := unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	return nfd, addrOf(sa), err
}

// lingerReset makes the close of a socket a reset.
func lingerReset(fd int) {
	l := unix.Linger{Onoff: 1}
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l) // else the end is orderly
}

// unacked returns how many bytes the other side has not acknowledged; 0 when the socket does not tell.
func unacked(fd int) int64 {
	q, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return int64(q)
}

// queue is an epoll set, with what wakes who waits for it.
type queue struct {
	epfd   int
	wakefd int // an eventfd
	alarm  alarm
}

// open makes the set. With an error, nothing is left behind.
func (q *queue) open() error {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err == nil {
		err = unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wakefd,
			&unix.EpollEvent{Events: unix.EPOLLIN | edgeTriggered, Fd: int32(wakefd)})
	}
	q.epfd, q.wakefd = epfd, wakefd
	if err == nil {
		err = q.alarm.open(epfd)
	}
	if err != nil {
		_, _ = unix.Close(epfd), unix.Close(wakefd)
		return os.NewSyscallError("eventfd or timerfd", err)
	}
	return nil
}

func (q *queue) close() { _, _, _ = unix.Close(q.epfd), unix.Close(q.wakefd), unix.Close(q.alarm.fd) }

// add makes the set report what comes on fd, with serial in each event; change does for a descriptor that is
// in the set.
func (q *queue) add(fd int, events uint32, serial int32) error {
	return unix.EpollCtl(q.epfd, unix.EPOLL_CTL_ADD, fd,
		&unix.EpollEvent{Events: events | edgeTriggered, Fd: int32(fd), Pad: serial})
}

func (q *queue) change(fd int, events uint32, serial int32) error {
	return unix.EpollCtl(q.epfd, unix.EPOLL_CTL_MOD, fd,
		&unix.EpollEvent{Events: events | edgeTriggered, Fd: int32(fd), Pad: serial})
}

// wait returns how many events have come, after rest milliseconds at most; -1: no bound. now is when the
// round began.
func (q *queue) wait(events *[batch]unix.EpollEvent, rest int, now int64) int {
	rest = q.alarm.instead(rest, now)
	n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(q.epfd), uintptr(unsafe.Pointer(&events[0])),
		batch, uintptr(rest), 0, 0)
	if errno != 0 {
		if errno != syscall.EINTR {
			panic("BUG: epoll_wait: " + errno.Error())
		}
		return 0
	}
	return int(n)
}

// wake ends a wait.
func (q *queue) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(q.wakefd, one[:]) // full means that it is awake already
}

// edgeTriggered is EPOLLET as the unsigned word that the kernel takes.
const edgeTriggered = 1 << 31

// duplicate returns a second descriptor of c, which the runtime's poller does not know.
func duplicate(c any) (int, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("%T has no descriptor", c)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	fd := -1
	cerr := rc.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	if cerr != nil {
		return 0, cerr
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// inherit sets what accepted sockets take over from the listening one: no delay for small writes, and probes
// that find out lost clients.
func inherit(fd int) {
	for _, o := range [...]struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
	} {
		_ = unix.SetsockoptInt(fd, o.level, o.name, o.value) // a foreign socket may be of another kind
	}
}

func addrOf(sa unix.Sockaddr) Addr {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return Addr{}
}
