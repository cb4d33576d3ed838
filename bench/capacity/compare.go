package capacity

import (
	"slices"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/rig"
)

// Row is what a chain costs over the bare hop, or a feature over the same chain without it.
type Row struct {
	Name      string       `json:"name"`
	Routes    []string     `json:"routes,omitempty"`
	Features  []string     `json:"features,omitempty"`
	Chain     string       `json:"chain,omitempty"`   // the route with which a feature was measured
	Missing   string       `json:"missing,omitempty"` // why it was not measured
	Offered   float64      `json:"offered"`           // requests a second
	Full      float64      `json:"full"`              // closed loop
	With      duel.Sample  `json:"with"`
	Without   duel.Sample  `json:"without"`
	Cost      rig.Interval `json:"cost"`       // CPU nanoseconds a request
	Counted   int          `json:"counted"`    // pairs
	Pairs     int          `json:"pairs"`      // all of them
	NoLatency bool         `json:"no_latency"` // the loader takes none of this chain's answers
	Untrusted bool         `json:"untrusted,omitempty"`
	Notes     []string     `json:"notes,omitempty"`
}

// Failed is how many requests of both sides failed.
func (r Row) Failed() int { return r.With.Failed + r.Without.Failed }

// pair is two runs, one after the other.
type pair struct {
	with, without duel.Sample
	trusted       bool
}

// turns measures two sides in turns: with first, then without first, and so on, at a share of what with
// reaches.
func (o *Options) turns(row *Row, with, without *side) error {
	for _, s := range []*side{with, without} {
		if _, err := s.once(0, .3); err != nil {
			return err
		}
	}
	full, _, err := with.measure(0, 1)
	if err != nil {
		return err
	}
	row.Full, row.Offered = full.Rate, full.Rate*.6
	var all []pair
	for i := range o.Pairs {
		p := pair{trusted: true}
		order := []*side{with, without}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, s := range order {
			if _, err := s.once(row.Offered, o.Seconds*.2); err != nil {
				return err
			}
			x, ok, err := s.measure(row.Offered, o.Seconds)
			if err != nil {
				return err
			}
			p.trusted = p.trusted && ok
			if s == with {
				p.with = x
			} else {
				p.without = x
			}
		}
		all = append(all, p)
	}
	row.judge(all)
	return nil
}

// judge draws the pairs together: those that count, or all if these are too few.
func (r *Row) judge(all []pair) {
	var a, b []duel.Sample
	take := func(p pair) { a, b = append(a, p.with), append(b, p.without) }
	for _, p := range all {
		if p.trusted {
			take(p)
		}
	}
	r.Counted, r.Pairs = len(a), len(all)
	if r.Untrusted = len(a) < 3 || 2*len(a) < len(all); r.Untrusted {
		a, b = nil, nil
		for _, p := range all {
			take(p)
		}
	}
	cpu := func(all []duel.Sample) (v []float64) {
		for _, s := range all {
			v = append(v, s.CPU)
		}
		return v
	}
	r.With, r.Without = duel.Middle(a), duel.Middle(b)
	r.Cost = rig.Differences(cpu(a), cpu(b))
}
