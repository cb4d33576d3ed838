package lanes

import (
	"sync/atomic"
	"time"
)

// Sums are kept in units of 64 ns. In nanoseconds 100,000 streams open all the time
// would overflow a lane within two days; so it takes months.
const (
	sumShift = 6
	sumUnit  = 1 << sumShift
)

// Histogram counts durations in buckets. Nothing in it is locked.
type Histogram struct {
	bounds []time.Duration // upper bounds, inclusive, ascending
	slots  []atomic.Uint64 // lane after lane: a bucket a bound, one for the rest, the sum
	stride int             // slots from lane to lane, a multiple of rowSlots
}

// NewHistogram returns an empty histogram with these upper bounds, which must ascend;
// a bucket without bound follows the last. It keeps bounds: do not change it later.
// Up to 14 bounds weigh 128 bytes a lane.
func NewHistogram(bounds []time.Duration) *Histogram {
	for i := 1; i < len(bounds); i++ {
		if bounds[i] <= bounds[i-1] {
			panic("BUG: histogram bounds do not ascend")
		}
	}
	stride := (len(bounds) + 2 + rowSlots - 1) / rowSlots * rowSlots
	return &Histogram{bounds: bounds, stride: stride, slots: make([]atomic.Uint64, stride*count)}
}

// Observe counts one duration in the given lane; a negative one counts as 0.
func (h *Histogram) Observe(lane uint32, d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(h.bounds) && d > h.bounds[i] {
		i++
	}
	slots := h.lane(lane)
	slots[i].Add(1)
	slots[len(h.bounds)+1].Add((uint64(d) + sumUnit/2) >> sumShift)
}

func (h *Histogram) lane(lane uint32) []atomic.Uint64 {
	at := (int(lane) & (count - 1)) * h.stride
	return h.slots[at : at+h.stride]
}

// Bounds returns the upper bounds, not to be changed.
func (h *Histogram) Bounds() []time.Duration { return h.bounds }

// Snap is what a histogram held at one moment.
type Snap struct {
	Bounds  []time.Duration // upper bounds, inclusive; owned by the histogram
	Buckets []uint64        // cumulative: durations up to Bounds[i]; the last is Count
	Count   uint64          // durations seen
	Sum     float64         // of all durations, in seconds, each exact to 64 ns
}

// Snapshot adds up the lanes into s, whose slices it uses again. Buckets and Count
// agree with each other; Sum may be ahead or behind by what is observed meanwhile.
func (h *Histogram) Snapshot(s *Snap) {
	n := len(h.bounds) + 1
	s.Bounds = h.bounds
	if cap(s.Buckets) < n {
		s.Buckets = make([]uint64, n)
	}
	s.Buckets = s.Buckets[:n]
	clear(s.Buckets)
	s.Sum = 0
	for lane := range uint32(count) {
		slots := h.lane(lane)
		for i := range n {
			s.Buckets[i] += slots[i].Load()
		}
		s.Sum += float64(slots[n].Load()) * sumUnit / float64(time.Second)
	}
	for i := 1; i < n; i++ {
		s.Buckets[i] += s.Buckets[i-1]
	}
	s.Count = s.Buckets[n-1]
}
