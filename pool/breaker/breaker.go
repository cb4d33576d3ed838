// Package breaker is a circuit breaker: it watches how calls end, refuses them for a while when too many
// fail or are slow, lets a few probes find out whether it is over, and then lets the others come back bit
// by bit.
//
// It takes no lock on the way of a call, only for a probe and to change the state, and is passed the time,
// in nanoseconds of a monotonic clock.
package breaker

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/chance"
)

// State is what a breaker does with calls.
type State uint32

// The states.
const (
	Closed     State = iota // all calls pass
	Open                    // none does
	HalfOpen                // a few probes do
	Recovering              // a share does that grows
)

var stateNames = [...]string{"closed", "open", "half_open", "recovering"}

// String returns the name as /status and the log show it.
func (s State) String() string { return stateNames[s] }

// Gauge returns the number as metrics show it: 0 closed, 1 half open, 2 recovering, 3 open.
func (s State) Gauge() float64 {
	return [...]float64{Closed: 0, HalfOpen: 1, Recovering: 2, Open: 3}[s]
}

// Permit is what Admit gave. All but Refused are given back, once, by Done or Cancel.
type Permit uint64

// Refused: the call must not be made.
const Refused Permit = 0

// What a permit is made of, from the lowest bit on.
const (
	permitCall  Permit = 1
	permitProbe Permit = 2
	roundShift         = 2  // 8 bits: a probe's round
	termShift          = 10 // above it: the breaker's term, so that late results are known
)

// Breaker is one circuit breaker.
type Breaker struct {
	conf     atomic.Pointer[Config]
	onChange func(from, to State, why string)

	// word is the state and the term, a number that each change makes one higher.
	word  atomic.Uint64
	since atomic.Int64 // when the state began
	until atomic.Int64 // when an open breaker may be tried
	full  atomic.Int64 // until when a half-open one has no place for a probe, if none comes back
	_     [16]byte     // calls write what follows, and all of them read what is above

	run    atomic.Int64  // failures in a row
	times  atomic.Uint64 // how often it opened
	_      [48]byte
	counts window

	mu     sync.Mutex // held to change the state, and for a probe; guards what follows
	trial  trial
	opened int // how often it opened since it was last closed
	why    string
}

// New returns a closed breaker. onChange is called for each change, by one caller at a time, and may be nil.
// It must not call the breaker.
func New(c *Config, onChange func(from, to State, why string)) *Breaker {
	b := &Breaker{onChange: onChange}
	b.conf.Store(c)
	return b
}

// Configure changes the settings. The state stays, and so do the counts unless the window is another one.
func (b *Breaker) Configure(c *Config) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full.Store(0) // the next caller looks how many probes there may be now, and for how long
	if was := b.conf.Swap(c); was.Window != c.Window {
		b.counts.reset() // which tenth a bucket is of has another meaning now
	}
}

// State returns the state.
func (b *Breaker) State() State { return State(b.word.Load() & 3) }

// Admit asks whether a call may be made now.
func (b *Breaker) Admit(now int64) Permit {
	word := b.word.Load()
	switch State(word & 3) {
	case Closed:
		return permit(word, permitCall)
	case Open:
		if now < b.until.Load() {
			return Refused
		}
		b.change(word, HalfOpen, now, "its time is over")
		return b.Admit(now)
	case Recovering:
		if b.recovered(word, now) {
			return b.Admit(now)
		}
		if b.lucky(now) {
			return permit(word, permitCall)
		}
		return Refused
	}
	return b.probe(word, now)
}

// permit is one of the term that word is of.
func permit(word uint64, kind Permit) Permit { return Permit(word>>2)<<termShift | kind }

// recovered closes a breaker whose recovery is over.
func (b *Breaker) recovered(word uint64, now int64) bool {
	return now-b.since.Load() >= int64(b.conf.Load().Recovery) && b.change(word, Closed, now, "it has recovered")
}

