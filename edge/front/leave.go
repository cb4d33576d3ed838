package front

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// leaveGrace is how long a socket stays open for handshakes under way: a round trip to clients not too far
// away.
const leaveGrace = 100 * time.Millisecond

// leave stops accepting. Closing a socket would reset the connections in its queue and those being made. So
// leave keeps new ones out first, and the accepting goroutine accepts the others before it closes the socket.
// A socket that the service manager holds too is closed at once: its queue is for the next process.
func (l *Listener) leave() {
	if l.lent {
		_ = l.socket.Close() // it is not accepted on any more
		return
	}
	if raw, err := l.socket.SyscallConn(); err == nil {
		_ = raw.Control(keepOut) // fails only on a closed socket
	}
	if l.socket.SetDeadline(time.Now().Add(leaveGrace)) != nil {
		_ = l.socket.Close() // as above
	}
}

// keepOut binds the socket to a network interface that does not exist. No SYN finds it any more: clients are
// refused, or reach another socket on the port. Handshakes under way go on, since they are looked up by their
// own addresses. Where the kernel cannot do that (Linux before 5.1), a few connections may be reset.
func keepOut(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, math.MaxInt32) // see above
}
