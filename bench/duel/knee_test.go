package duel

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// queue is a made-up server: latency grows as a queue's does, errors come beyond its capacity.
func queue(capacity float64) func(float64) (Point, error) {
	return func(rate float64) (Point, error) {
		p := Point{Rate: rate, P50: 1000, P99: 1e9}
		if rate < capacity {
			p.P99 = 10_000 / (1 - rate/capacity)
		} else {
			p.Failed = 3
		}
		return p, nil
	}
}

func TestKnee(t *testing.T) {
	f := func(full, capacity float64, halves int, within float64) {
		t.Helper()
		k, err := FindKnee(full, halves, queue(capacity))
		if err != nil {
			t.Fatal(err)
		}
		want := capacity - (capacity-.3*full)/2 // where p99 is twice that at 30 %
		if k.Rate > want || want-k.Rate > within*full {
			t.Errorf("knee at %g, want %g", k.Rate, want)
		}
		if k.Open || k.Untrusted || !slices.IsSortedFunc(k.Points, func(a, b Point) int { return int(a.Rate - b.Rate) }) {
			t.Errorf("%+v", k)
		}
	}
	f(1000, 1000, 0, .1)
	f(1000, 1000, 4, .1/16)
	f(1000, 900, 3, .1/8)
	f(40_000, 48_000, 6, .1/64)
	f(1000, 400, 3, .1/8) // below the first step
}

func TestKneeOfErrors(t *testing.T) {
	k, err := FindKnee(100, 3, func(rate float64) (Point, error) {
		p := Point{Rate: rate, P99: 10}
		if rate > 55 {
			p.Failed = 1
		}
		return p, nil
	})
	if err != nil || math.Abs(k.Rate-55) > 1.25 || k.Limit != 20 {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestKneeSurvivesOneDisturbance(t *testing.T) {
	n, calm := 0, queue(1000)
	k, err := FindKnee(1000, 4, func(rate float64) (Point, error) {
		p, err := calm(rate)
		if n++; n == 2 || n == 5 {
			p.P99 *= 100
		}
		return p, err
	})
	if err != nil || math.Abs(k.Rate-650) > 10 {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestKneeNotReached(t *testing.T) {
	k, err := FindKnee(1000, 4, func(rate float64) (Point, error) {
		return Point{Rate: rate, P99: 10, Untrusted: rate > 1100}, nil
	})
	if err != nil || !k.Open || k.Rate != 1200 || !k.Untrusted {
		t.Errorf("%+v, %v", k, err)
	}
}

func TestKneeUntrusted(t *testing.T) {
	f := func(from, to float64, want bool) {
		t.Helper()
		calm := queue(1000)
		k, err := FindKnee(1000, 0, func(rate float64) (Point, error) {
			p, err := calm(rate)
			p.Untrusted = from <= rate && rate <= to
			return p, err
		})
		if err != nil || k.Rate != 600 || k.Untrusted != want {
			t.Errorf("%g to %g: %+v, %v", from, to, k, err)
		}
	}
	f(0, 0, false)
	f(0, 350, true)     // what the limit comes from
	f(350, 550, false)  // below the knee
	f(550, 650, true)   // the knee
	f(650, 750, true)   // what was too much
	f(750, 1000, false) // not asked for
}

func TestKneePassesErrorsOn(t *testing.T) {
	gone := errors.New("gone")
	for last := 1; last < 5; last++ {
		n, calm := 0, queue(1000)
		_, err := FindKnee(1000, 4, func(rate float64) (Point, error) {
			if n++; n == last {
				return Point{}, gone
			}
			return calm(rate)
		})
		if !errors.Is(err, gone) {
			t.Errorf("call %d: %v", last, err)
		}
	}
}
