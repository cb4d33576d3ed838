package h1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
)

// open opens the connection within the pool's connect timeout, TLS included.
func (c *conn) open(x *edge.Exchange) *edge.Fault {
	t, s := c.t, c.a.Settings
	until := time.Now().Add(s.ConnectTimeout)
	if x.Deadline > 0 {
		until = earlier(until, clock.At(x.Deadline))
	}
	if x.TryDeadline > 0 {
		until = earlier(until, clock.At(x.TryDeadline))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer attend(x.Conn, cancel).end()
	nc, err := t.connect(ctx, until)
	if err != nil {
		x.Cause = err
		switch {
		case ctx.Err() != nil:
			return edge.ClientGone
		case descriptors.Short(err):
			return edge.Exhausted
		case isTimeout(err):
			return edge.UpstreamConnectTimeout
		}
		return edge.UpstreamConnect
	}
	socket, files, header := nc, s.TLS.Sum(), t.headerFor(x)
	if s.TLS.Enabled {
		if header != "" {
			nc = proxyproto.Before(nc, []byte(header))
		}
		client := tls.Client(nc, s.TLS.For(t.address))
		_ = nc.SetDeadline(until) // a closed socket fails the handshake
		if err := client.HandshakeContext(ctx); err != nil {
			_ = nc.Close() // the handshake's error is the one that counts
			x.Cause = err
			if ctx.Err() != nil {
				return edge.ClientGone
			}
			return edge.UpstreamTLS
		}
		_ = nc.SetDeadline(time.Time{}) // the next read or write sets its own
		nc = client
	}
	if err := c.init(x, nc, socket); err != nil {
		x.Cause = err
		t.common.Lacks("a connection to a target", err)
		return edge.Exhausted // the connection stood
	}
	c.files, c.checked, c.reused = files, true, false
	c.header, c.owes = header, c.plain && header != "" // it leaves with the first request
	return nil
}

// init makes c a connection over the socket, or over TLS on it. A plain one is waited for in the loop of x,
// if there is one. With an error, nc is closed.
func (c *conn) init(x *edge.Exchange, nc, socket net.Conn) error {
	c.plain, c.socket, c.raw, c.a.Starter = nc == socket, nil, nil, nil
	c.tls, _ = nc.(*tls.Conn)
	if c.plain && x.Loop != nil {
		loop, _ := x.Loop.Loop()
		if loop != nil {
			s, err := loop.AdoptConn(socket, c)
			if err != nil {
				_ = nc.Close() // the error is the one that counts
				return err
			}
			c.socket, nc, socket = s, s, s
			c.a.Starter = c
		}
	}
	if sc, ok := socket.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	c.peekFn = c.peekFd
	c.rdl, c.wdl = 0, 0
	c.br.Reset(c, answerBuffer, maxAnswer)
	c.up.init(c)
	c.t.common.Files.Targets.Add()
	c.mu.Lock()
	c.nc = nc
	c.mu.Unlock()
	return nil
}

// connect is the dialling of a socket. When the gateway is short of descriptors or memory, idle connections
// to the pool's targets are closed, and it is tried again for a little while: those that others need for a
// moment come back.
func (t *Target) connect(ctx context.Context, until time.Time) (net.Conn, error) {
	for pause := shortPause; ; pause *= 2 {
		nc, err := t.name.Dial(ctx, until)
		if !descriptors.Short(err) {
			return nc, err
		}
		t.common.CloseIdle()
		if pause > shortPauses || time.Now().Add(pause).After(until) || ctx.Err() != nil {
			t.common.Lacks("a connection to a target", err)
			return nil, err
		}
		time.Sleep(pause)
	}
}

// The first and the longest pause before a connection is tried again for which there was no descriptor.
const (
	shortPause  = 2 * time.Millisecond
	shortPauses = 64 * time.Millisecond
)

// attendant looks whether a client is still there while a connection is opened for it.
type attendant struct {
	client edge.ClientConn
	timer  *time.Timer
	leave  context.CancelFunc // called when it has gone
	ended  atomic.Bool
}

// attend begins to look after the client, ten times a second.
func attend(client edge.ClientConn, leave context.CancelFunc) *attendant {
	a := &attendant{client: client, leave: leave}
	a.timer = time.AfterFunc(time.Hour, a.look)
	a.timer.Reset(firstSlice) // not before a.timer is set
	return a
}

func (a *attendant) look() {
	switch {
	case a.ended.Load():
	case a.client.Gone():
		a.leave()
	default:
		a.timer.Reset(firstSlice)
	}
}

// end stops it; a look that is under way does no harm.
func (a *attendant) end() {
	a.ended.Store(true)
	a.timer.Stop()
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
