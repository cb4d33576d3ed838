package rig

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Median gives the middle of values, which it leaves as they are.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// Interval is a median, with the interval that holds it in 95 of 100 cases.
type Interval struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// Ratios gives the median of a/b over the pairs. The same values give the same interval.
func Ratios(a, b []float64) Interval {
	logs := make([]float64, 0, len(a))
	for i := range a {
		if a[i] > 0 && b[i] > 0 {
			logs = append(logs, math.Log(a[i]/b[i]))
		}
	}
	if len(logs) == 0 {
		return Interval{}
	}
	v := bootstrap(logs)
	return Interval{math.Exp(v.Median), math.Exp(v.Low), math.Exp(v.High)}
}

// Differences gives the median of a-b over the pairs. The same values give the same interval.
func Differences(a, b []float64) Interval {
	diffs := make([]float64, len(a))
	for i := range a {
		diffs[i] = a[i] - b[i]
	}
	if len(diffs) == 0 {
		return Interval{}
	}
	return bootstrap(diffs)
}

// bootstrap draws from the values, with repetition, as many as there are, and again and again.
func bootstrap(values []float64) Interval {
	const rounds = 2000
	r := rand.New(rand.NewPCG(1, 2))
	medians, draw := make([]float64, rounds), make([]float64, len(values))
	for i := range medians {
		for j := range draw {
			draw[j] = values[r.IntN(len(values))]
		}
		medians[i] = Median(draw)
	}
	slices.Sort(medians)
	return Interval{Median(values), medians[rounds*25/1000], medians[rounds*975/1000-1]}
}
