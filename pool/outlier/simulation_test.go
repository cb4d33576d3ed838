package outlier

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// simulation is a pool of which some targets misbehave for a while: what the pool does with this package.
type simulation struct {
	c         *Config
	rng       *rand.Rand
	judge     Judge
	samples   []Sample
	streaks   []Streak
	ejections []Ejection
	outFor    []int // seconds
	most      int   // that were out at once
	why       []string
}

// manner is how a target behaves: its chances to fail, of one request, and how long it takes.
type manner struct {
	target, gateway float64
	latency         time.Duration
}

// sane is a target with a little noise.
var sane = manner{target: 0.001, gateway: 0.001, latency: 20 * time.Millisecond}

func newSimulation(c *Config, targets int) *simulation {
	s := &simulation{c: c, rng: rand.New(rand.NewPCG(1, 2)), samples: make([]Sample, targets),
		streaks: make([]Streak, targets), ejections: make([]Ejection, targets), outFor: make([]int, targets)}
	for i := range s.samples {
		s.samples[i] = Sample{Key: fmt.Sprint(i), Usable: true}
	}
	return s
}

func (s *simulation) eject(i int, now int64, why string) {
	if out := s.out(); s.samples[i].Usable && Allowed(s.c, len(s.samples), out) {
		s.ejections[i].Eject(s.c, now)
		s.streaks[i].Success()
		s.samples[i].Usable = false
		s.most = max(s.most, out+1)
		s.why = append(s.why, why)
	}
}

func (s *simulation) out() (n int) {
	for _, t := range s.samples {
		if !t.Usable {
			n++
		}
	}
	return n
}

// attempt is one attempt at a target.
func (s *simulation) attempt(i int, m manner, now int64) {
	t := &s.samples[i]
	t.Requests++
	kind := TargetError
	switch p := s.rng.Float64(); {
	case p < m.gateway:
		t.GatewayErrors++
		kind = GatewayError
	case p < m.gateway+m.target:
		t.Errors++
	default:
		t.Latency = m.latency + time.Duration(s.rng.Int64N(int64(m.latency)/4))
		s.streaks[i].Success()
		return
	}
	if run := s.streaks[i].Error(kind); Tripped(s.c, kind, run) {
		s.eject(i, now, "in a row")
	}
}

// second lets a second pass in which every usable target is asked fifty times.
func (s *simulation) second(at int, of func(i int) manner) {
	now := int64(at+1) * second
	for i := range s.samples {
		if s.ejections[i].Over(now) {
			s.samples[i].Usable = true
		}
		if !s.samples[i].Usable {
			s.outFor[i]++
		}
	}
	for range 50 {
		for i := range s.samples {
			if s.samples[i].Usable {
				s.attempt(i, of(i), now)
			}
		}
	}
	for _, v := range s.judge.Look(s.c, s.samples) {
		s.eject(v.Index, now, v.Why)
	}
}

