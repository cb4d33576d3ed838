// Package budget bounds what retries and hedges add to the requests of a pool.
package budget

import "sync"

// Budget bounds what retries and hedges add to a pool's requests: within any ten seconds at most a percentage
// of the requests of these seconds, but three in any case, so that a pool with little traffic has some too.
// It outlives reloads.
type Budget struct {
	mu    sync.Mutex     // guards what follows; only attempts beyond the first take it
	slot  int64          // the second that is being filled, of the clock
	spent [window]int64  // what was taken, by second modulo the window
	begin [window]uint64 // requests there had been when the second began
	sum   int64          // of spent
}

const (
	window = 10 // seconds
	least  = 3  // attempts in a window that are always allowed
)

// TrySpend takes one attempt out of the budget; false: nothing is left. now is in clock nanoseconds,
// requests are all there have been so far.
func (b *Budget) TrySpend(now int64, requests uint64, percent float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now, requests)
	if b.sum >= b.allowed(requests, percent) {
		return false
	}
	b.spent[b.slot%window]++
	b.sum++
	return true
}

// Tick notes how many requests there have been; it is called about every second or more often.
func (b *Budget) Tick(now int64, requests uint64) {
	b.mu.Lock()
	b.turn(now, requests)
	b.mu.Unlock()
}

// Left returns how many more attempts may be added now.
func (b *Budget) Left(now int64, requests uint64, percent float64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now, requests)
	return max(b.allowed(requests, percent)-b.sum, 0)
}

func (b *Budget) allowed(requests uint64, percent float64) int64 {
	since := requests - b.begin[(b.slot+1)%window] // the oldest second of the window
	return max(int64(float64(since)*percent/100), least)
}

// turn forgets the seconds that have left the window.
func (b *Budget) turn(now int64, requests uint64) {
	second := now / 1e9
	if second <= b.slot {
		return
	}
	if second-b.slot >= window {
		b.slot = second - window
	}
	for b.slot < second {
		b.slot++
		i := b.slot % window
		b.sum -= b.spent[i]
		b.spent[i], b.begin[i] = 0, requests
	}
}
