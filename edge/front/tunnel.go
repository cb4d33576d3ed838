package front

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// tunnel is a switched connection while it lives: bytes pass both ways until one side ends or both are
// silent.
type tunnel struct {
	c        *conn
	up       net.Conn
	socket   io.Closer // of the client
	route    string
	pool     string
	target   string
	began    int64        // clock nanoseconds
	idle     int64        // nanoseconds both sides may be silent
	last     atomic.Int64 // when a byte last passed
	in, out  atomic.Int64 // bytes from and to the client
	finished sync.WaitGroup
}

// runTunnel answers 101 and carries the tunnel until it ends.
func (c *conn) runTunnel(w *work) *edge.Fault {
	x := &w.x
	x.Close = true
	c.aborted.Store(true) // no request follows on this connection
	w.switching(x)
	if err := c.write(w.out); err != nil {
		return c.sent(x, err, nil)
	}
	t := &tunnel{c: c, socket: &c.socket, up: x.Tunnel.NetConn(),
		route: x.Plan.Name, pool: x.PoolName, target: x.TargetName,
		began: clock.Now(), idle: int64(x.TunnelIdle)}
	t.last.Store(clock.Now())
	early := append([]byte(nil), c.br.Buffered()...)
	c.br.Discard(len(early))
	c.state.Store(stateTunnel)
	c.tunnel.Store(t)
	c.l.front.tunnels.Add(c.lane, 1)
	t.run(early, x.Tunnel.Early())
	c.l.front.tunnels.Add(c.lane, -1)
	c.tunnel.Store(nil)
	x.InBytes, x.OutBytes = t.in.Load(), t.out.Load()
	return nil
}

// switching writes the head of a 101 into w.out.
func (w *work) switching(x *edge.Exchange) {
	w.out = append(appendStatus(w.begin(), x.Status(), x.Reason()), x.Resp.Lines()...)
	w.out = append(w.out, "Connection: Upgrade\r\nUpgrade: "...)
	w.out = append(w.out, x.Upgrade...)
	w.out = append(w.out, "\r\n\r\n"...)
}

// run carries bytes both ways; fromClient and fromTarget were read already.
func (t *tunnel) run(fromClient, fromTarget []byte) {
	t.finished.Add(1)
	go func() {
		defer t.finished.Done()
		t.carry(t.up, t.c.nc, fromClient, &t.in)
	}()
	t.carry(t.c.nc, t.up, fromTarget, &t.out)
	t.finished.Wait()
}

// carry copies src to dst until src ends, then passes the end on; an error ends both directions.
func (t *tunnel) carry(dst, src net.Conn, early []byte, count *atomic.Int64) {
	buf := acquireBuffer()
	defer releaseBuffer(buf)
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

func (t *tunnel) pass(dst net.Conn, b []byte, count *atomic.Int64) error {
	if len(b) == 0 {
		return nil
	}
	t.last.Store(clock.Now())
	count.Add(int64(len(b)))
	_ = dst.SetWriteDeadline(time.Now().Add(time.Duration(t.idle))) // a closed socket fails the write
	_, err := dst.Write(b)
	return err
}

// end closes both sides; what blocks in them returns.
func (t *tunnel) end() {
	_ = t.up.Close()
	_ = t.socket.Close()
}
