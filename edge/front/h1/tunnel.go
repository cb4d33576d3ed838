package h1

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// switched is a connection that carries a tunnel: bytes pass both ways until one side ends or both are
// silent.
type switched struct {
	client.Tunnel
	near     net.Conn     // the client's side
	up       net.Conn     // the target's
	socket   io.Closer    // under near
	idle     int64        // nanoseconds both sides may be silent
	last     atomic.Int64 // when a byte last passed
	finished sync.WaitGroup
}

// runTunnel answers 101 and carries the tunnel until it ends.
func (c *conn) runTunnel(r *request) *edge.Fault {
	x := &r.x
	x.Close = true
	c.aborted.Store(true) // no request follows on this connection
	r.switching(x)
	if err := c.Write(r.out); err != nil {
		return c.sendFault(x, err, nil)
	}
	t := &switched{near: c.Net, socket: &c.Socket, up: x.Tunnel.NetConn(), idle: int64(x.TunnelIdle)}
	t.Route, t.Pool, t.Target, t.Began, t.End = x.Plan.Name, x.PoolName, x.TargetName, clock.Now(), t.end
	t.last.Store(clock.Now())
	early := append([]byte(nil), c.br.Buffered()...)
	c.br.Discard(len(early))
	c.enter(tunnel)
	c.Switch(&t.Tunnel)
	c.p.tunnels.Add(c.Lane, 1)
	t.run(early, x.Tunnel.Early())
	c.p.tunnels.Add(c.Lane, -1)
	c.Switch(nil)
	c.enter(blocking)
	x.InBytes, x.OutBytes = t.In.Load(), t.Out.Load()
	return nil
}

// switching writes the head of a 101 into r.out.
func (r *request) switching(x *edge.Exchange) {
	r.out = append(appendStatus(r.begin(), x.Status(), x.Reason()), x.Resp.Lines()...)
	r.out = append(r.out, "Connection: Upgrade\r\nUpgrade: "...)
	r.out = append(r.out, x.Upgrade...)
	r.out = append(r.out, "\r\n\r\n"...)
}

// run carries bytes both ways; fromClient and fromTarget were read already.
func (t *switched) run(fromClient, fromTarget []byte) {
	t.finished.Add(1)
	go func() {
		defer t.finished.Done()
		t.carry(t.up, t.near, fromClient, &t.In)
	}()
	t.carry(t.near, t.up, fromTarget, &t.Out)
	t.finished.Wait()
}

// carry copies src to dst until src ends, and then closes dst for writing. An error ends both directions.
func (t *switched) carry(dst, src net.Conn, early []byte, count *atomic.Int64) {
	buf := client.AcquireBuffer()
	defer client.ReleaseBuffer(buf)
	err := t.pass(dst, early, count)
	for err == nil {
		var n int
		_ = src.SetReadDeadline(time.Now().Add(time.Duration(t.idle))) // a closed socket fails the read
		n, err = src.Read(buf[:])
		if errors.Is(err, os.ErrDeadlineExceeded) && clock.Now()-t.last.Load() < t.idle {
			err = nil // the other direction is alive
		}
		// A write that failed has lost bytes: it ends the tunnel whatever the other direction does.
		if werr := t.pass(dst, buf[:n], count); werr != nil {
			err = werr
		}
	}
	if cw, ok := dst.(interface{ CloseWrite() error }); ok && errors.Is(err, io.EOF) && cw.CloseWrite() == nil {
		return
	}
	t.end()
}

func (t *switched) pass(dst net.Conn, b []byte, count *atomic.Int64) error {
	if len(b) == 0 {
		return nil
	}
	t.last.Store(clock.Now())
	count.Add(int64(len(b)))
	_ = dst.SetWriteDeadline(time.Now().Add(time.Duration(t.idle))) // a closed socket fails the write
	_, err := dst.Write(b)
	return err
}

// end closes both sides, so that calls blocked in them return.
func (t *switched) end() {
	_ = t.up.Close()
	_ = t.socket.Close()
}
