package pool

import "sync"

// budget bounds what retries and hedges add to a pool's requests: within any ten seconds at most a percentage
// of the requests of these seconds, but three in any case, so that a pool with little traffic has some too.
// It outlives reloads.
type budget struct {
	mu    sync.Mutex           // guards what follows; only attempts beyond the first take it
	slot  int64                // the second that is being filled, of the clock
	spent [budgetWindow]int64  // what was taken, by second modulo the window
	begin [budgetWindow]uint64 // requests there had been when the second began
	sum   int64                // of spent
}

const (
	budgetWindow = 10 // seconds
	budgetLeast  = 3  // attempts in a window that are always allowed
)

// take takes one attempt out of the budget; false: nothing is left. now is in clock nanoseconds, requests are
// all there have been so far.
func (b *budget) take(now int64, requests uint64, percent float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now, requests)
	if b.sum >= b.allowed(requests, percent) {
		return false
	}
	b.spent[b.slot%budgetWindow]++
	b.sum++
	return true
}

// tick notes how many requests there have been; it is called about every second or more often.
func (b *budget) tick(now int64, requests uint64) {
	b.mu.Lock()
	b.turn(now, requests)
	b.mu.Unlock()
}

// left returns how many more attempts may be added now.
func (b *budget) left(now int64, requests uint64, percent float64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now, requests)
	return max(b.allowed(requests, percent)-b.sum, 0)
}

func (b *budget) allowed(requests uint64, percent float64) int64 {
	since := requests - b.begin[(b.slot+1)%budgetWindow] // the oldest second of the window
	return max(int64(float64(since)*percent/100), budgetLeast)
}

// turn forgets the seconds that have left the window.
func (b *budget) turn(now int64, requests uint64) {
	second := now / 1e9
	if second <= b.slot {
		return
	}
	if second-b.slot >= budgetWindow {
		b.slot = second - budgetWindow
	}
	for b.slot < second {
		b.slot++
		i := b.slot % budgetWindow
		b.sum -= b.spent[i]
		b.spent[i], b.begin[i] = 0, requests
	}
}
