package limit

import (
	"sync/atomic"
	"testing"
	"time"
)

func BenchmarkAcquire(b *testing.B) {
	l := New(fixed(1000, 256))
	b.ReportAllocs()
	for b.Loop() {
		if l.TryAcquire() {
			l.Release()
		}
	}
}

func BenchmarkAcquireParallel(b *testing.B) {
	l := New(fixed(1000, 256))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if l.TryAcquire() {
				l.Release()
			}
		}
	})
}

// BenchmarkShed is what a request costs that finds neither a place nor room in the queue.
func BenchmarkShed(b *testing.B) {
	l := New(fixed(1, 0))
	l.TryAcquire()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if !l.TryAcquire() {
				l.Admit(0, ClassDefault)
			}
		}
	})
}

// BenchmarkQueue is a request that waits and is given its place by another.
func BenchmarkQueue(b *testing.B) {
	l := New(fixed(1, 256))
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if l.TryAcquire() || l.Wait(0, ClassDefault, int64(time.Minute), here) == Admitted {
				l.Release()
			}
		}
	})
}

func BenchmarkThrottle(b *testing.B) {
	th := NewThrottle(admission())
	th.chance.Store(6554)
	var lanes atomic.Uint32
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		lane := lanes.Add(1)
		for pb.Next() {
			if !th.Refuse(ClassDefault) {
				th.Accept(lane)
			}
			th.Request(lane)
		}
	})
}
