package client

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/splice"
)

// Write sends b. It fails with os.ErrDeadlineExceeded when the client takes it below the minimum rate.
func (c *Conn) Write(b []byte) error {
	var err error
	if c.Plain() {
		_, err = c.push(b)
	} else {
		_, err = c.Net.Write(b) // which pushes its records
	}
	return err
}

// TryWriteBoth writes as much of a and, behind it, b to the socket as there is room for.
func (c *Conn) TryWriteBoth(a, b []byte) (int, error) {
	n, err := c.Socket.TryWriteBoth(a, b)
	c.sendRate.Add(int64(n), 0)
	return n, err
}

// NewAnswer starts a new measurement of the rate at which the client takes what is sent.
func (c *Conn) NewAnswer() { c.sendRate = Rate{} }

// push writes b to the socket, and enforces the minimum rate.
func (c *Conn) push(b []byte) (n int, err error) {
	for {
		now, left := clock.Now(), c.patience()
		if left <= 0 {
			return n, os.ErrDeadlineExceeded
		}
		c.moveWriteDeadline(now, left)
		m, err := c.Socket.Write(b[n:])
		n += m
		c.sendRate.Add(int64(m), clock.Now()-now)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// DrainPipe sends the contents of p, enforces the minimum rate, and adds the number of bytes to *sent.
func (c *Conn) DrainPipe(p *splice.Pipe, sent *int64) error {
	for p.Len() > 0 {
		now, left := clock.Now(), c.patience()
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		c.moveWriteDeadline(now, left)
		raw, _ := c.Socket.SyscallConn() // never fails
		n, err := p.Drain(raw)
		*sent += int64(n)
		c.sendRate.Add(int64(n), clock.Now()-now)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return nil
}

// moveWriteDeadline lets a write block for wait, or up to a second less.
func (c *Conn) moveWriteDeadline(now, wait int64) {
	if c.wdl <= now || c.wdl > now+wait || now+wait-c.wdl > int64(time.Second) {
		c.wdl = now + wait
		_ = c.Socket.SetWriteDeadline(clock.At(c.wdl)) // fails only on a closed socket, as the write will
	}
}

// rateLook is how long a client must have kept the gateway waiting before the socket's queue is looked at.
const rateLook = time.Second

// patience returns how many nanoseconds the next write may wait for the client. The kernel buffers hundreds
// of kilobytes, so for a client that keeps the gateway waiting, bytes in the socket's queue do not count as
// taken. One wait lasts no longer than the grace; then the queue is looked at again.
func (c *Conn) patience() int64 {
	rate := c.Settings().MinSend
	taken := c.sendRate
	if rate > 0 && taken.waited > int64(rateLook) {
		taken.bytes = max(taken.bytes-c.Socket.Queued(), 0)
	}
	left := taken.Allowed(rate)
	if rate > 0 {
		left = min(left, int64(rateGrace))
	}
	return left
}

// Paced is the socket under TLS. It enforces the minimum rate on the records of answers. Handshakes and
// tunnels have deadlines of their own.
type Paced struct {
	net.Conn
	C *Conn
}

// Write implements io.Writer.
func (p *Paced) Write(b []byte) (int, error) {
	if s := p.C.state.Load(); s != busy && s != last {
		return p.Conn.Write(b)
	}
	return p.C.push(b)
}
