package duel

import (
	"fmt"
	"io"

	"github.com/penstock-edge/penstock/bench/peer"
	"github.com/penstock-edge/penstock/bench/rig"
)

// What a pair must not exceed to count.
const (
	maxSteal = .01
	maxLate  = .001
)

// Plan is how long a duel takes.
type Plan struct {
	Pairs   int
	Seconds float64 // of each block
	Warm    float64 // before each block, not counted
	Closed  bool    // saturation instead of a fixed rate
	Share   float64 // the fixed rate, of the slower one's highest
	Log     io.Writer
}

// Outcome is what a duel gave. Values are medians over the pairs that count.
type Outcome struct {
	Work      string       `json:"work"`
	Peer      string       `json:"peer"`
	Missing   string       `json:"missing,omitempty"` // why it was not compared
	Rate      float64      `json:"rate"`              // offered; 0: closed loop
	Ours      Sample       `json:"ours"`
	Theirs    Sample       `json:"theirs"`
	CPU       rig.Interval `json:"cpu_ratio"`
	User      rig.Interval `json:"user_ratio"`
	P99       rig.Interval `json:"p99_ratio"`
	P999      rig.Interval `json:"p999_ratio"`
	Pairs     int          `json:"pairs"`     // that count
	Dropped   int          `json:"dropped"`   // for steal, or for late sends
	Untrusted bool         `json:"untrusted"` // too few pairs count: all of them are shown
	All       []Pair       `json:"all"`
}

// Pair is two blocks, one after the other.
type Pair struct {
	Ours   Sample `json:"ours"`
	Theirs Sample `json:"theirs"`
	Counts bool   `json:"counts"`
}

// why is the reason that a pair does not count.
func (p *Pair) why() string {
	if p.Counts {
		return ""
	}
	return fmt.Sprintf(", dropped: stolen %.1f and %.1f %%, sent late %.2f and %.2f %%", p.Ours.Steal*100,
		p.Theirs.Steal*100, p.Ours.Late*100, p.Theirs.Late*100)
}

// Run has ours and a peer do a work in turns: ours first, then the peer first, and so on.
func (r *Ring) Run(w peer.Work, name string, p Plan) (Outcome, error) {
	o := Outcome{Work: w.Name, Peer: name}
	ours, err := r.Start("ours", w)
	if err != nil {
		return o, err
	}
	defer ours.Stop()
	theirs, err := r.Start(name, w)
	if err != nil {
		o.Missing = err.Error()
		return o, nil
	}
	defer theirs.Stop()
	if o.Rate, err = calibrate(ours, theirs, p); err != nil {
		return o, err
	}
	fmt.Fprintf(p.Log, "%s, %s: %.0f requests a second\n", w.Name, name, o.Rate)
	for i := range p.Pairs {
		pair, err := fight(ours, theirs, i%2 == 1, o.Rate, p)
		if err != nil {
			return o, err
		}
		o.All = append(o.All, pair)
		fmt.Fprintf(p.Log, "  %d/%d  ours %.0f ns, %s %.0f ns, ratio %.3f%s\n", i+1, p.Pairs, pair.Ours.CPU, name,
			pair.Theirs.CPU, pair.Ours.CPU/pair.Theirs.CPU, pair.why())
	}
	o.judge()
	return o, nil
}

// calibrate warms both up and finds the rate.
func calibrate(ours, theirs *Proxy, p Plan) (float64, error) {
	rate := 0.0
	for _, x := range []*Proxy{ours, theirs} {
		if _, err := x.Measure(0, p.Warm); err != nil {
			return 0, err
		}
		s, err := x.Measure(0, 1)
		if err != nil {
			return 0, err
		}
		if rate == 0 || s.Rate < rate {
			rate = s.Rate
		}
	}
	if p.Closed {
		return 0, nil
	}
	return rate * p.Share, nil
}

func fight(ours, theirs *Proxy, swap bool, rate float64, p Plan) (Pair, error) {
	var pair Pair
	order := []*Proxy{ours, theirs}
	if swap {
		order[0], order[1] = theirs, ours
	}
	for _, x := range order {
		if _, err := x.Measure(rate, p.Warm); err != nil {
			return pair, err
		}
		s, err := x.Measure(rate, p.Seconds)
		if err != nil {
			return pair, err
		}
		if x == ours {
			pair.Ours = s
		} else {
			pair.Theirs = s
		}
	}
	pair.Counts = pair.Ours.Trusted() && pair.Theirs.Trusted()
	return pair, nil
}

// Trusted reports whether neither the machine nor the loader has spoilt the sample.
func (s *Sample) Trusted() bool { return s.Steal <= maxSteal && s.Late <= maxLate }

// judge draws the pairs together.
func (o *Outcome) judge() {
	var ours, theirs []Sample
	for _, p := range o.All {
		if p.Counts {
			ours, theirs = append(ours, p.Ours), append(theirs, p.Theirs)
		}
	}
	o.Pairs, o.Dropped = len(ours), len(o.All)-len(ours)
	if o.Untrusted = o.Pairs < 3 || o.Pairs*2 < len(o.All); o.Untrusted {
		ours, theirs = nil, nil
		for _, p := range o.All {
			ours, theirs = append(ours, p.Ours), append(theirs, p.Theirs)
		}
	}
	o.Ours, o.Theirs = Middle(ours), Middle(theirs)
	ratio := func(f func(Sample) float64) rig.Interval { return rig.Ratios(column(ours, f), column(theirs, f)) }
	o.CPU = ratio(func(s Sample) float64 { return s.CPU })
	o.User = ratio(func(s Sample) float64 { return s.User })
	o.P99 = ratio(func(s Sample) float64 { return s.P99 })
	o.P999 = ratio(func(s Sample) float64 { return s.P999 })
}

func column(s []Sample, f func(Sample) float64) []float64 {
	v := make([]float64, len(s))
	for i := range s {
		v[i] = f(s[i])
	}
	return v
}

// Middle gives the medians of samples, and the sums of what was sent, done and failed.
func Middle(s []Sample) Sample {
	med := func(f func(Sample) float64) float64 { return rig.Median(column(s, f)) }
	m := Sample{
		CPU: med(func(s Sample) float64 { return s.CPU }), User: med(func(s Sample) float64 { return s.User }),
		System: med(func(s Sample) float64 { return s.System }), P50: med(func(s Sample) float64 { return s.P50 }),
		P99: med(func(s Sample) float64 { return s.P99 }), P999: med(func(s Sample) float64 { return s.P999 }),
		Rate: med(func(s Sample) float64 { return s.Rate }), Late: med(func(s Sample) float64 { return s.Late }),
		Steal: med(func(s Sample) float64 { return s.Steal }), Errors: map[string]int{},
	}
	for _, x := range s {
		m.Sent, m.Done, m.Failed = m.Sent+x.Sent, m.Done+x.Done, m.Failed+x.Failed
		for kind, n := range x.Errors {
			m.Errors[kind] += n
		}
	}
	return m
}
