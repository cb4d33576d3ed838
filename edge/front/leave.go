package front

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// leaveGrace is how long a socket is kept for handshakes that had begun: a round trip to clients not too
// far away.
const leaveGrace = 100 * time.Millisecond

// leave stops accepting. Closing a socket resets the connections that clients have made, or are making, and
// nobody has accepted yet: so new ones are kept out first, and the accepting goroutine takes in the others
// before it closes the socket. A socket that the service manager holds too is let go at once: its queue is
// for the next process.
func (l *Listener) leave() {
	if l.lent {
		_ = l.socket.Close() // nobody accepts on it any more
		return
	}
	if raw, err := l.socket.SyscallConn(); err == nil {
		_ = raw.Control(keepOut) // fails only on a closed socket
	}
	if l.socket.SetDeadline(time.Now().Add(leaveGrace)) != nil {
		_ = l.socket.Close() // as above
	}
}

// keepOut binds the socket to a network interface that does not exist: no SYN finds it any more, so that
// clients are refused, or reach another socket on the port, while handshakes that have begun go on: they
// are looked up by their own addresses. Where the kernel cannot (Linux before 5.1), a few connections may
// be reset.
func keepOut(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, math.MaxInt32) // see above
}
