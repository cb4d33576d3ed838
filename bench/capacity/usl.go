package capacity

import (
	"errors"
	"math"
)

// Load is the throughput that some connections reached.
type Load struct {
	N         int     `json:"n"`
	X         float64 `json:"x"`    // requests a second
	Busy      float64 `json:"busy"` // share of its cores' time that the gateway used
	Untrusted bool    `json:"untrusted,omitempty"`
}

// USL is the Universal Scalability Law: X(N) = λN / (1 + σ(N−1) + κN(N−1)). N counts connections.
type USL struct {
	Lambda float64 `json:"lambda"` // requests a second of one connection
	Sigma  float64 `json:"sigma"`  // share that is done one after another
	Kappa  float64 `json:"kappa"`  // cost of keeping in step
	R2     float64 `json:"r2"`     // of X, not of the linear form
	Peak   float64 `json:"peak"`   // connections beyond which it gets less; 0: there is none
}

// At gives the throughput of n connections.
func (u USL) At(n float64) float64 {
	return u.Lambda * n / (1 + u.Sigma*(n-1) + u.Kappa*n*(n-1))
}

// Fit finds the law's parameters by least squares on N/X = (1 + σ(N−1) + κN(N−1))/λ, in which each point's
// error is taken relative to N/X, for that is how throughput scatters. σ and κ are not negative.
func Fit(points []Load) (USL, error) {
	if len(points) < 3 {
		return USL{}, errors.New("the law has three parameters: three points at least")
	}
	for _, p := range points {
		if p.N < 1 || p.X <= 0 {
			return USL{}, errors.New("a point without throughput")
		}
	}
	best, found := USL{}, math.Inf(1)
	for _, use := range [][]int{{0, 1, 2}, {0, 1}, {0, 2}, {0}} { // a term that would be negative is left out
		v, ok := solve(points, use)
		if !ok || v[0] <= 0 || v[1] < 0 || v[2] < 0 {
			continue
		}
		if e := misfit(points, v); e < found {
			found, best = e, USL{Lambda: 1 / v[0], Sigma: v[1] / v[0], Kappa: v[2] / v[0]}
		}
	}
	if math.IsInf(found, 1) {
		return USL{}, errors.New("no parameters fit")
	}
	best.R2 = r2(points, best)
	if best.Kappa > 0 {
		best.Peak = max(1, math.Sqrt(max(0, 1-best.Sigma)/best.Kappa))
	}
	return best, nil
}

// terms are what the linear form's coefficients 1/λ, σ/λ and κ/λ stand before, relative to N/X.
func terms(p Load) [3]float64 {
	n := float64(p.N)
	w := p.X / n
	return [3]float64{w, w * (n - 1), w * n * (n - 1)}
}

func misfit(points []Load, v [3]float64) float64 {
	sum := 0.0
	for _, p := range points {
		t := terms(p)
		e := t[0]*v[0] + t[1]*v[1] + t[2]*v[2] - 1
		sum += e * e
	}
	return sum
}

// solve gives the coefficients of the terms in use by the normal equations. The others are 0.
func solve(points []Load, use []int) (v [3]float64, ok bool) {
	n := len(use)
	var m [3][4]float64
	for _, p := range points {
		t := terms(p)
		for i := range n {
			for j := range n {
				m[i][j] += t[use[i]] * t[use[j]]
			}
			m[i][n] += t[use[i]]
		}
	}
	for i := range n { // positive definite, so there is no need to choose pivots
		if m[i][i] <= 0 {
			return v, false
		}
		for k := range n {
			if k == i {
				continue
			}
			f := m[k][i] / m[i][i]
			for j := i; j <= n; j++ {
				m[k][j] -= f * m[i][j]
			}
		}
	}
	for i := range n {
		v[use[i]] = m[i][n] / m[i][i]
	}
	return v, true
}

func r2(points []Load, u USL) float64 {
	mean := 0.0
	for _, p := range points {
		mean += p.X / float64(len(points))
	}
	rest, all := 0.0, 0.0
	for _, p := range points {
		rest += (p.X - u.At(float64(p.N))) * (p.X - u.At(float64(p.N)))
		all += (p.X - mean) * (p.X - mean)
	}
	if all == 0 {
		return 1
	}
	return 1 - rest/all
}