// lucky draws a call that a recovering breaker lets through: of a tenth of them at first, of all at the end.
func (b *Breaker) lucky(now int64) bool {
	whole := b.conf.Load().Recovery
	drawn, _ := bits.Mul64(chance.Uint64(), uint64(whole)) // of the numbers below whole, each as likely
	return drawn < uint64(max(int64(whole)/10, now-b.since.Load()))
}

// Done gives a permit back and records how the call ended. Results of calls that were let in before the last
// change of state say nothing.
func (b *Breaker) Done(now int64, p Permit, failed bool, took time.Duration) {
	word := b.word.Load()
	if uint64(p>>termShift) != word>>2 || p == Refused {
		return
	}
	c := b.conf.Load()
	slow := c.SlowCall > 0 && took >= c.SlowCall
	if p&permitProbe != 0 {
		b.probeDone(word, now, p, failed || slow && c.SlowPercent > 0)
		return
	}
	b.counts.add(now, int64(c.Window), failed, slow)
	if !failed {
		if b.run.Load() != 0 {
			b.run.Store(0)
		}
		if !slow {
			return
		}
	}
	run := int64(0)
	if failed {
		run = b.run.Add(1)
	}
	if why := b.tooBad(c, now, run); why != "" {
		b.change(word, Open, now, why)
	}
}

// tooBad returns why the breaker must open; empty: it need not.
func (b *Breaker) tooBad(c *Config, now, run int64) string {
	if c.ConsecutiveErrors > 0 && run >= int64(c.ConsecutiveErrors) {
		return fmt.Sprintf("%d errors in a row", run)
	}
	total, failed, slow := b.counts.sum(now, int64(c.Window))
	if total < uint64(c.MinRequests) {
		return ""
	}
	if p := 100 * float64(failed) / float64(total); c.ErrorPercent > 0 && p >= c.ErrorPercent {
		return fmt.Sprintf("%.0f %% of %d requests failed", p, total)
	}
	if p := 100 * float64(slow) / float64(total); c.SlowPercent > 0 && p >= c.SlowPercent {
		return fmt.Sprintf("%.0f %% of %d requests took longer than %v", p, total, c.SlowCall)
	}
	return ""
}

// Cancel gives a permit back that says nothing: the client has left.
func (b *Breaker) Cancel(p Permit) {
	if p&permitProbe != 0 {
		b.mu.Lock()
		b.leave(p)
		b.mu.Unlock()
	}
}

// Trial lets probes in at once if the breaker is open: the target has been seen to be back.
func (b *Breaker) Trial(now int64) {
	if word := b.word.Load(); State(word&3) == Open {
		b.change(word, HalfOpen, now, "a target is back")
	}
}

// change sets the state, unless it has changed since word was read.
func (b *Breaker) change(word uint64, to State, now int64, why string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.word.Load() != word {
		return false
	}
	b.become(to, now, why)
	return true
}

// become makes the state what it is to be. The caller holds mu.
func (b *Breaker) become(to State, now int64, why string) {
	word := b.word.Load()
	switch to {
	case Open:
		b.opened++
		b.until.Store(now + b.conf.Load().openFor(b.opened))
		b.times.Add(1)
	case Closed:
		b.opened = 0
	}
	b.trial = trial{}
	b.full.Store(0)
	b.run.Store(0)
	b.counts.reset()
	b.since.Store(now)
	b.why = why
	b.word.Store((word>>2+1)<<2 | uint64(to))
	if b.onChange != nil {
		b.onChange(State(word&3), to, why)
	}
}

// openFor returns for how many nanoseconds a breaker stays open that opened n times: twice as long each time.
func (c *Config) openFor(n int) int64 {
	wait, most := c.OpenFor, max(c.OpenFor, c.MaxOpenFor)
	for ; n > 1 && wait < most; n-- {
		wait = min(2*wait, most)
	}
	return int64(wait)
}
