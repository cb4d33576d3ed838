package hits

import (
	"errors"
	"path/filepath"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/rig"
)

// FullPlan is how a full cache is measured.
type FullPlan struct {
	Memory  int64   // of each cache in bytes
	Body    int     // bytes of each object's body
	Hot     int     // objects that are asked for
	Misses  float64 // share of the requests that are for objects not yet stored, in the second phase
	Conns   int
	Rate    float64 // requests a second
	Pairs   int
	Seconds float64 // of each block
	Warm    float64 // before each block, not counted
}

// Full is Penstock with a full cache beside Penstock with one as large that has the hot objects alone.
type Full struct {
	Plan   FullPlan `json:"plan"`
	Phases []Phase  `json:"phases"`
}

// Phase is what both have given. Ratios are those of the full one to the other, over the pairs.
type Phase struct {
	Misses    float64      `json:"misses"` // share of the requests
	Hot       Side         `json:"hot"`
	Full      Side         `json:"full"`
	P50       rig.Interval `json:"p50_ratio"`
	P99       rig.Interval `json:"p99_ratio"`
	CPU       rig.Interval `json:"cpu_ratio"`
	Pairs     int          `json:"pairs"`     // that count
	Dropped   int          `json:"dropped"`   // for steal, or for late sends
	Untrusted bool         `json:"untrusted"` // too few pairs count: all of them are shown
}

// Full fills one of two caches and measures hits of both, in turns.
func (s *Stage) Full(p FullPlan) (Full, error) {
	f := Full{Plan: p}
	addr, err := rig.FreeAddr()
	if err != nil {
		return f, err
	}
	o, err := rig.Start(rig.Program{Args: []string{s.Self, "origin", "-listen", addr}, Core: rig.OtherCore,
		Ours: true, Err: filepath.Join(s.Dir, "origin.log"), Ready: addr})
	if err != nil {
		return f, err
	}
	defer o.Stop()
	s.trace = true
	defer func() { s.trace = false }()
	var both [2]*side
	for i, name := range []string{"hot", "full"} {
		if both[i], err = s.side(name, addr, p); err != nil {
			return f, err
		}
		defer both[i].stop()
	}
	if err := s.fill(both[1], p); err != nil {
		return f, err
	}
	for _, x := range both {
		if err := s.ask(x, "o", 0, p.Hot, p); err != nil {
			return f, err
		}
	}
	for _, misses := range []float64{0, p.Misses} {
		phase, err := s.phase(both, p, misses)
		if err != nil {
			return f, err
		}
		f.Phases = append(f.Phases, phase)
	}
	return f, nil
}

// fill stores objects until a tenth of what fits had to go. Entries that the engine moves count as gone.
func (s *Stage) fill(x *side, p FullPlan) error {
	step := max(int(p.Memory/int64(p.Body))/16, 1)
	for from := 0; ; from += step {
		if err := s.ask(x, "f", from, from+step, p); err != nil {
			return err
		}
		m, err := rig.Scrape(x.admin)
		if err != nil {
			return err
		}
		entries, gone := m["penstock_cache_entries"], m["penstock_cache_evictions_total"]
		s.say("filling: %.0f entries, %.0f evicted", entries, gone)
		if gone > 0 && gone >= entries/10 {
			return nil
		}
		if from > 100*step {
			return errors.New("the cache does not become full")
		}
	}
}

// phase measures both in turns: the one with the hot objects alone first, then the full one first, and so on.
func (s *Stage) phase(both [2]*side, p FullPlan, misses float64) (Phase, error) {
	f := Phase{Misses: misses}
	for _, x := range both {
		if err := x.begin(); err != nil {
			return f, err
		}
	}
	for i := range p.Pairs {
		for j := range both {
			if err := both[(i+j)%2].measure(p, misses); err != nil {
				return f, err
			}
		}
		a, b := both[0].samples[i], both[1].samples[i]
		s.say("%.0f %% misses, %d/%d: p50 %.0f and %.0f µs, p99 %.0f and %.0f µs, stolen %.1f and %.1f %%, "+
			"sent late %.2f and %.2f %%", misses*100, i+1, p.Pairs, a.P50/1e3, b.P50/1e3, a.P99/1e3, b.P99/1e3,
			a.Steal*100, b.Steal*100, a.Late*100, b.Late*100)
	}
	f.judge(both[0].samples, both[1].samples)
	for i, to := range []*Side{&f.Hot, &f.Full} {
		sum, err := both[i].end()
		if err != nil {
			return f, err
		}
		sum.Sample = to.Sample
		*to = sum
	}
	return f, nil
}

// judge draws the pairs together.
func (f *Phase) judge(hot, full []duel.Sample) {
	var a, b []duel.Sample
	for i := range hot {
		if hot[i].Trusted() && full[i].Trusted() {
			a, b = append(a, hot[i]), append(b, full[i])
		}
	}
	f.Pairs, f.Dropped = len(a), len(hot)-len(a)
	if f.Untrusted = f.Pairs < 3 || f.Pairs*2 < len(hot); f.Untrusted {
		a, b = hot, full
	}
	f.Hot.Sample, f.Full.Sample = duel.Middle(a), duel.Middle(b)
	ratio := func(of func(duel.Sample) float64) rig.Interval {
		var x, y []float64
		for i := range a {
			x, y = append(x, of(b[i])), append(y, of(a[i]))
		}
		return rig.Ratios(x, y)
	}
	f.P50 = ratio(func(s duel.Sample) float64 { return s.P50 })
	f.P99 = ratio(func(s duel.Sample) float64 { return s.P99 })
	f.CPU = ratio(func(s duel.Sample) float64 { return s.CPU })
}
