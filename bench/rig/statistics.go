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

// Ratio is the median of the pairs' ratios, with the interval that holds it in 95 of 100 cases.
type Ratio struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// Ratios gives the median of a/b over the pairs and its bootstrap interval. The same values give the same
// interval.
func Ratios(a, b []float64) Ratio {
	logs := make([]float64, 0, len(a))
	for i := range a {
		if a[i] > 0 && b[i] > 0 {
			logs = append(logs, math.Log(a[i]/b[i]))
		}
	}
	if len(logs) == 0 {
		return Ratio{}
	}
	const rounds = 2000
	r := rand.New(rand.NewPCG(1, 2))
	medians, draw := make([]float64, rounds), make([]float64, len(logs))
	for i := range medians {
		for j := range draw {
			draw[j] = logs[r.IntN(len(logs))]
		}
		medians[i] = Median(draw)
	}
	slices.Sort(medians)
	return Ratio{
		Median: math.Exp(Median(logs)),
		Low:    math.Exp(medians[rounds*25/1000]), High: math.Exp(medians[rounds*975/1000-1]),
	}
}
