package duel

import (
	"fmt"

	"github.com/penstock-edge/penstock/bench/peer"
	"github.com/penstock-edge/penstock/bench/rig"
)

// Tail is the latency that proxies add to a direct call.
type Tail struct {
	Work    string       `json:"work"`
	Peer    string       `json:"peer"`
	Missing string       `json:"missing,omitempty"`
	Knee    float64      `json:"knee"` // the lower one of both
	Rate    float64      `json:"rate"` // half of it
	Direct  Sample       `json:"direct"`
	Ours    Sample       `json:"ours"`
	Theirs  Sample       `json:"theirs"`
	P99     rig.Interval `json:"added_p99_ratio"`
	P999    rig.Interval `json:"added_p999_ratio"`
	Rounds  int          `json:"rounds"`
	Dropped int          `json:"dropped"` // of them; if all are, none is
}

// Knee gives the highest rate at which p99 stays within twice its value at 30 % load and nothing fails.
func (p *Proxy) Knee(seconds float64) (float64, error) {
	full, err := p.Measure(0, seconds)
	if err != nil {
		return 0, err
	}
	k, err := FindKnee(full.Rate, 0, func(rate float64) (Point, error) {
		s, err := p.Measure(rate, seconds)
		return Point{Rate: rate, P99: s.P99, Failed: s.Failed}, err
	})
	return k.Rate, err
}

// Tail compares what ours and a peer add to the latency of a direct call, at half of the lower one's knee.
func (r *Ring) Tail(w peer.Work, name string, p Plan) (Tail, error) {
	t := Tail{Work: w.Name, Peer: name}
	var all [3]*Proxy
	for i, n := range []string{"direct", "ours", name} {
		x, err := r.Start(n, w)
		if err != nil && i == 2 {
			t.Missing = err.Error()
			return t, nil
		}
		if err != nil {
			return t, err
		}
		defer x.Stop()
		all[i] = x
		if i == 0 {
			continue
		}
		knee, err := x.Knee(1)
		if err != nil {
			return t, err
		}
		if t.Knee == 0 || knee < t.Knee {
			t.Knee = knee
		}
	}
	t.Rate = t.Knee / 2
	rounds := make([][3]Sample, p.Pairs)
	for i := range rounds {
		for j := range all {
			at := (i + j) % len(all)
			if _, err := all[at].Measure(t.Rate, p.Warm); err != nil {
				return t, err
			}
			s, err := all[at].Measure(t.Rate, p.Seconds)
			if err != nil {
				return t, err
			}
			rounds[i][at] = s
		}
		fmt.Fprintf(p.Log, "  %d/%d  p99 µs: direct %.0f, ours %.0f, %s %.0f\n", i+1, p.Pairs, rounds[i][0].P99/1e3,
			rounds[i][1].P99/1e3, name, rounds[i][2].P99/1e3)
	}
	t.judge(rounds)
	return t, nil
}

func (t *Tail) judge(rounds [][3]Sample) {
	var kept [][3]Sample
	for _, r := range rounds {
		if r[0].Trusted() && r[1].Trusted() && r[2].Trusted() {
			kept = append(kept, r)
		}
	}
	t.Rounds, t.Dropped = len(kept), len(rounds)-len(kept)
	if len(kept) == 0 {
		kept = rounds
	}
	column := func(i int) (s []Sample) {
		for _, r := range kept {
			s = append(s, r[i])
		}
		return s
	}
	t.Direct, t.Ours, t.Theirs = Middle(column(0)), Middle(column(1)), Middle(column(2))
	added := func(i int, f func(Sample) float64) (v []float64) {
		for _, r := range kept {
			// A microsecond, where noise makes the direct call the slower one.
			v = append(v, max(f(r[i])-f(r[0]), 1000))
		}
		return v
	}
	p99 := func(s Sample) float64 { return s.P99 }
	p999 := func(s Sample) float64 { return s.P999 }
	t.P99 = rig.Ratios(added(1, p99), added(2, p99))
	t.P999 = rig.Ratios(added(1, p999), added(2, p999))
}
