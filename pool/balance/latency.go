package balance

import (
	"math"
	"sync/atomic"
	"time"
)

// Latency is a peak EWMA of how long a target's answers take: a longer time than the average is believed at
// once, a shorter one bit by bit. It is one word, changed without a lock; of two changes at once one may be
// lost. The zero value has seen nothing. Any number of goroutines may use it; their clocks may be a little
// apart.
type Latency struct {
	word atomic.Uint64 // average in nanoseconds as float32, and when it was renewed, in units of stampUnit
}

const (
	stampShift = 20 // a stamp counts milliseconds or so; it wraps after 52 days
	decayTime  = 10 * time.Second
	// seenNothing in place of the average: no answer has been seen.
	seenNothing = 0
)

func pack(average float32, now int64) uint64 {
	return uint64(math.Float32bits(average))<<32 | uint64(uint32(now>>stampShift))
}

func unpack(word uint64) (average float32, stamp uint32) {
	return math.Float32frombits(uint32(word >> 32)), uint32(word)
}

// Observe counts an answer that took d; now is in clock nanoseconds.
func (l *Latency) Observe(now int64, d time.Duration) {
	was := l.word.Load()
	average, stamp := unpack(was)
	sample := float32(max(d, 1))
	if sample < average {
		sample = average + (sample-average)*weightAfter(stamp, now)
	}
	l.word.CompareAndSwap(was, pack(sample, now))
}

// Fail counts an attempt that failed after d: as an answer that took at least as long as the average, so that
// failing fast never looks attractive.
func (l *Latency) Fail(now int64, d time.Duration) {
	was := l.word.Load()
	average, _ := unpack(was)
	if sample := float32(max(d, 1)); sample > average {
		average = sample
	}
	l.word.CompareAndSwap(was, pack(average, now))
}

// Decay lets an average sink that nobody renews, so that a target that was slow once is tried again. It is
// called some times a second.
func (l *Latency) Decay(now int64) {
	was := l.word.Load()
	average, stamp := unpack(was)
	if average <= 1 || age(stamp, now) < decayEvery {
		return
	}
	average -= average * weightAfter(stamp, now)
	l.word.CompareAndSwap(was, pack(max(average, 1), now))
}

// decayEvery is how old an average must be to decay, in stamps: a fifth of a second.
const decayEvery = 200

// weightAfter is 1-exp(-t/decayTime) for the time since stamp, within 0.01.
func weightAfter(stamp uint32, now int64) float32 {
	t := float32(age(stamp, now)) * float32(float64(int64(1)<<stampShift)/float64(decayTime))
	t = max(t, smallestStep)
	e := 1 + t*(1+t*(0.5+t*(1.0/6+t*(1.0/24+t*(1.0/120))))) // exp(t)
	return 1 - 1/e
}

// age is the time since stamp in stamps; 0 if somebody whose clock is ahead has set it.
func age(stamp uint32, now int64) int32 { return max(int32(uint32(now>>stampShift)-stamp), 0) }

// smallestStep lets answers that come within one stamp count too.
const smallestStep = 1e-4

// Value returns the average; 0: nothing has been seen.
func (l *Latency) Value() time.Duration {
	average, _ := unpack(l.word.Load())
	return time.Duration(average)
}

// cost is what one more request would wait, roughly: the average for itself, and for each that is ahead of it
// for the weight. Members are drawn by weight: idle ones that are equally fast share by it.
func (m *member) cost() float32 {
	ahead := m.load()
	if m.latency == nil {
		return float32(ahead)/float32(m.weight) + 1
	}
	average, _ := unpack(m.latency.word.Load())
	if average == seenNothing {
		if ahead > 0 {
			return math.MaxFloat32 // nobody floods a target that has not answered yet
		}
		return 0
	}
	return average * (float32(ahead)/float32(m.weight) + 1)
}

// ewma draws two members by weight and picks the one where a request would wait less.
type ewma struct {
	wheel
}

func newEWMA(g group) *ewma { return &ewma{wheel: newWheel(g)} }

// Pick implements Policy.
func (e *ewma) Pick(_ uint64, avoid int) int {
	m := e.draw(avoid, nil)
	if m == nil {
		return -1
	}
	if rival := e.draw(avoid, m); rival != nil && rival.cost() < m.cost() {
		m = rival
	}
	return indexOf(m)
}
