package pool

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
	"github.com/penstock-edge/penstock/pool/balance"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/health"
	"github.com/penstock-edge/penstock/pool/outlier"
)

// Target is one upstream address with its connections and what is known of it. It outlives generations: a
// reload that keeps the target keeps all of it.
type Target struct {
	Address string // as configured
	name    resolver
	shared  *shared            // whose target it is
	proxy   proxyproto.Version // of the header that begins its connections

	state atomic.Uint32 // 0: may be chosen; computed by shared.settle
	ramp  atomic.Uint32 // slow start: the share of its picks that it takes, of 65536; 0: all
	// stayUntil is until when it serves clients that stick to it although it is drained, clock nanoseconds.
	stayUntil atomic.Int64
	own       *breaker.Breaker // of the target alone, for pools that want it
	conns     atomic.Int64     // connections open or being opened
	_         [128]byte        // every request writes what follows: neighbours would share its cache line
	// inFlight counts the requests being made: never more than conns.
	inFlight atomic.Int64
	pace     balance.Latency // how long its answers take
	streak   outlier.Streak  // errors in a row
	_        [128]byte
	idle     idleLists
	gone     atomic.Bool // no generation uses the target: connections are closed when they come back

	stumble  stumble
	ejection outlier.Ejection
	known    health.Knowledge

	// What follows is guarded by shared.mu.
	key      string // in shared.targets
	refs     int    // members that use it
	reasons  uint32 // not to choose it
	since    time.Time
	why      string // the last change
	warmFrom int64  // when its slow start began, clock nanoseconds; 0: it has none
	// drainFrom is when it ceased to take new clients, clock nanoseconds; 0: it takes them.
	drainFrom int64
}

// stumble is the last failed attempt, noted without allocating.
type stumble struct {
	at     atomic.Int64 // clock nanoseconds; 0: there was none
	fault  atomic.Pointer[edge.Fault]
	status atomic.Int32 // when fault is nil
}

// note keeps f, or the status of an answer when f is nil.
func (s *stumble) note(f *edge.Fault, status int) {
	s.fault.Store(f)
	s.status.Store(int32(status))
	s.at.Store(clock.Now())
}

// last returns when it was and what happened.
func (s *stumble) last() (at int64, what string) {
	if f := s.fault.Load(); f != nil {
		return s.at.Load(), f.Code
	}
	return s.at.Load(), "status " + strconv.Itoa(int(s.status.Load()))
}

func newTarget(s *shared, address string, idle int) *Target {
	t := &Target{Address: address, name: newResolver(address), shared: s}
	t.name.own = s.isOwn
	t.idle = newIdleLists(idle, loops())
	return t
}

// take claims a place for x: an idle connection that is alive, or, when c is nil, room for one, which the
// caller has to fill or give back. false: all are in use.
func (t *Target) take(x *edge.Exchange, most int) (c *conn, ok bool) {
	if c := t.reuse(x); c != nil {
		return c, true
	}
	return nil, t.reserve(most) || t.proxy != proxyproto.None && t.evict()
}

// takeAny is take for whoever wants the place; whether an idle connection is alive is not known yet.
func (t *Target) takeAny(most int) (c *conn, ok bool) {
	if t.inFlight.Load() >= int64(most) {
		return nil, false // none can be idle
	}
	if c := t.idle.pop(0); c != nil {
		return c, true
	}
	return nil, t.reserve(most)
}

