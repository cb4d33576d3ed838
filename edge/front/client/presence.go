package client

import (
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// What a connection is doing, as far as goroutines other than its owner may know.
const (
	greeting uint32 = iota // before the first request: PROXY header and TLS handshake
	idle                   // waiting for a request
	evicted                // one of these, and to be closed
	busy                   // serving a request
	last                   // likewise; the connection ends with the answer
	switched               // carrying a tunnel
)

// Begin makes a new connection greeting or idle. No other goroutine may know of it yet.
func (c *Conn) Begin(greets bool) {
	c.idleSince.Store(millis(clock.Now()))
	if !greets {
		c.state.Store(idle)
	}
}

// Greeted notes that the connection can take requests.
func (c *Conn) Greeted() { c.state.CompareAndSwap(greeting, idle) } // otherwise it is evicted

// Busy marks the begin of a request. One that comes on an evicted connection is answered all the same, as the
// last one.
func (c *Conn) Busy() {
	if c.state.Swap(busy) == evicted {
		c.Listener.Group.Evicting.Add(-1)
		c.state.Store(last)
	}
}

// Last reports whether the connection ends with the answer to the present request.
func (c *Conn) Last() bool { return c.state.Load() == last || c.Listener.Draining() }

// Idle marks the begin of the wait for a request.
func (c *Conn) Idle(now int64) {
	c.idleSince.Store(millis(now))
	c.state.CompareAndSwap(busy, idle) // otherwise it is idle or evicted
}

// IdleUntil sets how long the loop waits for a request.
func (c *Conn) IdleUntil(at int64) {
	c.Socket.SetDue(at)
	if c.Listener.Draining() {
		// A drain that began before the line above has set its own, earlier moment; it must not be lost.
		c.LastCall()
	}
	if c.state.Load() == evicted { // likewise
		c.Socket.SetDue(clock.Now())
	}
}

// LastCall shortens the wait of an idle connection. It does not close it at once: the client may have sent a
// request that is still on its way, which is then answered with Connection: close.
func (c *Conn) LastCall() {
	grace := c.Listener.Group.DrainGrace.Load()
	c.Socket.SetDue(clock.Now() + grace)
	// Under TLS a goroutine may be reading. A closed socket ends that by itself.
	_ = c.Socket.SetReadDeadline(time.Now().Add(time.Duration(grace)))
}

// Waits reports whether the connection is idle or greeting, and for how many milliseconds it has been.
func (c *Conn) Waits(now int64) (age uint32, ok bool) {
	s := c.state.Load()
	return millis(now) - c.idleSince.Load(), s == idle || s == greeting
}

// Evict closes the connection unless it serves a request; one that arrives now is still answered. Any
// goroutine may call it.
func (c *Conn) Evict() {
	g := c.Listener.Group
	g.Evicting.Add(1) // before the state, to which the owner responds
	switch {
	case c.state.CompareAndSwap(idle, evicted):
		c.Socket.SetDue(clock.Now()) // the owner may set another time now, and looks at the state after that
	case c.state.CompareAndSwap(greeting, evicted):
		c.Socket.Shutdown() // its goroutine waits for the client
	default:
		g.Evicting.Add(-1)
		return
	}
	g.Evicted.Inc(c.Lane)
}

// millis converts clock nanoseconds to milliseconds, which wrap after 49 days; ages are right up to then.
func millis(now int64) uint32 { return uint32(now / int64(time.Millisecond)) }
