package outlier

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// traffic is what a target does between two looks.
type traffic struct {
	n, bad  int
	latency time.Duration
	out     bool
}

// looked lets a judge look twice and returns the targets that it finds, and why.
func looked(c *Config, all ...traffic) (found []int, why []string) {
	var j Judge
	samples := make([]Sample, len(all))
	for i := range samples {
		samples[i] = Sample{Key: string(rune('a' + i)), Usable: true}
	}
	j.Look(c, samples)
	for i, t := range all {
		samples[i].Requests, samples[i].Errors = uint64(t.n), uint64(t.bad/2)
		samples[i].GatewayErrors = uint64(t.bad - t.bad/2)
		samples[i].Latency, samples[i].Usable = t.latency, !t.out
	}
	for _, v := range j.Look(c, samples) {
		found, why = append(found, v.Index), append(why, v.Why)
	}
	return found, why
}

func TestLook(t *testing.T) {
	f := func(name string, change func(*Config), want []int, why string, all ...traffic) {
		t.Helper()
		c := plain()
		change(c)
		got, said := looked(c, all...)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if len(want) > 0 && !strings.Contains(strings.Join(said, "\n"), why) {
			t.Errorf("%s: %q, want %q", name, said, why)
		}
	}
	percent := func(c *Config) { c.ErrorPercent = 20 }
	stdev := func(c *Config) { c.SuccessRateStdev = 1.5 }
	latency := func(c *Config) { c.LatencyFactor = 3 }
	good := traffic{n: 100}
	f("nothing is looked at", func(*Config) {}, nil, "", good, good, traffic{n: 100, bad: 100})
	f("errors", percent, []int{1}, "20 % of its requests fail, of the others 0 %", good,
		traffic{n: 100, bad: 20}, good)
	f("fewer", percent, nil, "", good, traffic{n: 100, bad: 19}, good)
	f("too few requests", percent, nil, "", good, traffic{n: 9, bad: 9}, good)
	f("all err: it is not theirs", percent, nil, "", traffic{n: 100, bad: 50}, traffic{n: 100, bad: 60},
		traffic{n: 100, bad: 50})
	f("the worst first", percent, []int{2, 0}, "", traffic{n: 100, bad: 30}, good,
		traffic{n: 100, bad: 90}, good, good)
	f("twice as many as others", percent, []int{0}, "", traffic{n: 100, bad: 40}, traffic{n: 100, bad: 20})
	f("not twice as many", percent, nil, "", traffic{n: 100, bad: 39}, traffic{n: 100, bad: 20})
	f("nobody to compare with", percent, nil, "", traffic{n: 100, bad: 100})
	f("one that is out does not count", percent, nil, "", good, traffic{n: 100, bad: 100, out: true}, good)
	f("success rate", stdev, []int{3}, "90.0 % of its requests succeed, of all 97.5 %", good, good, good,
		traffic{n: 100, bad: 10})
	f("a single error", stdev, nil, "", good, good, good, traffic{n: 100, bad: 2})
	f("one of twenty", stdev, nil, "", traffic{n: 20}, traffic{n: 20}, traffic{n: 20}, traffic{n: 20, bad: 1})
	f("four of twenty", stdev, nil, "", traffic{n: 20}, traffic{n: 20}, traffic{n: 20}, traffic{n: 20, bad: 4})
	f("five of twenty", stdev, []int{3}, "75.0 % of its requests succeed", traffic{n: 20}, traffic{n: 20},
		traffic{n: 20}, traffic{n: 20, bad: 5})
	some := traffic{n: 100, bad: 4} // as many may be chance up to 4 + 4 + 4·√4
	f("a little more than others", stdev, nil, "", some, some, some, traffic{n: 100, bad: 15})
	f("too many more than others", stdev, []int{3}, "", some, some, some, traffic{n: 100, bad: 17})
	much := traffic{n: 10_000}
	f("too little to matter", stdev, nil, "", much, much, much, traffic{n: 10_000, bad: 260})
	f("enough to matter", stdev, []int{3}, "", much, much, much, traffic{n: 10_000, bad: 270})
	below := func(c *Config) { c.SuccessRateStdev = 0.9 }
	f("two are too few for a deviation", below, nil, "", good, traffic{n: 100, bad: 90})
	f("three are enough", below, []int{2}, "", good, good, traffic{n: 100, bad: 90})
	fast := traffic{n: 100, latency: 20 * time.Millisecond}
	f("slow", latency, []int{2}, "answers take 200ms, those of the others 20ms", fast, fast,
		traffic{n: 100, latency: 200 * time.Millisecond})
	f("not slow enough", latency, nil, "", fast, fast, traffic{n: 100, latency: 60 * time.Millisecond})
	f("a matter of no time", latency, nil, "", traffic{n: 100, latency: time.Millisecond},
		traffic{n: 100, latency: 40 * time.Millisecond})
	slow, slower := traffic{n: 100, latency: 200 * time.Millisecond}, traffic{n: 100, latency: time.Second}
	f("the slowest first", latency, []int{4, 1}, "", fast, slow, fast, fast, slower)
	f("equals in the order of the pool", percent, []int{1, 2}, "", good, traffic{n: 100, bad: 50},
		traffic{n: 100, bad: 50}, good, good)
	f("of some it is not known", latency, nil, "", traffic{n: 100},
		traffic{n: 100, latency: 100 * time.Millisecond}, traffic{n: 100, latency: 180 * time.Millisecond})
	f("latency is not known", latency, nil, "", traffic{n: 100}, traffic{n: 100, latency: time.Second})
}

