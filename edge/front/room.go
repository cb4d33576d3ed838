package front

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// Each connection of a client takes one of the descriptors that are meant for clients. When none is left,
// connections that wait for a request are closed to make room, those that have waited longest first, and
// nobody is accepted until there is room.

// roomLook is how often it is looked again for connections to close while nobody is accepted.
const roomLook = 20 * time.Millisecond

// room takes a descriptor for a connection that has been accepted, when there is one; false: the listener is
// to drain.
func (l *Listener) room() bool {
	f := l.front
	clients := &f.files.Load().Clients
	if clients.TryAcquire() {
		return true
	}
	f.pauses.Inc(0)
	if n, due := f.paused.Due(); due {
		slog.Warn("no descriptors are left for clients: accepting pauses, and idle connections are closed",
			"listener", l.key, "count", n, "limit", f.files.Load().Limit(), "clients", clients.Most(),
			"hint", descriptorHint)
	}
	for !l.draining() {
		f.part(int(max(clients.Most()/partAtOnce, 1) - f.parting.Load()))
		if clients.Wait(roomLook) {
			return true
		}
	}
	return false
}

const descriptorHint = "raise LimitNOFILE, or lower max_connections"

// partAtOnce is the share of all connections that are closed together when there is no room: looking for the
// idle ones takes longer the more there are.
const partAtOnce = 64

// partAfter is how long a connection must have been idle, in milliseconds: a request is often on its way on
// one that has just been made.
const partAfter = 100

// part has the n connections closed that have been idle for longest.
func (f *Front) part(n int) {
	if n <= 0 {
		return
	}
	type idler struct {
		c   *conn
		age uint32
	}
	var all []idler
	now := millis(clock.Now())
	for _, l := range f.everyone() {
		l.each(func(c *conn) {
			age := now - c.idleSince.Load()
			if s := c.state.Load(); age >= partAfter && (s == stateIdle || s == stateGreeting) {
				all = append(all, idler{c, age})
			}
		})
	}
	slices.SortFunc(all, func(a, b idler) int { return cmp.Compare(b.age, a.age) })
	for _, i := range all[:min(n, len(all))] {
		i.c.part()
	}
}

// millis are the milliseconds of a reading of the clock. They wrap after 49 days; ages are right up to then.
func millis(now int64) uint32 { return uint32(now / int64(time.Millisecond)) }

// everyone returns all listeners, those that only end their connections too.
func (f *Front) everyone() []*Listener {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := append([]*Listener(nil), f.leaving...)
	for _, l := range f.listeners {
		all = append(all, l)
	}
	return all
}

// part ends the connection unless a request is on its way: then it ends with its answer. Anybody may call it.
func (c *conn) part() {
	f := c.l.front
	f.parting.Add(1) // before the state, which its owner answers to
	switch {
	case c.state.CompareAndSwap(stateIdle, stateParting):
		c.socket.SetDue(clock.Now()) // its owner may set another moment now, and looks at the state after that
	case c.state.CompareAndSwap(stateGreeting, stateParting):
		c.socket.Shutdown() // its goroutine waits for the client
	default:
		f.parting.Add(-1)
		return
	}
	f.parted.Inc(c.lane)
}

// busy notes that a request has begun. One that comes while the connection is to be closed is answered all
// the same.
func (c *conn) busy() {
	if c.state.Swap(stateBusy) == stateParting {
		c.l.front.parting.Add(-1)
		c.last = true
	}
}

// idle notes that the connection waits for a request.
func (c *conn) idle() {
	c.idleSince.Store(millis(c.now()))
	c.state.CompareAndSwap(stateBusy, stateIdle) // else it is idle, or parting
}
