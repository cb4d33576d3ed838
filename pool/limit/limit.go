// Package limit bounds how many requests a pool serves at once, with a queue for those beyond it, and finds
// the bound by itself where that is configured; and it refuses requests by how many the upstream refuses.
// README.md helps to choose the settings.
package limit

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

// Class is how important a request is; the numbers are those of edge.Class.
type Class uint8

// The classes.
const (
	ClassDefault Class = iota
	ClassCritical
	ClassSheddable
	classes
)

// rank orders the classes: the lower the more important.
func (c Class) rank() int { return [classes]int{1, 0, 2}[c] }

// Config is [pool.NAME.concurrency].
type Config struct {
	// A fixed limit, or where an adaptive one begins (32).
	Limit    int  `toml:"limit" default:"0" min:"0" max:"1000000"`
	Adaptive bool `toml:"adaptive" default:"false"`                  // true: the limit follows the latency
	Min      int  `toml:"min" default:"8" min:"1" max:"1000000"`     // of an adaptive limit
	Max      int  `toml:"max" default:"1000" min:"1" max:"1000000"`  // of an adaptive limit
	Queue    int  `toml:"queue" default:"256" min:"0" max:"1000000"` // requests that may wait
	// How long one waits.
	QueueTimeout time.Duration `toml:"queue_timeout" default:"1s" min:"1ms" max:"5m"`
	// When one has waited longer, newcomers are refused.
	QueueTarget time.Duration `toml:"queue_target" default:"100ms" min:"1ms" max:"5m"`
}

// Validate records what does not fit together.
func (c *Config) Validate(t *config.Table) {
	switch {
	case !c.Adaptive && c.Limit == 0:
		t.Errorf("limit", "needs a limit, or adaptive = true")
	case c.Adaptive && c.Min > c.Max:
		t.Errorf("min", "must not be larger than max")
	case c.Adaptive && c.Limit > 0 && (c.Limit < c.Min || c.Limit > c.Max):
		t.Errorf("limit", "where an adaptive limit begins must lie between min and max")
	}
}

// start returns the limit to begin with.
func (c *Config) start() int {
	if c.Adaptive && c.Limit == 0 {
		return min(max(32, c.Min), c.Max)
	}
	return c.Limit
}

// Limiter gives out places. It outlives reloads. A place that is free and nobody waits for is taken and
// given back without a lock. Any number of goroutines may use it.
type Limiter struct {
	conf     atomic.Pointer[Config]
	_        [64]byte
	inFlight atomic.Int64
	limit    atomic.Int64
	waiting  atomic.Int64 // length of the queues, to be read without the lock
	_        [64]byte
	shed     atomic.Uint64
	left     atomic.Uint64 // of shed, those whose client has gone

	mu     sync.Mutex // guards what follows
	queues [classes]queue
	swept  int64 // when clients that have gone were looked for, clock nanoseconds
	grad   gradient
}

// New returns a limiter.
func New(c *Config) *Limiter {
	l := &Limiter{}
	l.conf.Store(c)
	l.limit.Store(int64(c.start()))
	return l
}

// Configure changes the settings. An adaptive limit stays where it is as far as it may; one that becomes
// adaptive begins anew. Waiters stay, even if fewer may wait now.
func (l *Limiter) Configure(c *Config) {
	l.mu.Lock()
	was := l.conf.Swap(c)
	now := int64(c.start())
	if c.Adaptive && was.Adaptive {
		now = min(max(l.limit.Load(), int64(c.Min)), int64(c.Max))
	} else {
		l.grad = gradient{}
	}
	l.limit.Store(now)
	l.mu.Unlock()
	l.kick()
}

// TryAcquire takes a place if one is free and nobody waits.
func (l *Limiter) TryAcquire() bool { return l.waiting.Load() == 0 && l.place() }

// place takes a place if one is free.
func (l *Limiter) place() bool {
	for {
		n := l.inFlight.Load()
		if n >= l.limit.Load() {
			return false
		}
		if l.inFlight.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives a place back.
func (l *Limiter) Release() {
	l.inFlight.Add(-1)
	if l.waiting.Load() > 0 { // after the line above: a new waiter announces itself before it looks for a place
		l.kick()
	}
}

// kick gives free places to waiters.
func (l *Limiter) kick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.waiting.Load() > 0 && l.place() {
		w := l.pop()
		if w.gone() {
			l.inFlight.Add(-1)
			l.leaves(w)
			continue
		}
		w.done <- Admitted // has room for one
	}
}

// leaves wakes w, which is in no queue any more, because its client has gone. l.mu is held.
func (l *Limiter) leaves(w *waiter) {
	l.shed.Add(1)
	l.left.Add(1)
	w.done <- Gone // has room for one
}

// sweep takes out those whose client has gone, before another is refused on their account; not more often
// than every few milliseconds. l.mu is held.
func (l *Limiter) sweep(now int64) bool {
	if now-l.swept < int64(sweepEach) {
		return false
	}
	l.swept = now
	before := l.waiting.Load()
	for c := range l.queues {
		for w := l.queues[c].first; w != nil; {
			next := w.next
			if w.gone() {
				l.remove(w)
				l.leaves(w)
			}
			w = next
		}
	}
	return l.waiting.Load() < before
}

const sweepEach = 5 * time.Millisecond

// Verdict is what becomes of a request.
type Verdict uint8

// The verdicts.
const (
	Admitted Verdict = iota // it has a place
	MayWait                 // Wait would queue it
	Shed                    // it is refused
	TimedOut                // it waited in vain
	Gone                    // its client has left
)

// Admit returns what Wait would do first with a request that found no place: MayWait or Shed. now is in
// clock nanoseconds.
func (l *Limiter) Admit(now int64, class Class) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mayJoin(now, class) {
		l.shed.Add(1)
		return Shed
	}
	return MayWait
}

