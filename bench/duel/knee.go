package duel

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
	over := 0.0
	try := func(rate float64) error {
		p, ok, err := k.holds(rate, probe)
		if ok {
			good, k.Rate = p, rate
		} else {
			bad, over = p, rate
		}
		return err
	}
	for tenth := 4; tenth <= 12 && over == 0; tenth++ {
		if err := try(full * float64(tenth) / 10); err != nil {
			return k, err
		}
	}
	k.Open = over == 0
	for i := 0; i < halves && over > 0; i++ {
		if err := try((k.Rate + over) / 2); err != nil {
			return k, err
		}
	}
	k.Untrusted = base.Untrusted || good.Untrusted || !k.Open && bad.Untrusted
	slices.SortStableFunc(k.Points, func(a, b Point) int { return int(a.Rate - b.Rate) })
	return k, nil
}

// Within gives the best run of each rate, up to the first beyond the knee.
func (k *Knee) Within() (all []Point) {
	for _, p := range k.Points {
		if n := len(all); n > 0 && all[n-1].Rate == p.Rate {
			if p.P99 < all[n-1].P99 {
				all[n-1] = p
			}
			continue
		}
		if n := len(all); n > 0 && all[n-1].Rate > k.Rate {
			break
		}
		all = append(all, p)
	}
	return all
}

// Busy is the share of its core's time that the gateway used at the knee.
func (k *Knee) Busy() float64 {
	busy := 0.0
	for _, p := range k.Points {
		if p.Rate == k.Rate {
			busy = max(busy, p.Busy)
		}
	}
	return busy
}

// holds reports whether one of at most two runs at a rate keeps to the limit; p is the last of them.
func (k *Knee) holds(rate float64, probe func(rate float64) (Point, error)) (p Point, ok bool, err error) {
	for range 2 {
		if p, err = probe(rate); err != nil {
			return p, false, err
		}
		k.Points = append(k.Points, p)
		if p.P99 <= k.Limit && p.Failed == 0 {
			return p, true, nil
		}
	}
	return p, false, nil
}
