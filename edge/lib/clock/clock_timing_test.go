package clock

import (
	"testing"
	"time"
)

// BenchmarkTimeNow is what Now saves: the wall clock read along with the monotonic.
func BenchmarkTimeNow(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		time.Now()
	}
}

func BenchmarkNow(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Now()
	}
}

func BenchmarkHTTPDateAt(b *testing.B) {
	b.ReportAllocs()
	var c Coarse
	now := Now()
	for b.Loop() {
		c.HTTPDateAt(now)
	}
}

func BenchmarkHTTPDate(b *testing.B) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var c Coarse
		for pb.Next() {
			c.HTTPDate()
		}
	})
}