// mayJoin is hasRoom, for which clients that have gone do not count. l.mu is held.
func (l *Limiter) mayJoin(now int64, class Class) bool {
	return l.hasRoom(now, class) || l.sweep(now) && l.hasRoom(now, class)
}

// hasRoom reports whether a request may join the queue, if need be in place of a less important one. l.mu is
// held.
func (l *Limiter) hasRoom(now int64, class Class) bool {
	c := l.conf.Load()
	if l.isOld(now-int64(c.QueueTarget), class) {
		return false
	}
	room := c.Queue
	if class == ClassSheddable {
		room /= 2
	}
	return int(l.waiting.Load()) < room || room > 0 && l.lesser(class) != nil
}

// isOld reports whether somebody at least as important has waited since before a moment. l.mu is held.
func (l *Limiter) isOld(before int64, class Class) bool {
	for c := range classes {
		if c.rank() <= class.rank() && l.queues[c].first != nil && l.queues[c].first.since < before {
			return true
		}
	}
	return false
}

// lesser returns the newest of the least important that wait, if it is less important than class. l.mu is
// held.
func (l *Limiter) lesser(class Class) *waiter {
	for _, c := range [...]Class{ClassSheddable, ClassDefault} {
		if w := l.queues[c].last; w != nil && c.rank() > class.rank() {
			return w
		}
	}
	return nil
}

// Wait queues the caller until a place is free: Admitted, and the place is its own. now and until are in
// clock nanoseconds. gone is asked ten times a second, and by any goroutine before a place is given.
// Important ones go first, and those of a class in the order in which they came.
func (l *Limiter) Wait(now int64, class Class, until int64, gone func() bool) Verdict {
	w := l.enter(now, class, gone)
	if w == nil {
		return Shed
	}
	l.kick() // a place may have become free in between
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for passed := int64(0); ; {
		wait := min(until-now-passed, int64(100*time.Millisecond))
		timer.Reset(time.Duration(max(wait, 0)))
		select {
		case v := <-w.done:
			return v
		case <-timer.C:
		}
		passed += wait
		v := TimedOut
		if gone() {
			v = Gone
		} else if now+passed < until {
			continue
		}
		return l.leave(w, v)
	}
}

// enter puts a waiter into its queue, if need be in place of another; nil: there is no room.
func (l *Limiter) enter(now int64, class Class, gone func() bool) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mayJoin(now, class) {
		l.shed.Add(1)
		return nil
	}
	if int(l.waiting.Load()) >= l.conf.Load().Queue {
		out := l.lesser(class)
		l.remove(out)
		l.shed.Add(1)
		out.done <- Shed
	}
	w := &waiter{done: make(chan Verdict, 1), class: class, since: now, gone: gone}
	l.queues[class].push(w)
	l.waiting.Add(1)
	return w
}

// leave ends a wait in vain, unless it has ended otherwise at this moment.
func (l *Limiter) leave(w *waiter, v Verdict) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case v = <-w.done:
		return v
	default:
	}
	l.remove(w)
	l.shed.Add(1)
	if v == Gone {
		l.left.Add(1)
	}
	return v
}

// pop takes out the next waiter. l.mu is held, and there is one.
func (l *Limiter) pop() *waiter {
	for _, c := range [...]Class{ClassCritical, ClassDefault, ClassSheddable} {
		if w := l.queues[c].first; w != nil {
			l.remove(w)
			return w
		}
	}
	panic("BUG: the queues are empty, and somebody waits")
}

func (l *Limiter) remove(w *waiter) {
	l.queues[w.class].remove(w)
	l.waiting.Add(-1)
}

// Limit returns how many places there are at the moment.
func (l *Limiter) Limit() int { return int(l.limit.Load()) }

// InFlight returns how many places are taken.
func (l *Limiter) InFlight() int { return int(l.inFlight.Load()) }

// Waiting returns how many requests wait.
func (l *Limiter) Waiting() int { return int(l.waiting.Load()) }

// Snapshot is a limiter as /status shows it.
type Snapshot struct {
	Limit      int     `json:"limit"`
	Adaptive   bool    `json:"adaptive"`
	InFlight   int     `json:"in_flight"`
	Waiting    int     `json:"waiting"`
	OldestWait float64 `json:"oldest_wait_seconds"`
	Shed       uint64  `json:"shed_total"`                    // refused, too late, or gone
	Left       uint64  `json:"left_total"`                    // of these, requests whose client has gone
	MinLatency float64 `json:"min_latency_seconds,omitempty"` // what an adaptive limit goes by
	Gradient   float64 `json:"gradient,omitempty"`
}

// Snapshot returns what there is to know at the moment.
func (l *Limiter) Snapshot(now int64) Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Snapshot{
		Limit:    l.Limit(),
		Adaptive: l.conf.Load().Adaptive,
		InFlight: l.InFlight(),
		Waiting:  l.Waiting(),
		Shed:     l.shed.Load(),
		Left:     l.left.Load(),
	}
	for i := range l.queues {
		if w := l.queues[i].first; w != nil {
			s.OldestWait = max(s.OldestWait, time.Duration(now-w.since).Seconds())
		}
	}
	if s.Adaptive {
		s.MinLatency, s.Gradient = l.grad.best/1e9, l.grad.last
	}
	return s
}