// Twelve targets for ten minutes, of which some misbehave from the first minute on until the seventh. They
// are out for most of that time if there may be so many, the others never, and all are back at the end.
func TestSimulation(t *testing.T) {
	f := func(name string, change func(*Config), bad int, worse manner, most int) {
		t.Helper()
		c := &Config{MinRequests: 10, LatencyMin: 50 * time.Millisecond, EjectFor: 10 * time.Second,
			MaxEjectFor: time.Minute, MaxEjectedPercent: 50}
		change(c)
		s := newSimulation(c, 12)
		for at := range 600 {
			s.second(at, func(i int) manner {
				if i < bad && at >= 60 && at < 420 {
					return worse
				}
				return sane
			})
		}
		if s.most != most {
			t.Errorf("%s: %d were out at once, want %d: %q", name, s.most, most, s.why)
		}
		together := 0
		for i, out := range s.outFor {
			if i < bad {
				together += out
			} else if out > 0 {
				t.Errorf("%s: target %d was out for %d s", name, i, out)
			}
			if !s.samples[i].Usable {
				t.Errorf("%s: target %d is still out", name, i)
			}
		}
		if together < 360*most*3/4 {
			t.Errorf("%s: %d targets were out for %d s together", name, bad, together)
		}
	}
	row := func(c *Config) { c.ConsecutiveErrors, c.ConsecutiveGatewayErrors = 5, 5 }
	percent := func(c *Config) { c.ErrorPercent = 20 }
	errs, breaks := manner{target: 0.4, latency: sane.latency}, manner{gateway: 0.4, latency: sane.latency}
	f("errors in a row", row, 2, errs, 2)
	f("gateway errors in a row", row, 2, breaks, 2)
	f("only gateway errors matter", func(c *Config) { c.ConsecutiveGatewayErrors = 5 }, 2, errs, 0)
	f("error percent", percent, 2, errs, 2)
	f("error percent, gateway errors", percent, 2, breaks, 2)
	f("success rate", func(c *Config) { c.SuccessRateStdev = 1.9 }, 2, errs, 2)
	f("latency", func(c *Config) { c.LatencyFactor = 5 }, 2, manner{latency: time.Second}, 2)
	f("not slow enough", func(c *Config) { c.LatencyFactor = 5 }, 2, manner{latency: 60 * time.Millisecond}, 0)
	f("half of them, and no more", row, 9, errs, 6)
	f("a quarter", func(c *Config) { row(c); c.MaxEjectedPercent = 25 }, 9, errs, 3)
	f("one may always go", func(c *Config) { row(c); c.MaxEjectedPercent = 1 }, 9, errs, 1)
	f("none may", func(c *Config) { row(c); c.MaxEjectedPercent = 0 }, 9, errs, 0)
	f("all of them: it is not theirs", percent, 12, errs, 0)
}

// The same seed gives the same pool.
func TestSimulationRepeats(t *testing.T) {
	run := func() *simulation {
		c := plain()
		c.ErrorPercent = 20
		s := newSimulation(c, 5)
		for at := range 100 {
			s.second(at, func(i int) manner { return manner{target: 0.2 * float64(i), latency: sane.latency} })
		}
		return s
	}
	a, b := run(), run()
	if !slices.Equal(a.outFor, b.outFor) || !slices.Equal(a.why, b.why) || len(a.why) == 0 {
		t.Errorf("%v and %v, %q and %q", a.outFor, b.outFor, a.why, b.why)
	}
}

// Whatever the targets do and the settings are, never more than allowed are out, and one is left.
func TestNeverTooMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := plain()
		c.EjectFor = time.Duration(rapid.IntRange(1, 20).Draw(t, "eject for")) * time.Second
		c.ErrorPercent = float64(rapid.IntRange(0, 100).Draw(t, "error percent"))
		c.SuccessRateStdev = float64(rapid.IntRange(0, 3).Draw(t, "deviations"))
		c.LatencyFactor = float64(rapid.IntRange(0, 3).Draw(t, "factor"))
		c.MaxEjectedPercent = rapid.IntRange(0, 100).Draw(t, "at most")
		manners := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) manner {
			return manner{rapid.Float64Range(0, 1).Draw(t, "target"), rapid.Float64Range(0, 1).Draw(t, "gateway"),
				time.Duration(rapid.IntRange(1, 500).Draw(t, "ms")) * time.Millisecond}
		}), 1, 10).Draw(t, "manners")
		s := newSimulation(c, len(manners))
		for at := range 10 {
			s.second(at, func(i int) manner { return manners[i] })
			n := s.out()
			switch all := len(manners); {
			case n == 0:
			case c.MaxEjectedPercent == 0 || n == all:
				t.Fatalf("%d of %d are out", n, all)
			case n > 1 && 100*n > c.MaxEjectedPercent*all:
				t.Fatalf("%d of %d are out at %d %%", n, all, c.MaxEjectedPercent)
			}
		}
	})
}