// Requests of a quiet target are added up over some looks, but not for ever.
func TestQuietTargets(t *testing.T) {
	c := plain()
	c.ErrorPercent = 50
	run := func(each int) (at int) {
		var j Judge
		samples := []Sample{{Key: "a", Usable: true}, {Key: "b", Usable: true}}
		for i := range 40 {
			samples[0].Requests += 100
			samples[1].Requests += uint64(each)
			samples[1].Errors += uint64(each)
			if len(j.Look(c, samples)) > 0 {
				return i
			}
		}
		return -1
	}
	if at := run(2); at != 5 {
		t.Errorf("two errors a look: found after %d looks, want 5", at)
	}
	if at := run(1); at != 10 {
		t.Errorf("an error a look: found after %d looks, want 10", at)
	}
	c.MinRequests = 11
	if at := run(1); at != -1 {
		t.Errorf("an error a look, and eleven needed: found after %d looks", at)
	}
}

// What a target does while it is out (it may be asked when nobody else can be) is not held against it later.
func TestBackWithoutPast(t *testing.T) {
	c := plain()
	c.ErrorPercent = 20
	var j Judge
	a, b := Sample{Key: "a", Usable: true}, Sample{Key: "b"}
	f := func(requests, errors uint64) {
		t.Helper()
		a.Requests += 100
		b.Requests += requests
		b.Errors += errors
		if v := j.Look(c, []Sample{a, b}); len(v) != 0 {
			t.Errorf("found %v", v)
		}
	}
	for range 4 {
		f(3, 3)
	}
	b.Usable = true
	f(10, 0)
}

// Targets that come, go and begin to count anew are no outliers for that.
func TestTargetsComeAndGo(t *testing.T) {
	c := plain()
	c.ErrorPercent = 20
	var j Judge
	f := func(samples ...Sample) {
		t.Helper()
		if v := j.Look(c, samples); len(v) != 0 {
			t.Errorf("found %v", v)
		}
	}
	a := Sample{Key: "a", Requests: 1000, Usable: true}
	f(a)
	a.Requests += 100
	f(a, Sample{Key: "b", Requests: 100, Errors: 100, Usable: true}) // of a time that was not seen
	a.Requests += 100
	f(a)
	if len(j.last) != 1 {
		t.Errorf("%d targets are remembered", len(j.last))
	}
	a.Requests += 100
	f(a, Sample{Key: "b", Requests: 50, Errors: 50, Usable: true})
	a.Requests += 100
	f(a, Sample{Key: "b", Requests: 20, Errors: 20, Usable: true}) // fewer than before: it began anew
	a.Requests += 100
	f(a, Sample{Key: "b", Requests: 90, Errors: 0, Usable: true}) // and once more, with more requests
}

