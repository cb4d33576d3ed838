package capacity

import "slices"

// Point is what an open-loop rate gave. Times are nanoseconds.
type Point struct {
	Rate      float64 `json:"rate"` // offered
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	P999      float64 `json:"p999"`
	Failed    int     `json:"failed"`
	Busy      float64 `json:"busy"` // share of its core's time that the gateway used
	Untrusted bool    `json:"untrusted,omitempty"`
}

// Knee is the highest rate with p99 within twice its value at 30 % load and no error.
type Knee struct {
	Full      float64 `json:"full"` // closed loop: what load is a share of
	Rate      float64 `json:"rate"`
	Limit     float64 `json:"limit"` // of p99, nanoseconds
	Points    []Point `json:"points"`
	Open      bool    `json:"open,omitempty"` // none of the rates was too much
	Untrusted bool    `json:"untrusted,omitempty"`
}

// FindKnee raises the rate in tenths of full until one is too much, then halves the rest some times. A rate
// is too much if it is so twice: a disturbance of one run does not end the search.
func FindKnee(full float64, halves int, probe func(rate float64) (Point, error)) (Knee, error) {
	k := Knee{Full: full, Open: true}
	base, err := probe(full * .3)
	if err != nil {
		return k, err
	}
	k.Points = append(k.Points, base)
	k.Limit, k.Rate = 2*base.P99, base.Rate
	good, bad := base, Point{} // the runs next to the knee
	within := func(rate float64) (bool, error) {
		for range 2 {
			p, err := probe(rate)
			if err != nil {
				return false, err
			}
			k.Points = append(k.Points, p)
			if p.P99 <= k.Limit && p.Failed == 0 {
				good = p
				return true, nil
			}
			bad = p
		}
		return false, nil
	}
	over := 0.0
	for tenth := 4; tenth <= 12 && over == 0; tenth++ {
		rate := full * float64(tenth) / 10
		ok, err := within(rate)
		if err != nil {
			return k, err
		}
		if ok {
			k.Rate = rate
		} else {
			over = rate
		}
	}
	k.Open = over == 0
	for i := 0; i < halves && over > 0; i++ {
		rate := (k.Rate + over) / 2
		ok, err := within(rate)
		if err != nil {
			return k, err
		}
		if ok {
			k.Rate = rate
		} else {
			over = rate
		}
	}
	k.Untrusted = base.Untrusted || good.Untrusted || !k.Open && bad.Untrusted
	slices.SortStableFunc(k.Points, func(a, b Point) int { return int(a.Rate - b.Rate) })
	return k, nil
}
