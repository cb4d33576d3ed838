package rig

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	f := func(want float64, values ...float64) {
		t.Helper()
		before := slices.Clone(values)
		if got := Median(values); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("median of %v is %g, want %g", values, got, want)
		}
		if !slices.Equal(values, before) {
			t.Errorf("%v has become %v", before, values)
		}
	}
	f(math.NaN())
	f(7, 7)
	f(1.5, 2, 1)
	f(2, 3, 1, 2)
	f(2.5, 100, 1, 2, 3)
	f(5, 5, 5, 5, 5)
}

func TestRatios(t *testing.T) {
	f := func(n int, ratio, noise float64) {
		t.Helper()
		r := rand.New(rand.NewPCG(uint64(n), 7))
		a, b := make([]float64, n), make([]float64, n)
		for i := range a {
			b[i] = 1000 * (1 + r.Float64()) // what disturbs both of a pair cancels out
			a[i] = b[i] * ratio * math.Exp(noise*r.NormFloat64())
		}
		got := Ratios(a, b)
		if got.Low > got.Median || got.Median > got.High {
			t.Errorf("%d pairs: %+v is no interval", n, got)
		}
		if got.Low > ratio*1.0001 || got.High < ratio*.9999 || got.High/got.Low > math.Exp(6*noise)*1.0001 {
			t.Errorf("%d pairs with ratio %g and noise %g: %+v", n, ratio, noise, got)
		}
		if again := Ratios(a, b); again != got {
			t.Errorf("the same pairs give %+v and %+v", got, again)
		}
	}
	f(1, 2, 0)
	f(4, .5, 0)
	f(20, 1, .02)
	f(20, 1.3, .02)
	f(101, .7, .1)
}

// Of many sets of pairs with a ratio of one, about 95 in a hundred have it in their interval.
func TestRatiosCover(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	held := 0
	for range 100 {
		a, b := make([]float64, 20), make([]float64, 20)
		for i := range a {
			a[i], b[i] = math.Exp(.05*r.NormFloat64()), math.Exp(.05*r.NormFloat64())
		}
		if x := Ratios(a, b); x.Low <= 1 && x.High >= 1 {
			held++
		}
	}
	if held < 88 || held == 100 {
		t.Errorf("%d of 100 intervals hold the ratio", held)
	}
}

func TestRatiosOfNothing(t *testing.T) {
	f := func(want Interval, a, b []float64) {
		t.Helper()
		if got := Ratios(a, b); got != want {
			t.Errorf("%v / %v: %+v, want %+v", a, b, got, want)
		}
	}
	f(Interval{}, nil, nil)
	f(Interval{}, []float64{0, 1}, []float64{1, 0})
	f(Interval{2, 2, 2}, []float64{0, 2}, []float64{5, 1}) // a pair with a zero says nothing
}

func TestDifferences(t *testing.T) {
	if d := Differences(nil, nil); d != (Interval{}) {
		t.Errorf("%+v", d)
	}
	if d := Differences([]float64{5, 6, 7}, []float64{3, 4, 5}); d != (Interval{2, 2, 2}) {
		t.Errorf("%+v", d)
	}
	d := Differences([]float64{10, 12, 9, 11, 10, 30}, []float64{5, 5, 5, 5, 5, 5})
	if d.Median != 5.5 || d.Low > 5.5 || d.High < 5.5 || d.Low < 4 || d.High > 25 {
		t.Errorf("%+v", d)
	}
}
