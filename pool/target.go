package pool

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
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

	state atomic.Uint32 // 0: may be chosen; computed by shared.settle
	ramp  atomic.Uint32 // slow start: the share of its picks that it takes, of 65536; 0: all
	// stayUntil is until when it serves clients that stick to it although it is drained, clock nanoseconds.
	stayUntil atomic.Int64
	own       *breaker.Breaker // of the target alone, for pools that want it
	conns     atomic.Int64     // connections open or being opened
	_         [128]byte        // every request writes what follows: neighbours would share its cache line
	// inFlight counts the requests being made.
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

	waiting atomic.Int64 // length of queue, to be read without the lock
	mu      sync.Mutex   // guards queue
	queue   []*waiter    // requests waiting for a connection, oldest first
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

// waiter is one request that waits for a connection of a target that has as many as it may.
type waiter struct {
	ch chan *conn // receives a connection, or nil: there is room, try again
}

var waiters = sync.Pool{New: func() any { return &waiter{ch: make(chan *conn, 1)} }}

func newTarget(address string, idle int) *Target {
	t := &Target{Address: address, name: newResolver(address)}
	t.idle = newIdleLists(idle, loops())
	return t
}

// acquire returns a connection for x: an idle one that is alive, a new one, or one that comes back in time.
func (t *Target) acquire(x *edge.Exchange, conf *Config) (*conn, *edge.Fault) {
	for until := int64(0); ; {
		if c := t.reuse(x); c != nil {
			return c, nil
		}
		if t.conns.Add(1) <= int64(conf.MaxConnections) {
			return t.open(x, conf)
		}
		t.conns.Add(-1)
		if until == 0 {
			until = clock.Now() + int64(conf.WaitTimeout)
		}
		c, f := t.wait(x, conf, until)
		if c != nil || f != nil {
			return c, f
		}
	}
}

// reuse returns an idle connection that is alive. When x must have a new one it only makes room for that.
func (t *Target) reuse(x *edge.Exchange) *conn {
	for {
		c := t.idle.pop(home(x))
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

// open dials; the caller has counted the connection.
func (t *Target) open(x *edge.Exchange, conf *Config) (*conn, *edge.Fault) {
	c, f := dial(x, t, conf)
	if f != nil {
		t.conns.Add(-1)
		t.wake(nil)
	}
	return c, f
}

// wait queues x until a connection or room for one is there; nil and no fault means: try again.
func (t *Target) wait(x *edge.Exchange, conf *Config, until int64) (*conn, *edge.Fault) {
	w := t.enter(conf.MaxWaiting)
	if w == nil {
		return nil, edge.PoolBusy
	}
	if t.idle.any() || t.conns.Load() < int64(conf.MaxConnections) {
		t.wake(nil) // one came back between the look and the queue
	}
	if x.Deadline > 0 {
		until = min(until, x.Deadline)
	}
	if x.TryDeadline > 0 {
		until = min(until, x.TryDeadline)
	}
	timer := time.NewTimer(time.Duration(until - clock.Now()))
	defer timer.Stop()
	select {
	case c := <-w.ch:
		waiters.Put(w)
		return t.granted(x, c)
	case <-timer.C:
	}
	if t.leave(w) {
		waiters.Put(w)
		return nil, edge.PoolWait
	}
	c := <-w.ch // it was granted just now
	waiters.Put(w)
	return t.granted(x, c)
}

// enter puts a waiter at the end of the queue; nil when it is full.
func (t *Target) enter(limit int) *waiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) >= limit {
		return nil
	}
	w := waiters.Get().(*waiter)
	t.queue = append(t.queue, w)
	t.waiting.Add(1)
	return w
}

func (t *Target) granted(x *edge.Exchange, c *conn) (*conn, *edge.Fault) {
	if c == nil {
		return nil, nil
	}
	if c.alive(x) {
		c.reused = true
		return c, nil
	}
	c.close()
	t.conns.Add(-1)
	return nil, nil
}

// leave takes w out of the queue; false: it has been granted already.
func (t *Target) leave(w *waiter) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, q := range t.queue {
		if q == w {
			t.queue = append(t.queue[:i], t.queue[i+1:]...)
			t.waiting.Add(-1)
			return true
		}
	}
	return false
}

// wake grants c, or room when c is nil, to the request that waits longest; false: nobody waits.
func (t *Target) wake(c *conn) bool {
	if t.waiting.Load() == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		return false
	}
	w := t.queue[0]
	t.queue = append(t.queue[:0], t.queue[1:]...)
	t.waiting.Add(-1)
	w.ch <- c // has room for one
	return true
}

// release takes a connection back, now in clock nanoseconds; keep tells that it may serve another request.
func (t *Target) release(c *conn, keep bool, now int64) {
	if keep && !t.gone.Load() {
		c.lastUsed.Store(now)
		if t.wake(c) {
			return
		}
		c.br.Release() // an idle connection holds no buffer
		if t.idle.push(c) {
			t.afterPush()
			return
		}
	}
	c.close()
	t.conns.Add(-1)
	t.wake(nil)
}

// afterPush looks at what may have changed while a connection was put back: somebody began to wait, or the
// target was dropped.
func (t *Target) afterPush() {
	if t.waiting.Load() > 0 {
		if c := t.idle.pop(0); c != nil && !t.wake(c) && !t.idle.push(c) {
			c.close()
			t.conns.Add(-1)
		}
	}
	if t.gone.Load() {
		t.closeIdle(0)
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
