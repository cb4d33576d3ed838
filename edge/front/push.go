package front

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// push writes b to the socket at the pace of an answer.
func (c *conn) push(b []byte) (n int, err error) {
	for {
		now, left := clock.Now(), c.patience()
		if left <= 0 {
			return n, os.ErrDeadlineExceeded
		}
		c.moveWriteDeadline(now, left)
		m, err := c.socket.Write(b[n:])
		n += m
		c.outflo.add(int64(m), clock.Now()-now)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// paceLook is how long a client must have kept the gateway waiting before it is looked what it has taken.
const paceLook = time.Second

// patience returns for how many nanoseconds the next write may wait for the client. The kernel takes more
// than the client does, hundreds of kilobytes: what still lies in the socket's buffer does not count for a
// client that keeps the gateway waiting. One wait lasts no longer than the grace, then it is looked again.
func (c *conn) patience() int64 {
	rate := c.l.settings.Load().minSend
	taken := c.outflo
	if rate > 0 && taken.waited > int64(paceLook) {
		taken.bytes = max(taken.bytes-c.socket.Queued(), 0)
	}
	left := taken.allowed(rate)
	if rate > 0 {
		left = min(left, int64(paceGrace))
	}
	return left
}

// paced is the socket under TLS: its records are written at the pace of the answer in them. Handshakes and
// tunnels have deadlines of their own.
type paced struct {
	net.Conn
	c *conn
}

// Write implements io.Writer.
func (p *paced) Write(b []byte) (int, error) {
	if p.c.state.Load() != stateBusy {
		return p.Conn.Write(b)
	}
	return p.c.push(b)
}