// slowLook is what a judge says of targets that began to be seen at 0, written down without care for speed:
// each target against a list of the others.
func slowLook(c *Config, samples []Sample) (found []string, tie bool) {
	type target struct {
		key              string
		share, took      float64
		requests, failed float64
	}
	var all []target
	for _, s := range samples {
		if s.Usable && s.Requests >= uint64(c.MinRequests) {
			n, failed := float64(s.Requests), float64(s.Errors+s.GatewayErrors)
			all = append(all, target{s.Key, failed / n, float64(s.Latency), n, failed})
		}
	}
	slices.SortStableFunc(all, func(a, b target) int {
		return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(b.took, a.took))
	})
	mean, deviation := 0.0, 0.0
	for _, t := range all {
		mean += (1 - t.share) / float64(len(all))
	}
	for _, t := range all {
		deviation += (1 - t.share - mean) * (1 - t.share - mean) / float64(len(all))
	}
	deviation = math.Sqrt(deviation)
	for _, t := range all {
		var shares, times []float64
		for _, o := range all {
			if o.key == t.key {
				continue
			}
			shares = append(shares, o.share)
			if o.took > 0 {
				times = append(times, o.took)
			}
		}
		if len(shares) == 0 {
			continue
		}
		bad := c.ErrorPercent > 0 && 100*t.share >= c.ErrorPercent && t.share >= 2*middle(shares)
		usual, below := total(shares)/float64(len(shares)), t.share-(1-mean)
		tooMany := t.requests*usual + 4 + 4*math.Sqrt(t.requests*usual)
		tie = tie || math.Abs(t.failed-tooMany) < 1e-6 // a matter of rounding
		odd := c.SuccessRateStdev > 0 && len(all) > 2 && below > 0.02 && t.failed > tooMany &&
			below > c.SuccessRateStdev*deviation
		slow := c.LatencyFactor > 0 && len(times) > 0 && t.took > c.LatencyFactor*middle(times) &&
			t.took > middle(times)+float64(c.LatencyMin)
		if bad || odd || slow {
			found = append(found, t.key)
		}
	}
	return found, tie
}

func total(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum
}

func middle(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func TestLookAgainstTwin(t *testing.T) {
	hits := 0
	rapid.Check(t, func(t *rapid.T) {
		c := plain()
		c.ErrorPercent = float64(rapid.IntRange(0, 60).Draw(t, "error percent"))
		c.SuccessRateStdev = 0.137 * float64(rapid.IntRange(0, 20).Draw(t, "deviations"))
		c.LatencyFactor = float64(rapid.IntRange(0, 4).Draw(t, "factor"))
		n := rapid.IntRange(0, 12).Draw(t, "targets")
		samples := make([]Sample, n)
		var j Judge
		for i := range samples {
			samples[i].Key = fmt.Sprint(i)
		}
		j.Look(c, samples)
		for i := range samples {
			s := &samples[i]
			s.Requests = uint64(rapid.IntRange(5, 60).Draw(t, "requests"))
			s.Errors = uint64(rapid.IntRange(0, int(s.Requests)).Draw(t, "errors"))
			s.GatewayErrors = uint64(rapid.IntRange(0, int(s.Requests-s.Errors)).Draw(t, "gateway errors"))
			s.Latency = time.Duration(rapid.IntRange(0, 9).Draw(t, "latency")) * 50 * time.Millisecond
			s.Usable = rapid.IntRange(0, 5).Draw(t, "usable") > 0
		}
		var got []string
		for _, v := range j.Look(c, samples) {
			got = append(got, samples[v.Index].Key)
		}
		if want, tie := slowLook(c, samples); !tie && !slices.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
		hits += len(got)
	})
	if hits == 0 {
		t.Error("none was found in any of the pools")
	}
}
