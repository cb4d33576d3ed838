package bucket

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Window counts what a key has spent in this window and in the one before, and takes it that the latter was
// spent evenly: so much of it as still lies within the last Per counts. In no window of the clock more than
// the limit is admitted of a key. Between windows it may be more when the one before was spent unevenly,
// never twice as much.
type Window struct {
	t    *table
	rule atomic.Pointer[windowRule]
	mu   sync.Mutex // held to change rule
}

type windowRule struct {
	limit int64
	per   int64  // nanoseconds
	from  int64  // clock nanoseconds when a window began
	base  uint64 // the number of that window
}

// A state is the number of its window modulo 2^20, and two counts.
const (
	countBits = 22
	countMost = 1<<countBits - 1
	indexMask = 1<<20 - 1
)

// MostWindow is the largest limit of a window.
const MostWindow = countMost - 1

// NewWindow returns a limiter of limit events in each per, at most MostWindow, for as many keys at once.
// Exact compares keys as a whole.
func NewWindow(maxKeys int, exact bool, limit int64, per time.Duration) *Window {
	each := 1
	if exact {
		each = 2
	}
	w := &Window{t: newTable(maxKeys, false, each)}
	// Windows are counted from 1, so that no state is 0.
	w.rule.Store(&windowRule{limit: min(limit, MostWindow), per: int64(per), base: 1})
	return w
}

// SetRate changes limit and window at once. With another window the counts so far are those of windows of the
// new length, the first of which begins now. What is spent stays spent, but no more of it than the new limit.
// now is in clock nanoseconds, as in all that follows.
func (w *Window) SetRate(now, limit int64, per time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.rule.Load()
	next := *old
	next.limit, next.per = min(limit, MostWindow), int64(per)
	if next == *old {
		return
	}
	v := w.view(now)
	if next.per != old.per {
		next.from, next.base = max(now, old.from), v.index
	}
	w.rule.Store(&next)
	if next.per != old.per {
		for i := range w.t.words {
			w.t.bound(int64(i), v.fold)
		}
	}
	bound(w.t, w.view(now))
}

// fold makes what counts of the window before a part of this one's.
func (v view) fold(state uint64) uint64 {
	if behind := (v.index - state>>(2*countBits)) & indexMask; behind > 1 {
		return state // of nothing that counts, or changed already under the new rule
	}
	before, current := v.counts(state)
	if before == 0 {
		return state
	}
	spent := int64(math.Ceil(v.spent(before, current)))
	return v.index<<(2*countBits) | uint64(min(spent, countMost-1))
}

// view is a rule at one moment: the meter of one call.
type view struct {
	*windowRule
	index  uint64
	passed float64 // of the window, 0 to 1
}

func (w *Window) view(now int64) view {
	r := w.rule.Load()
	since := max(now-r.from, 0)
	return view{r, (r.base + uint64(since/r.per)) & indexMask, float64(since%r.per) / float64(r.per)}
}

// counts returns what a state says of this window and the one before.
func (v view) counts(state uint64) (before, current int64) {
	index := state >> (2 * countBits)
	one, two := int64(state>>countBits&countMost), int64(state&countMost)
	switch {
	case state == 0:
	case index == v.index:
		return one, two
	case (index+1)&indexMask == v.index:
		return two, 0
	case (index-v.index)&indexMask == 1: // another core's clock reading was a moment ahead
		return two, two
	}
	return 0, 0
}

func (v view) spent(before, current int64) float64 {
	return float64(before)*(1-v.passed) + float64(current)
}

func (v view) add(state uint64, amount int64, force bool) (uint64, bool) {
	before, current := v.counts(state)
	if !force && v.spent(before, current)+float64(amount) > float64(v.limit) {
		return state, false
	}
	current = min(max(current+amount, 0), countMost-1)
	if state>>(2*countBits) == (v.index+1)&indexMask && state != 0 {
		return state>>countBits<<countBits | uint64(current), true // it stays in its window
	}
	if before == 0 && current == 0 {
		return 0, true
	}
	return v.index<<(2*countBits) | uint64(before)<<countBits | uint64(current), true
}

func (v view) bound(state uint64) uint64 {
	index, before, current := state>>(2*countBits), int64(state>>countBits&countMost), int64(state&countMost)
	return index<<(2*countBits) | uint64(min(before, v.limit))<<countBits | uint64(min(current, v.limit))
}

func (v view) rank(state uint64) uint64 {
	before, current := v.counts(state)
	return uint64(math.Ceil(v.spent(before, current)))
}

// result returns what may still be spent in a state.
func (v view) result(state uint64, cost int64, ok bool) Result {
	before, current := v.counts(state)
	left := float64(v.limit) - v.spent(before, current)
	r := Result{OK: ok, Remaining: int64(math.Floor(left)), Reset: v.until(0, before, current)}
	if !ok {
		r.Retry = -1
		if cost <= v.limit {
			r.Retry = v.until(float64(v.limit-cost), before, current)
		}
	}
	return r
}

// until returns how long it takes until no more than so much counts.
func (v view) until(most float64, before, current int64) time.Duration {
	rest := 1 - v.passed
	windows := 0.0
	switch {
	case v.spent(before, current) <= most:
	case float64(current) <= most: // in this window, as the one before fades
		windows = rest - (most-float64(current))/float64(before)
	default: // in the next one, as this one fades
		windows = rest + 1 - most/float64(current)
	}
	return time.Duration(math.Ceil(windows * float64(v.per)))
}

// Peek returns what TryCharge would, and charges nothing.
func (w *Window) Peek(k Key, now, cost int64) Result {
	v := w.view(now)
	p := w.t.place(k)
	state := uint64(0)
	if slot, word := w.t.find(&p, -1); slot >= 0 {
		state = word
	}
	_, ok := v.add(state, cost, false)
	return v.result(state, cost, ok)
}

// TryCharge charges the cost if the key has as much left.
func (w *Window) TryCharge(k Key, now, cost int64) Result {
	v := w.view(now)
	state, ok := change(w.t, v, k, cost, false)
	w.settle(v, k, now)
	return v.result(state, cost, ok)
}

// Charge charges the cost whatever is left, but no more than the limit; a negative one is given back.
func (w *Window) Charge(k Key, now, cost int64) {
	v := w.view(now)
	change(w.t, v, k, min(max(cost, -countMost), v.limit), true)
	w.settle(v, k, now)
}

// settle is called after a change: where SetRate has come in between it may not have seen it.
func (w *Window) settle(v view, k Key, now int64) {
	if w.rule.Load() != v.windowRule {
		boundKey(w.t, w.view(now), k)
	}
}

// Reset forgets what a key has spent, and reports whether that was anything.
func (w *Window) Reset(k Key, now int64) bool { return reset(w.t, w.view(now), k) }

// Keys returns of how many keys something is remembered. It looks at the whole table.
func (w *Window) Keys(now int64) int { return w.t.used(w.view(now).rank) }

// Evictions returns how often a key was forgotten to make room.
func (w *Window) Evictions() uint64 { return w.t.evictions.Load() }

// Bytes returns how much memory the table takes.
func (w *Window) Bytes() int64 { return w.t.bytes() }
