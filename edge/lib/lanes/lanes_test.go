package lanes

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// procs is GOMAXPROCS as it was when the process started: -test.cpu changes it later.
var procs = runtime.GOMAXPROCS(0)

func TestFit(t *testing.T) {
	f := func(procs, want int) {
		t.Helper()
		if got := fit(procs); got != want {
			t.Errorf("fit(%d) = %d, want %d", procs, got, want)
		}
	}
	f(1, 1)
	f(2, 2)
	f(3, 4)
	f(8, 8)
	f(33, 64)
	f(64, 64)
	f(500, 64)
	if Count() < min(procs, maxLanes) || Count()&(Count()-1) != 0 {
		t.Errorf("Count() = %d with %d procs", Count(), procs)
	}
}

// spread calls work from several goroutines, each in lanes of its own choice, some
// beyond the number of lanes.
func spread(work func(lane uint32)) {
	var wg sync.WaitGroup
	for g := range uint32(8) {
		wg.Go(func() {
			for i := range uint32(1000) {
				work(g + i*7)
			}
		})
	}
	wg.Wait()
}

func TestCountersFromManyGoroutines(t *testing.T) {
	var arena Arena
	f := func(c *Counter, g *Gauge) {
		t.Helper()
		spread(func(lane uint32) {
			c.Inc(lane)
			c.Add(lane, 2)
			g.Add(lane, 5)
			g.Add(lane+1, -6)
		})
		if c.Sum() != 24000 {
			t.Errorf("counter is %d, want 24000", c.Sum())
		}
		if g.Sum() != -8000 {
			t.Errorf("gauge is %d, want -8000", g.Sum())
		}
	}
	f(NewCounter(), NewGauge())
	for range 20 {
		f(arena.Counter(), arena.Gauge())
	}
}

func TestArenaCountersAreApart(t *testing.T) {
	var arena Arena
	all := make([]*Counter, 50)
	for i := range all {
		all[i] = arena.Counter()
	}
	for i, c := range all {
		for lane := range uint32(100) {
			c.Add(lane, uint64(i))
		}
	}
	for i, c := range all {
		if c.Sum() != uint64(100*i) {
			t.Errorf("counter %d is %d, want %d", i, c.Sum(), 100*i)
		}
	}
}

func TestLanesShareNoLine(t *testing.T) {
	f := func(name string, p unsafe.Pointer, size uintptr) {
		t.Helper()
		if uintptr(p)%128 != 0 {
			t.Errorf("%s starts at %p, not at a multiple of 128", name, p)
		}
		if size%128 != 0 {
			t.Errorf("%s: %d bytes from lane to lane", name, size)
		}
	}
	for bounds := range 40 {
		h := NewHistogram(make50(bounds))
		f("histogram", unsafe.Pointer(&h.slots[0]), uintptr(h.stride)*8)
		c := NewCounter()
		f("counter", unsafe.Pointer((*cell)(c).at(0)), unsafe.Sizeof(row{}))
	}
	if h := NewHistogram(make50(14)); h.stride != rowSlots {
		t.Errorf("14 bounds take %d slots, want %d", h.stride, rowSlots)
	}
}

func make50(n int) []time.Duration {
	b := make([]time.Duration, n)
	for i := range b {
		b[i] = time.Duration(i+1) * time.Millisecond
	}
	return b
}

func TestHistogramBuckets(t *testing.T) {
	f := func(d time.Duration, want ...uint64) {
		t.Helper()
		h := NewHistogram([]time.Duration{time.Millisecond, time.Second})
		h.Observe(3, d)
		var s Snap
		h.Snapshot(&s)
		if !slices.Equal(s.Buckets, want) || s.Count != 1 {
			t.Errorf("%v: %v, count %d, want %v", d, s.Buckets, s.Count, want)
		}
		if sum := max(d, 0).Seconds(); math.Abs(s.Sum-sum) > 32e-9 {
			t.Errorf("%v: sum %v, want %v", d, s.Sum, sum)
		}
	}
	f(-1, 1, 1, 1)
	f(0, 1, 1, 1)
	f(time.Millisecond, 1, 1, 1)
	f(time.Millisecond+1, 0, 1, 1)
	f(time.Second, 0, 1, 1)
	f(time.Second+1, 0, 0, 1)
	f(100*24*time.Hour, 0, 0, 1)
}

func TestHistogramBoundsMustAscend(t *testing.T) {
	f := func(bounds ...time.Duration) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%v: no panic", bounds)
			}
		}()
		NewHistogram(bounds)
	}
	f(2, 1)
	f(1, 1)
}

// A list of everything observed, sorted anew for each question, is the slow twin.
func TestHistogramAgainstList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bounds := rapid.SliceOfNDistinct(rapid.Int64Range(0, 5000), 0, 30, rapid.ID).Draw(t, "bounds")
		slices.Sort(bounds)
		limits := make([]time.Duration, len(bounds))
		for i, b := range bounds {
			limits[i] = time.Duration(b)
		}
		h := NewHistogram(limits)
		seen := rapid.SliceOf(rapid.Int64Range(0, 6000)).Draw(t, "seen")
		var sum float64
		for i, d := range seen {
			h.Observe(uint32(i), time.Duration(d))
			sum += float64(d) / 1e9
		}
		s := Snap{Buckets: []uint64{9, 9, 9}}
		h.Snapshot(&s)
		for i := range s.Buckets {
			var want uint64
			for _, d := range seen {
				if i == len(limits) || d <= bounds[i] {
					want++
				}
			}
			if s.Buckets[i] != want {
				t.Fatalf("bucket %d holds %d, want %d", i, s.Buckets[i], want)
			}
		}
		if s.Count != uint64(len(seen)) || math.Abs(s.Sum-sum) > 33e-9*float64(len(seen)) {
			t.Fatalf("count %d sum %v, want %d and %v", s.Count, s.Sum, len(seen), sum)
		}
	})
}

func TestHistogramFromManyGoroutines(t *testing.T) {
	h := NewHistogram(make50(14))
	spread(func(lane uint32) { h.Observe(lane, 2*time.Millisecond) })
	var s Snap
	h.Snapshot(&s)
	if s.Buckets[0] != 0 || s.Buckets[1] != 8000 || s.Count != 8000 || math.Abs(s.Sum-16) > 1e-9 {
		t.Errorf("got %+v", s)
	}
}
