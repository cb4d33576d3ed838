package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations at three digits: each power of two is cut into 1024 steps, and below 2048 ns
// every nanosecond has its own. The zero value is ready.
type Histogram struct {
	counts [27 * 1024]uint64
	n      uint64
	max    int64
}

func step(ns int64) int {
	if ns < 2048 {
		return int(max(ns, 0))
	}
	shift := bits.Len64(uint64(ns)) - 11
	return shift<<10 + int(ns>>shift)
}

// top is the highest duration that is counted in step i.
func top(i int) int64 {
	if i < 2048 {
		return int64(i)
	}
	shift := i>>10 - 1
	return (int64(i-shift<<10)+1)<<shift - 1
}

// Add counts a duration. What is longer than a minute counts as a minute.
func (h *Histogram) Add(d time.Duration) {
	ns := max(int64(d), 0)
	h.max = max(h.max, ns)
	h.counts[min(step(ns), len(h.counts)-1)]++
	h.n++
}

// Max gives the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Quantile gives the duration that the share q of all does not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	want := uint64(q * float64(h.n))
	if float64(want) < q*float64(h.n) || want == 0 {
		want++
	}
	var sum uint64
	for i, c := range h.counts {
		if sum += c; sum >= want && i < len(h.counts)-1 {
			return time.Duration(min(top(i), h.max))
		}
	}
	return time.Duration(h.max)
}

// Reset forgets everything.
func (h *Histogram) Reset() { *h = Histogram{} }
