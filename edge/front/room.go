package front

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// Each client connection uses one of the descriptors set aside for clients. When none is left, idle
// connections are closed to make room, the longest idle first, and accepting pauses until there is room.

// roomLook is how often idle connections are looked for while accepting pauses.
const roomLook = 20 * time.Millisecond

// room waits for a descriptor for an accepted connection. It returns false when the listener drains instead.
func (l *Listener) room() bool {
	f := l.front
	clients := &f.files.Load().Clients
	if clients.TryAcquire() {
		return true
	}
	f.pauses.Inc(0)
	if n, due := f.paused.Due(); due {
		slog.Warn("no descriptors are left for clients: accepting pauses, and idle connections are closed",
			"listener", l.Key, "count", n, "limit", f.files.Load().Limit(), "clients", clients.Most(),
			"hint", descriptorHint)
	}
	for !l.Draining() {
		f.evictIdle(int(max(clients.Most()/evictShare, 1) - f.group.Evicting.Load()))
		if clients.Wait(roomLook) {
			return true
		}
	}
	return false
}

const descriptorHint = "raise LimitNOFILE, or lower max_connections"

// evictShare is the share of all connections that are closed at a time, since finding the idle ones takes
// longer the more there are.
const evictShare = 64

// evictAfter is how long a connection must have been idle, in milliseconds: on a new one a request is often
// on its way.
const evictAfter = 100

// evictIdle evicts the n connections that have been idle longest.
func (f *Front) evictIdle(n int) {
	if n <= 0 {
		return
	}
	type idler struct {
		c   *conn
		age uint32
	}
	var all []idler
	now := clock.Now()
	for _, l := range f.allListeners() {
		l.each(func(c *conn) {
			if age, waits := c.Waits(now); waits && age >= evictAfter {
				all = append(all, idler{c, age})
			}
		})
	}
	slices.SortFunc(all, func(a, b idler) int { return cmp.Compare(b.age, a.age) })
	for _, i := range all[:min(n, len(all))] {
		i.c.Evict()
	}
}

// allListeners returns all listeners, including those that drain.
func (f *Front) allListeners() []*Listener {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := append([]*Listener(nil), f.leaving...)
	for _, l := range f.listeners {
		all = append(all, l)
	}
	return all
}
