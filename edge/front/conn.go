package front

import (
	"log/slog"
	"net/netip"
	"sync/atomic"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/poll"
)

// conn is the front's half of a client's connection. A goroutine owns it until the client has been greeted;
// from there on a protocol does.
type conn struct {
	client.Conn
	l       *Listener
	counted bool // it counts against its address' cap
	served  client.Served
	// ready points to served once that is set. Cut and Hangup may come before.
	ready atomic.Pointer[client.Served]
}

// newConn starts a connection. A protocol serves it at once, or, when a PROXY header or a handshake comes
// first, after a goroutine has dealt with that.
func (l *Listener) newConn(a poll.Accepted, peer netip.Addr, counted bool) {
	set := l.settings.Load()
	greets := set.tls != nil || set.proxyProtocol
	c := &conn{l: l, counted: counted}
	c.Listener, c.Owner, c.Net = &l.Listener, c, &c.Socket
	c.Peer, c.Port, c.Lane = peer, a.Remote.Port(), l.front.nextLane()
	c.Begin(greets)
	if !greets {
		c.handOver()
	}
	err := l.front.loops.Hold(&c.Socket, a, c)
	l.enter(c) // a drain may find it from here on
	if err == nil {
		if !greets {
			c.IdleUntil(clock.Now() + int64(set.HeaderTimeout))
		}
		err = c.Socket.Begin(!greets)
	}
	if err != nil {
		slog.Error("cannot wait for a connection", "listener", l.Key, "error", err)
		c.Close(client.Orderly)
		return
	}
	if greets {
		go c.begin()
	}
}

// handOver gives the connection to the protocol that the client speaks.
func (c *conn) handOver() {
	c.served = c.l.front.http1.Open(&c.Conn)
	c.ready.Store(&c.served)
}

// begin greets the client and has the protocol serve it.
func (c *conn) begin() {
	if how, ok := c.greets(); !ok {
		c.Close(how)
		return
	}
	c.Greeted()
	c.handOver()
	c.served.Serve()
}

// greets is greet with panics contained: one ends this connection only.
func (c *conn) greets() (how client.Closing, ok bool) {
	var f *edge.Fault
	defer edge.Contain(&f)
	return c.greet(c.l.settings.Load())
}

// Closed implements client.Owner.
func (c *conn) Closed() { c.l.forget(c) }

// Ready implements poll.Handler.
func (c *conn) Ready() { c.served.Ready() }

// Expired implements poll.Handler.
func (c *conn) Expired() { c.served.Expired() }

// Hangup implements poll.Handler.
func (c *conn) Hangup() {
	if s := c.ready.Load(); s != nil {
		(*s).Hangup()
	}
}

// cut ends the connection now, whatever it is doing.
func (c *conn) cut() {
	c.Socket.Shutdown()
	if s := c.ready.Load(); s != nil {
		(*s).Cut()
	}
}
