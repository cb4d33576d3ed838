// Package queue lets requests wait, in the order in which they came, for whatever of several places becomes
// free first. It knows nothing of places but whether a waiter wants one; README.md has how it is used.
package queue

import (
	"sync"
	"sync/atomic"
	"time"
)

// Verdict is how a wait has ended.
type Verdict uint8

// The verdicts.
const (
	Served   Verdict = iota // the waiter has the place
	Full                    // enough others wait
	TimedOut                // it waited in vain
	Left                    // its client has gone
	Hopeless                // nothing is left that could serve it
	Verdicts                // how many there are
)

var names = [Verdicts]string{"served", "full", "timeout", "client", "no_target"}

// String returns the verdict as metrics call it.
func (v Verdict) String() string { return names[v] }

// Outcome is a verdict, and the place when it is Served.
type Outcome[P any] struct {
	Verdict Verdict
	Place   P
}

// Client is a waiter. Both methods are called by any goroutine while the queue is locked: they must not
// wait, and not call the queue.
type Client[P any] interface {
	// Wants reports whether p would serve it.
	Wants(p P) bool
	// Gone reports whether the place is not needed any more.
	Gone() bool
}

// Waiter is one place in the queue. It may be used again when its wait has ended and been heard of. The zero
// value is ready.
type Waiter[P any] struct {
	client Client[P]
	until  int64           // clock nanoseconds
	number uint64          // in the order of coming
	in     bool            // in the queue
	stays  bool            // has been let stay
	ended  chan Outcome[P] // gets one when another goroutine ends the wait

	prev, next *Waiter[P]
}

// Queue is the waiters, the one that came first at the front. The zero value is ready; any number of
// goroutines may use it.
//
// No wake-up is lost as long as both sides keep an order: a waiter joins, and then looks for a free place;
// whoever frees a place makes it visible, and then looks for waiters (Len, Joins).
type Queue[P any] struct {
	waiting atomic.Int64  // length, to be read without the lock
	joins   atomic.Uint64 // how often a waiter has joined or come back

	mu          sync.Mutex // guards what follows, and all waiters
	first, last *Waiter[P]
	staying     int // waiters that have been let stay
	numbers     uint64
	swept       int64 // when those that have gone were looked for, clock nanoseconds
}

// Len returns how many wait.
func (q *Queue[P]) Len() int { return int(q.waiting.Load()) }

// Joins returns a number that changes whenever a waiter joins.
func (q *Queue[P]) Joins() uint64 { return q.joins.Load() }

// Join puts w at the end of the queue for c, until a moment in clock nanoseconds. It may be served from here
// on; whether it may stay if it is not, Stay tells.
func (q *Queue[P]) Join(w *Waiter[P], c Client[P], until int64) {
	if w.ended == nil {
		w.ended = make(chan Outcome[P], 1)
	}
	w.client, w.until, w.stays = c, until, false
	q.mu.Lock()
	q.numbers++
	w.number = q.numbers
	q.insert(w, q.last)
	q.mu.Unlock()
}

// Back puts w, whose wait has ended with a place that was of no use after all, where it stood before.
func (q *Queue[P]) Back(w *Waiter[P]) {
	q.mu.Lock()
	behind := q.last
	for behind != nil && behind.number > w.number {
		behind = behind.prev
	}
	q.insert(w, behind)
	q.mu.Unlock()
}

// insert puts w behind another; nil: at the front. q.mu is held.
func (q *Queue[P]) insert(w, behind *Waiter[P]) {
	w.in = true
	if w.stays {
		q.staying++
	}
	w.prev = behind
	if behind == nil {
		w.next, q.first = q.first, w
	} else {
		w.next, behind.next = behind.next, w
	}
	if w.next == nil {
		q.last = w
	} else {
		w.next.prev = w
	}
	q.waiting.Add(1)
	q.joins.Add(1)
}

// remove takes w out. q.mu is held.
func (q *Queue[P]) remove(w *Waiter[P]) {
	w.in = false
	if w.stays {
		q.staying--
	}
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	q.waiting.Add(-1)
}

// Stay lets w, which has found nothing free, wait with at most so many in all. false: they are there already,
// and w is out. It returns true when the wait has ended meanwhile; Ended has its outcome. now is in clock
// nanoseconds.
func (q *Queue[P]) Stay(w *Waiter[P], most int, now int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !w.in || w.stays {
		return true
	}
	if q.staying >= most && now-q.swept >= int64(sweepEach) {
		q.sweep(now)
	}
	if !w.in {
		return true // its own client has gone
	}
	if q.staying >= most {
		q.remove(w)
		return false
	}
	w.stays = true
	q.staying++
	return true
}

// Sweep ends the waits of those that have gone, or are too late. now is in clock nanoseconds.
func (q *Queue[P]) Sweep(now int64) {
	q.mu.Lock()
	q.sweep(now)
	q.mu.Unlock()
}

// sweepEach is how often a full queue is looked through for those that have gone.
const sweepEach = 5 * time.Millisecond

// sweep is Sweep while q.mu is held.
func (q *Queue[P]) sweep(now int64) {
	q.swept = now
	for w := q.first; w != nil; {
		next := w.next
		q.over(w, now)
		w = next
	}
}

// over ends the wait of w if it needs no place any more. q.mu is held.
func (q *Queue[P]) over(w *Waiter[P], now int64) bool {
	v := Left
	switch {
	case w.client.Gone():
	case now >= w.until:
		v = TimedOut
	default:
		return false
	}
	q.end(w, Outcome[P]{Verdict: v})
	return true
}

// end takes w out and tells it why. q.mu is held.
func (q *Queue[P]) end(w *Waiter[P], o Outcome[P]) {
	q.remove(w)
	w.ended <- o // has room for one
}

// Offer gives p to the one that has waited longest of those that want it; false: there is none. Those before
// it that have gone, or whose time is over, are out. now is in clock nanoseconds.
func (q *Queue[P]) Offer(now int64, p P) bool {
	if q.Len() == 0 {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := q.first; w != nil; {
		next := w.next
		if !q.over(w, now) && w.client.Wants(p) {
			q.end(w, Outcome[P]{Served, p})
			return true
		}
		w = next
	}
	return false
}

// Ended is where the outcome comes from when another goroutine ends the wait.
func (w *Waiter[P]) Ended() <-chan Outcome[P] { return w.ended }

// Leave ends the wait of w with v, unless it has ended already, and returns how it ended.
func (q *Queue[P]) Leave(w *Waiter[P], v Verdict) Outcome[P] {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !w.in {
		return <-w.ended // it was sent before w was out
	}
	q.remove(w)
	return Outcome[P]{Verdict: v}
}

// Dismiss ends all waits with v.
func (q *Queue[P]) Dismiss(v Verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.first != nil {
		q.end(q.first, Outcome[P]{Verdict: v})
	}
}

// Count returns how many of those that wait want p.
func (q *Queue[P]) Count(p P) (n int) {
	if q.Len() == 0 {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := q.first; w != nil; w = w.next {
		if w.client.Wants(p) {
			n++
		}
	}
	return n
}