// reserve counts a connection that is going to be opened; false: there are as many as there may be.
func (t *Target) reserve(most int) bool {
	for {
		n := t.conns.Load()
		if n >= int64(most) {
			return false
		}
		if t.conns.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// reuse returns an idle connection that is alive. When x must have a new one it only makes room for that.
func (t *Target) reuse(x *edge.Exchange) *conn {
	for {
		c := t.pop(x)
		if c == nil {
			return nil
		}
		if !x.Fresh && c.alive(x) {
			c.reused = true
			return c
		}
		c.close()
		t.conns.Add(-1)
		if x.Fresh {
			return nil
		}
	}
}

// freshen makes a connection that x has got after a wait ready for it: one that is dead, or that x must not
// have, becomes room for another.
func (t *Target) freshen(x *edge.Exchange, c *conn) *conn {
	if c == nil {
		return nil
	}
	if !x.Fresh && c.speaksFor(x) && c.alive(x) {
		c.reused = true
		return c
	}
	c.close()
	return nil
}

// open dials; the caller has reserved the connection.
func (t *Target) open(x *edge.Exchange, conf *Config) (*conn, *edge.Fault) {
	c, f := dial(x, t, conf)
	if f != nil {
		t.conns.Add(-1)
		t.shared.freed(t)
	}
	return c, f
}

// release takes a connection back, now in clock nanoseconds; keep tells that it may serve another request.
func (t *Target) release(c *conn, keep bool, now int64) {
	if keep && !t.gone.Load() {
		c.lastUsed.Store(now)
		if t.shared.queue.Len() > 0 && t.shared.offer(t, c) {
			return
		}
		t.rest(c)
	} else {
		c.close()
		t.conns.Add(-1)
	}
	t.shared.freed(t) // last: who begins to wait looks for a place after saying so
}

// rest keeps c, which is idle, for another request, as long as there is room.
func (t *Target) rest(c *conn) {
	c.br.Release() // an idle connection holds no buffer
	if !t.idle.push(c) {
		c.close()
		t.conns.Add(-1)
	}
	if t.gone.Load() { // it was dropped in between
		t.closeIdle(0)
	}
}

// putBack gives back what take has claimed. Who waits is not told.
func (t *Target) putBack(c *conn) {
	switch {
	case c == nil:
		t.conns.Add(-1)
	case t.gone.Load():
		c.close()
		t.conns.Add(-1)
	default:
		t.rest(c)
	}
}

// closeIdle closes connections that were last used before the given clock time; 0: all.
func (t *Target) closeIdle(before int64) {
	for i := range t.idle {
		for j := range t.idle[i].slots {
			slot := &t.idle[i].slots[j]
			c := slot.Load()
			if c == nil || (before > 0 && c.lastUsed.Load() > before) || !slot.CompareAndSwap(c, nil) {
				continue
			}
			c.close()
			t.conns.Add(-1)
		}
	}
}

// drop is called when no generation uses the target any more.
func (t *Target) drop() {
	t.gone.Store(true)
	t.closeIdle(0)
}

// idleLists are the idle connections of a target, a list for each loop: those that wait in the loop which
// serves the request are the cheapest to use.
type idleLists []idleSlots

func newIdleLists(room, lists int) idleLists {
	all := make(idleLists, lists)
	for i := range all {
		n := room / lists
		if i < room%lists {
			n++
		}
		all[i].slots = make([]atomic.Pointer[conn], n)
	}
	return all
}

// pop takes a connection, from the list at home if it has one.
func (all idleLists) pop(home int) *conn {
	for i := range all {
		if c := all[(home+i)%len(all)].pop(); c != nil {
			return c
		}
	}
	return nil
}

// popOf takes a connection that began with the header, likewise.
func (all idleLists) popOf(home int, header []byte) *conn {
	for i := range all {
		if c := all[(home+i)%len(all)].popOf(header); c != nil {
			return c
		}
	}
	return nil
}

// push keeps c, at home if there is room; false when there is none anywhere.
func (all idleLists) push(c *conn) bool {
	home := 0
	if c.socket != nil {
		home = c.socket.Loop().Index()
	}
	for i := range all {
		if all[(home+i)%len(all)].push(c) {
			return true
		}
	}
	return false
}

// any tells that an idle connection stood in a list a moment ago.
func (all idleLists) any() bool {
	for i := range all {
		if all[i].any() {
			return true
		}
	}
	return false
}

// home is the index of the loop that serves x.
func home(x *edge.Exchange) int {
	if x.Loop == nil {
		return 0
	}
	loop, _ := x.Loop.Loop()
	return loop.Index()
}

// idleSlots holds idle connections without a lock: a slot is taken by swapping it out, so a connection has
// one owner at any time. It is last in, first out as long as nobody interferes, and nearly so otherwise.
type idleSlots struct {
	slots []atomic.Pointer[conn]
	top   atomic.Int64 // where the last push or pop took place; a hint
	_     [128]byte    // another loop's list is written to by another core
}

func (s *idleSlots) pop() *conn {
	n := int64(len(s.slots))
	start := min(s.top.Load(), n-1)
	for i := start; i >= 0; i-- {
		if s.slots[i].Load() == nil {
			continue
		}
		if c := s.slots[i].Swap(nil); c != nil {
			s.top.Store(i)
			return c
		}
	}
	for i := start + 1; i < n; i++ {
		if s.slots[i].Load() == nil {
			continue
		}
		if c := s.slots[i].Swap(nil); c != nil {
			s.top.Store(i)
			return c
		}
	}
	return nil
}

// popOf takes a connection that began with the header. It looks at all there are.
func (s *idleSlots) popOf(header []byte) *conn {
	for i := range s.slots {
		slot := &s.slots[i]
		if c := slot.Load(); c != nil && c.header == string(header) && slot.CompareAndSwap(c, nil) {
			s.top.Store(int64(i))
			return c
		}
	}
	return nil
}

// push keeps c; false when all slots are taken.
func (s *idleSlots) push(c *conn) bool {
	n := int64(len(s.slots))
	start := min(s.top.Load(), n)
	for i := start; i < n; i++ {
		if s.slots[i].Load() == nil && s.slots[i].CompareAndSwap(nil, c) {
			s.top.Store(i)
			return true
		}
	}
	for i := start - 1; i >= 0; i-- {
		if s.slots[i].Load() == nil && s.slots[i].CompareAndSwap(nil, c) {
			s.top.Store(i)
			return true
		}
	}
	return false
}

// any tells that an idle connection stood in the slots a moment ago.
func (s *idleSlots) any() bool {
	for i := range s.slots {
		if s.slots[i].Load() != nil {
			return true
		}
	}
	return false
}
