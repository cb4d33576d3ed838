package capacity

import (
	"math"
	"math/rand/v2"
	"testing"
)

// points are those of a law at 1 to 128 connections, each off by some share of it.
func points(u USL, noise float64, seed uint64) (all []Load) {
	r := rand.New(rand.NewPCG(seed, 1))
	for n := 1; n <= 128; n *= 2 {
		all = append(all, Load{N: n, X: u.At(float64(n)) * (1 + noise*r.NormFloat64())})
	}
	return all
}

func TestFit(t *testing.T) {
	f := func(u USL, noise, within float64) {
		t.Helper()
		got, err := Fit(points(u, noise, 7))
		if err != nil {
			t.Fatal(err)
		}
		for n := 1.0; n <= 128; n *= 2 {
			if e := math.Abs(got.At(n)/u.At(n) - 1); e > within {
				t.Errorf("%+v: X(%g) is off by %g: %+v", u, n, e, got)
			}
		}
		off := func(a, b float64) bool { return math.Abs(a-b) > 10*within*max(b, .001) }
		if off(got.Lambda, u.Lambda) || off(got.Sigma, u.Sigma) || off(got.Kappa, u.Kappa) {
			t.Errorf("want %+v, got %+v", u, got)
		}
		if noise == 0 && got.R2 < .999999 || got.R2 > 1 || got.R2 < .9 {
			t.Errorf("R² = %g", got.R2)
		}
		if u.Kappa > .0001 {
			if want := math.Sqrt((1 - u.Sigma) / u.Kappa); math.Abs(got.Peak/want-1) > 10*within {
				t.Errorf("peak at %g, want %g", got.Peak, want)
			}
		}
	}
	for _, u := range []USL{
		{Lambda: 10_000, Sigma: .05, Kappa: .0005},
		{Lambda: 7000, Sigma: .2, Kappa: .001},
		{Lambda: 20_000, Sigma: .4, Kappa: 0},
		{Lambda: 1000, Sigma: 0, Kappa: .002},
		{Lambda: 1000, Sigma: 0, Kappa: 0},
	} {
		f(u, 0, 1e-6)
		f(u, .01, .05)
	}
}

func TestFitIsNeverNegative(t *testing.T) {
	for seed := range uint64(300) {
		u := USL{Lambda: 5000, Sigma: .001 * float64(seed%5), Kappa: .00001 * float64(seed%3)}
		got, err := Fit(points(u, .1, seed))
		if err != nil {
			t.Fatal(err)
		}
		if got.Lambda <= 0 || got.Sigma < 0 || got.Kappa < 0 || got.R2 > 1 || got.Peak < 0 || math.IsNaN(got.R2) {
			t.Errorf("seed %d: %+v", seed, got)
		}
	}
	// Faster than in proportion: no law, but no negative parameters either.
	got, err := Fit([]Load{{N: 1, X: 100}, {N: 2, X: 400}, {N: 4, X: 1600}, {N: 8, X: 6400}})
	if err != nil || got.Sigma != 0 || got.Kappa != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFitRefuses(t *testing.T) {
	f := func(all ...Load) {
		t.Helper()
		if u, err := Fit(all); err == nil {
			t.Errorf("%v gave %+v", all, u)
		}
	}
	f()
	f(Load{N: 1, X: 1}, Load{N: 2, X: 2})
	f(Load{N: 1, X: 1}, Load{N: 2, X: 2}, Load{N: 4, X: 0})
	f(Load{N: 0, X: 1}, Load{N: 2, X: 2}, Load{N: 4, X: 3})
}

func TestR2(t *testing.T) {
	u := USL{Lambda: 10}
	if got := r2([]Load{{N: 1, X: 10}, {N: 2, X: 20}}, u); got != 1 {
		t.Errorf("exact: %g", got)
	}
	// Off by 5 and -5 around a mean of 15: as bad as the mean.
	if got := r2([]Load{{N: 1, X: 15}, {N: 2, X: 15}}, u); got != 1 { // no spread to explain
		t.Errorf("no spread: %g", got)
	}
	if got := r2([]Load{{N: 1, X: 20}, {N: 2, X: 10}}, u); got != 1-200./50 {
		t.Errorf("wrong way: %g", got)
	}
}
