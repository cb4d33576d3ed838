package balance

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

var sizes = []int{2, 16, 1000}

// downRig is a pool of n targets of which percent, chosen at random, are down.
func downRig(n, percent int) *rig {
	r := newRig(equal(n)...)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, i := range rng.Perm(n)[:n*percent/100] {
		r.targets[i].State.Store(1)
	}
	return r
}

// cycle picks and keeps about four requests a target running, so that loads differ as in use.
func cycle(r *rig, p Policy, picks func() bool) {
	var running [1 << 12]int
	for i := range running {
		running[i] = -1
	}
	mask := 1
	for mask < 4*len(r.targets) && mask < len(running) {
		mask <<= 1
	}
	key := rand.Uint64()
	for n := 0; picks(); n++ {
		key += 0x9e3779b97f4a7c15
		i := p.Pick(key, -1)
		if old := running[n&(mask-1)]; old >= 0 {
			r.targets[old].InFlight.Add(-1)
		}
		r.targets[i].InFlight.Add(1)
		running[n&(mask-1)] = i
	}
}

// fixed is no policy: what BenchmarkPick costs beside Pick.
type fixed struct{ n uint64 }

func (f fixed) Pick(key uint64, _ int) int { return below(key, int(f.n)) }

func BenchmarkPickNone(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			cycle(downRig(n, 0), fixed{uint64(n)}, b.Loop)
		})
	}
}

func BenchmarkPick(b *testing.B) {
	for _, kind := range Kinds() {
		for _, n := range sizes {
			for _, percent := range []int{0, 50, 99} {
				if percent == 99 && n < 1000 {
					continue
				}
				b.Run(fmt.Sprintf("%s/%d/down=%d", kind, n, percent), func(b *testing.B) {
					r := downRig(n, percent)
					p := r.policy(b, kind, 1)
					b.ReportAllocs()
					cycle(r, p, b.Loop)
				})
			}
		}
	}
}

func BenchmarkPickParallel(b *testing.B) {
	for _, kind := range Kinds() {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				r := downRig(n, 0)
				p := r.policy(b, kind, 1)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) { cycle(r, p, pb.Next) })
			})
		}
	}
}

// fullRig is a pool of n targets as large pools are: a third in the own zone, a tenth in its slow start, a
// twentieth down, a few backups, and each with times of its own.
func fullRig(n int) *rig {
	r := newRig(equal(n)...)
	took := make([]time.Duration, n)
	for i := range took {
		took[i] = time.Duration(1+i%7) * time.Millisecond
	}
	r.timed(took...)
	for i := range n {
		t := &r.targets[i]
		t.Ramp = new(atomic.Uint32)
		t.Local, t.Backup = i%3 == 0, i%50 == 49
		if i%10 == 3 {
			r.ramp(i, 0.5)
		}
		if i%20 == 7 {
			t.State.Store(1)
		}
	}
	return r
}

func BenchmarkPickFull(b *testing.B) {
	for _, kind := range Kinds() {
		for _, spill := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/1000/spill=%v", kind, spill), func(b *testing.B) {
				r := fullRig(1000)
				c := r.chooser(b, kind, 1)
				c.Spill(spill)
				b.ReportAllocs()
				cycle(r, c, b.Loop)
			})
		}
	}
}

func BenchmarkPickFullParallel(b *testing.B) {
	for _, kind := range Kinds() {
		b.Run(kind+"/1000", func(b *testing.B) {
			r := fullRig(1000)
			c := r.chooser(b, kind, 1)
			c.Spill(true)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) { cycle(r, c, pb.Next) })
		})
	}
}

func BenchmarkLatencyObserve(b *testing.B) {
	var l Latency
	now := base
	b.ReportAllocs()
	for b.Loop() {
		now += 1000
		l.Observe(now, time.Duration(now&0xfffff))
	}
}

func BenchmarkLatencyObserveParallel(b *testing.B) {
	var l Latency
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for now := base; pb.Next(); now += 1000 {
			l.Observe(now, time.Duration(now&0xfffff))
		}
	})
}

func BenchmarkHashKey(b *testing.B) {
	key := []byte("203.0.113.7 /v1/users/12345?page=2")
	b.ReportAllocs()
	for b.Loop() {
		HashKey(1, key)
	}
}

func BenchmarkNew(b *testing.B) {
	for _, kind := range Kinds() {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				r := newRig(equal(n)...)
				b.ReportAllocs()
				for b.Loop() {
					r.policy(b, kind, 1)
				}
			})
		}
	}
}
