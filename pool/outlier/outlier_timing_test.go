package outlier

import (
	"fmt"
	"testing"
	"time"
)

// What each attempt that succeeds costs.
func BenchmarkSuccess(b *testing.B) {
	var s Streak
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Success()
		}
	})
}

// What each attempt that fails costs; with more than one core, of one target.
func BenchmarkError(b *testing.B) {
	var s Streak
	c := plain()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			Tripped(c, GatewayError, s.Error(GatewayError))
		}
	})
}

// One attempt in ten fails.
func BenchmarkMixed(b *testing.B) {
	var s Streak
	c := plain()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if i%10 == 0 {
				Tripped(c, TargetError, s.Error(TargetError))
			} else {
				s.Success()
			}
		}
	})
}

// A look of the keeper, off the path of requests, with all ways switched on.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := plain()
			c.ErrorPercent, c.SuccessRateStdev, c.LatencyFactor = 20, 3, 5
			var j Judge
			samples := make([]Sample, n)
			for i := range samples {
				samples[i] = Sample{Key: fmt.Sprint(i), Usable: true}
			}
			for b.Loop() {
				for i := range samples {
					samples[i].Requests += 100
					samples[i].Errors += uint64(i % 3)
					samples[i].Latency = time.Duration(i*37%100) * time.Millisecond
				}
				j.Look(c, samples)
			}
		})
	}
}
