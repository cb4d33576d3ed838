package outlier

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Sample is what is known of a target. Requests and errors are counted since the process began.
type Sample struct {
	Key           string // tells targets apart from look to look
	Requests      uint64
	Errors        uint64 // of the target
	GatewayErrors uint64
	Latency       time.Duration // 0: not known
	Usable        bool          // it takes part in the comparison
}

// Verdict is a target to take out.
type Verdict struct {
	Index int    // in the samples
	Why   string // for the log and /status
}

// Judge compares targets from look to look. It keeps what it saw last; one goroutine uses it.
type Judge struct{ last map[string]*past }

type past struct {
	requests, errors uint64 // at the beginning of what is being added up
	looks            int
	seen             bool
}

// maxLooks is over how many looks requests are added up when there are few.
const maxLooks = 10

// Look returns the targets that are out of line, the worst first.
func (j *Judge) Look(c *Config, samples []Sample) []Verdict {
	if j.last == nil {
		j.last = map[string]*past{}
	}
	for _, p := range j.last {
		p.seen = false
	}
	scores := make([]score, 0, len(samples))
	for i := range samples {
		if s, ok := j.score(c, i, &samples[i]); ok {
			scores = append(scores, s)
		}
	}
	for key, p := range j.last {
		if !p.seen {
			delete(j.last, key)
		}
	}
	var found []Verdict
	all := newComparison(scores)
	for _, s := range scores {
		if why := all.judge(c, s); why != "" {
			found = append(found, Verdict{s.index, why})
		}
	}
	return found
}

// score sums up what a target did since it was looked at last; false: too little to say.
func (j *Judge) score(c *Config, i int, s *Sample) (score, bool) {
	errors := s.Errors + s.GatewayErrors
	p := j.last[s.Key]
	if p == nil || s.Requests < p.requests || errors < p.errors { // or it began to count anew
		j.last[s.Key] = &past{requests: s.Requests, errors: errors, seen: true}
		return score{}, false
	}
	p.seen = true
	n := s.Requests - p.requests
	bad := errors - p.errors
	enough := n >= uint64(c.MinRequests)
	if p.looks++; enough || p.looks >= maxLooks || !s.Usable {
		*p = past{requests: s.Requests, errors: errors, seen: true}
	}
	if !enough || !s.Usable {
		return score{}, false
	}
	return score{i, float64(n), float64(bad), float64(bad) / float64(n), float64(s.Latency)}, true
}

// score is a target in one look.
type score struct {
	index   int
	n       float64 // requests
	failed  float64 // of them
	bad     float64 // share of requests that failed
	latency float64 // nanoseconds; 0: not known
}

// comparison is what the targets of one look are compared with.
type comparison struct {
	bad, latency    []float64 // of all, in order; latencies only where they are known
	mean, deviation float64   // of the rates of success
}

// newComparison takes the scores in and sorts them, the worst first.
func newComparison(scores []score) *comparison {
	slices.SortFunc(scores, func(a, b score) int {
		return cmp.Or(cmp.Compare(b.bad, a.bad), cmp.Compare(b.latency, a.latency), a.index-b.index)
	})
	all := &comparison{}
	for _, s := range scores {
		all.bad = append(all.bad, s.bad)
		if s.latency > 0 {
			all.latency = append(all.latency, s.latency)
		}
		all.mean += (1 - s.bad) / float64(len(scores))
	}
	for _, s := range scores {
		off := 1 - s.bad - all.mean
		all.deviation += off * off
	}
	all.deviation = math.Sqrt(all.deviation / float64(len(scores)))
	slices.Sort(all.bad)
	slices.Sort(all.latency)
	return all
}

// judge returns why the target with this score is to be taken out; empty: it is not.
func (all *comparison) judge(c *Config, s score) string {
	usual, ok := medianWithout(all.bad, s.bad)
	if !ok {
		return "" // there is no other
	}
	if p := 100 * s.bad; c.ErrorPercent > 0 && p >= c.ErrorPercent && s.bad >= 2*usual {
		return fmt.Sprintf("%.0f %% of its requests fail, of the others %.0f %%", p, 100*usual)
	}
	if all.deviates(c, s) {
		return fmt.Sprintf("%.1f %% of its requests succeed, of all %.1f %%", 100-100*s.bad, 100*all.mean)
	}
	if c.LatencyFactor == 0 || s.latency == 0 {
		return ""
	}
	fast, ok := medianWithout(all.latency, s.latency)
	if ok && s.latency > c.LatencyFactor*fast && s.latency > fast+float64(c.LatencyMin) {
		return fmt.Sprintf("answers take %v, those of the others %v",
			time.Duration(s.latency).Round(time.Microsecond), time.Duration(fast).Round(time.Microsecond))
	}
	return ""
}

// leastDeviation is a difference of success rates that is never taken for one: where all but one target are
// without fault, the deviation is next to nothing.
const leastDeviation = 0.02

// deviates reports whether a rate of success is too far below the mean of all, and not by chance.
func (all *comparison) deviates(c *Config, s score) bool {
	if c.SuccessRateStdev == 0 || len(all.bad) < 3 {
		return false
	}
	below := s.bad - (1 - all.mean)
	return below > c.SuccessRateStdev*all.deviation && below > leastDeviation && all.noChance(s)
}

// noChance reports whether more requests failed than the others' rate explains. Failures of n requests vary
// by about the root of how many there are; a handful say nothing in any case.
func (all *comparison) noChance(s score) bool {
	others := float64(len(all.bad) - 1)
	expected := s.n * max(0, ((1-all.mean)*(others+1)-s.bad)/others)
	return s.failed-expected > 4+4*math.Sqrt(expected)
}

// medianWithout returns the median of sorted values without one of them, x; false: there is no other.
func medianWithout(sorted []float64, x float64) (median float64, ok bool) {
	n := len(sorted) - 1
	if n < 1 {
		return 0, false
	}
	gap, _ := slices.BinarySearch(sorted, x)
	at := func(i int) float64 {
		if i >= gap {
			i++
		}
		return sorted[i]
	}
	if n%2 == 0 {
		return (at(n/2-1) + at(n/2)) / 2, true
	}
	return at(n / 2), true
}
