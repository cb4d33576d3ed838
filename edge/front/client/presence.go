package client

import (
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// What a connection is doing, for others than its owner.
const (
	greeting uint32 = iota // before the first request: PROXY header and TLS handshake
	idle                   // it waits for a request
	evicted                // as either, and to be closed
	busy                   // it serves a request
	last                   // likewise, and the connection ends with its answer
	switched               // it carries a tunnel
)

// Begin makes the connection idle, or greeting, before anybody else knows of it.
func (c *Conn) Begin(greets bool) {
	c.idleSince.Store(millis(clock.Now()))
	if !greets {
		c.state.Store(idle)
	}
}

// Greeted notes that the connection can take requests.
func (c *Conn) Greeted() { c.state.CompareAndSwap(greeting, idle) } // else it is evicted

// Busy notes that a request has begun. One that comes while the connection is to be closed is answered all
// the same, as the last one.
func (c *Conn) Busy() {
	if c.state.Swap(busy) == evicted {
		c.Listener.Group.Evicting.Add(-1)
		c.state.Store(last)
	}
}

// Last reports whether the connection is to end with the answer that is due.
func (c *Conn) Last() bool { return c.state.Load() == last || c.Listener.Draining() }

// Idle notes that the connection waits for a request.
func (c *Conn) Idle(now int64) {
	c.idleSince.Store(millis(now))
	c.state.CompareAndSwap(busy, idle) // else it is idle, or evicted
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

// LastCall shortens the wait of an idle connection: the client may have sent a request that is still on its
// way, so the connection is not closed at once, and a request that comes is answered with Connection: close.
func (c *Conn) LastCall() {
	grace := c.Listener.Group.DrainGrace.Load()
	c.Socket.SetDue(clock.Now() + grace)
	// Under TLS a goroutine may be reading. A closed socket ends that by itself.
	_ = c.Socket.SetReadDeadline(time.Now().Add(time.Duration(grace)))
}

// Waits reports whether the connection waits for a request, or greets, and for how many milliseconds it has.
func (c *Conn) Waits(now int64) (age uint32, ok bool) {
	s := c.state.Load()
	return millis(now) - c.idleSince.Load(), s == idle || s == greeting
}

// Evict ends the connection unless a request is on its way: then it ends with its answer. Anybody may call it.
func (c *Conn) Evict() {
	g := c.Listener.Group
	g.Evicting.Add(1) // before the state, which its owner answers to
	switch {
	case c.state.CompareAndSwap(idle, evicted):
		c.Socket.SetDue(clock.Now()) // its owner may set another moment now, and looks at the state after that
	case c.state.CompareAndSwap(greeting, evicted):
		c.Socket.Shutdown() // its goroutine waits for the client
	default:
		g.Evicting.Add(-1)
		return
	}
	g.Evicted.Inc(c.Lane)
}

// millis are the milliseconds of a reading of the clock. They wrap after 49 days; ages are right up to then.
func millis(now int64) uint32 { return uint32(now / int64(time.Millisecond)) }
