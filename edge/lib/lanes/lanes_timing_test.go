package lanes

import (
	"sync/atomic"
	"testing"
	"time"
)

// parallel runs work on all cores, each goroutine in a lane of its own.
func parallel(b *testing.B, work func(lane uint32)) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Uint32
	b.RunParallel(func(pb *testing.PB) {
		lane := next.Add(1)
		for pb.Next() {
			work(lane)
		}
	})
}

// BenchmarkOneAtomic is what a counter without lanes costs.
func BenchmarkOneAtomic(b *testing.B) {
	var n atomic.Uint64
	parallel(b, func(uint32) { n.Add(1) })
}

func BenchmarkCounterInc(b *testing.B) {
	c := NewCounter()
	parallel(b, func(lane uint32) { c.Inc(lane) })
}

// BenchmarkCounterIncSameLane is the worst that lanes may come to: connections of one lane on all cores.
func BenchmarkCounterIncSameLane(b *testing.B) {
	c := NewCounter()
	parallel(b, func(uint32) { c.Inc(0) })
}

// BenchmarkCounterIncWhileSummed has one goroutine count and the others read, as scrapes without end would.
func BenchmarkCounterIncWhileSummed(b *testing.B) {
	c := NewCounter()
	parallel(b, func(lane uint32) {
		if lane == 1 {
			c.Inc(lane)
			return
		}
		c.Sum()
	})
}

func BenchmarkGaugeAdd(b *testing.B) {
	g := NewGauge()
	parallel(b, func(lane uint32) { g.Add(lane, 1); g.Add(lane, -1) })
}

func BenchmarkArenaCounterInc(b *testing.B) {
	var arena Arena
	c := arena.Counter()
	parallel(b, func(lane uint32) { c.Inc(lane) })
}

func BenchmarkCounterSum(b *testing.B) {
	b.ReportAllocs()
	c := NewCounter()
	for b.Loop() {
		c.Sum()
	}
}

func BenchmarkHistogramObserve(b *testing.B) {
	f := func(name string, d time.Duration) {
		b.Run(name, func(b *testing.B) {
			h := NewHistogram(make50(14))
			parallel(b, func(lane uint32) { h.Observe(lane, d) })
		})
	}
	f("first bucket", 0)
	f("middle bucket", 7*time.Millisecond)
	f("last bucket", time.Hour)
}

func BenchmarkHistogramSnapshot(b *testing.B) {
	h := NewHistogram(make50(14))
	var s Snap
	b.ReportAllocs()
	for b.Loop() {
		h.Snapshot(&s)
	}
}
