package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramQuantiles(t *testing.T) {
	f := func(n int, draw func(*rand.Rand) float64) {
		t.Helper()
		r := rand.New(rand.NewPCG(uint64(n), 1))
		var h Histogram
		all := make([]time.Duration, n)
		for i := range all {
			all[i] = time.Duration(draw(r))
			h.Add(all[i])
		}
		slices.Sort(all)
		if h.Max() != all[n-1] {
			t.Fatalf("of %d: max %d, want %d", n, h.Max(), all[n-1])
		}
		for _, q := range []float64{0, .001, .25, .5, .9, .99, .999, 1} {
			want := all[max(int(math.Ceil(q*float64(n)))-1, 0)]
			got := h.Quantile(q)
			if got < want || float64(got-want) > float64(want)/1024 {
				t.Errorf("of %d: quantile %g is %d, want %d or a thousandth more", n, q, got, want)
			}
		}
	}
	uniform := func(to float64) func(*rand.Rand) float64 {
		return func(r *rand.Rand) float64 { return r.Float64() * to }
	}
	f(1, uniform(1e6))
	f(2, uniform(1e6))
	f(999, uniform(2048))
	f(1000, uniform(3000))
	f(10_000, uniform(1e9))
	f(10_000, func(r *rand.Rand) float64 { return r.ExpFloat64() * 1e5 })
	f(10_000, func(r *rand.Rand) float64 { return math.Exp(r.Float64() * math.Log(60e9)) })
}

// Every step begins behind the end of the one before, and holds what it is the step of.
func TestHistogramSteps(t *testing.T) {
	for i := range len(Histogram{}.counts) {
		if got := step(top(i)); got != i {
			t.Fatalf("the end of step %d, %d ns, is in step %d", i, top(i), got)
		}
		if got := step(top(i) + 1); got != i+1 {
			t.Fatalf("%d ns, behind step %d, are in step %d", top(i)+1, i, got)
		}
	}
	if last := time.Duration(top(len(Histogram{}.counts) - 1)); last < time.Minute {
		t.Errorf("the steps end at %v", last)
	}
}

func TestHistogramExtremes(t *testing.T) {
	f := func(d, want time.Duration) {
		t.Helper()
		var h Histogram
		h.Add(d)
		if got := h.Quantile(.5); got != want || h.Max() != want {
			t.Errorf("after %d: quantile %d, max %d, want %d", d, got, h.Max(), want)
		}
	}
	f(-5, 0)
	f(0, 0)
	f(2047, 2047)
	f(2048, 2048) // not more than the longest there is
	f(time.Hour, time.Hour)
	f(math.MaxInt64, math.MaxInt64)
}

func TestHistogramReset(t *testing.T) {
	var h Histogram
	h.Add(time.Hour)
	h.Add(time.Millisecond)
	h.Reset()
	if h != (Histogram{}) || h.Quantile(.99) != 0 || h.Max() != 0 {
		t.Error("something is left")
	}
}
