package balance

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	ms   = time.Millisecond
	base = int64(1) << 45 // when tests begin: hours after the clock's zero
)

// slowLatency is the slow twin: the same in float64, with the exact time and the exact exponential.
type slowLatency struct {
	average float64
	at      int64
}

func (l *slowLatency) observe(now int64, d time.Duration) {
	if x := float64(max(d, 1)); x >= l.average {
		l.average = x
	} else {
		l.average += (x - l.average) * -math.Expm1(-max(float64(now-l.at)/float64(decayTime), smallestStep))
	}
	l.at = now
}

func TestLatencyTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	for range 50 {
		var l Latency
		var slow slowLatency
		now := base + rng.Int64N(int64(100*24*time.Hour)) // stamps wrap in between
		for n := range 300 {
			now += int64(math.Pow(10, 5.5+5*rng.Float64())) // 0.3 ms to half a minute
			d := time.Duration(math.Pow(10, 9*rng.Float64()))
			l.Observe(now, d)
			was := slow.average
			slow.observe(now, d)
			if got, want := float64(l.Value()), slow.average; math.Abs(got-want) > 0.01*(want+was)+2 {
				t.Fatalf("step %d: %v, want %v", n, time.Duration(got), time.Duration(want))
			}
			slow.average = float64(l.Value()) // errors of many steps are not added up
		}
	}
}

func TestLatencyPeak(t *testing.T) {
	f := func(want time.Duration, steps ...any) {
		t.Helper()
		var l Latency
		now := base
		for i := 0; i < len(steps); i += 3 {
			now += int64(steps[i].(time.Duration))
			d := steps[i+2].(time.Duration)
			switch steps[i+1] {
			case "took":
				l.Observe(now, d)
			case "failed":
				l.Fail(now, d)
			case "decay":
				l.Decay(now)
			}
		}
		if got := l.Value(); got < want*97/100 || got > want*103/100 {
			t.Errorf("%v: %v, want %v", steps, got, want)
		}
	}
	s := time.Second
	f(0)
	f(5*ms, ms, "took", 5*ms)
	f(s, ms, "took", 5*ms, ms, "took", s) // a slow answer counts at once
	f(s, ms, "took", s, ms, "took", 5*ms) // a fast one bit by bit
	f(371*ms, ms, "took", s, 10*s, "took", 5*ms)
	f(5*ms, ms, "took", s, time.Hour, "took", 5*ms)
	f(s, ms, "took", s, ms, "failed", ms) // failing fast is not fast
	f(2*s, ms, "took", s, ms, "failed", 2*s)
	f(3*ms, ms, "failed", 3*ms)
	f(0, ms, "decay", ms)               // nothing to sink
	f(s, ms, "took", s, ms, "decay", s) // it has just been renewed
	f(368*ms, ms, "took", s, 10*s, "decay", s)
	f(1, ms, "took", s, time.Hour, "decay", s)
	f(s, ms, "took", s, -5*ms, "took", 5*ms) // of somebody whose clock is behind
	f(s, ms, "took", s, -5*ms, "decay", 5*ms)
	f(s, ms, "took", s, -5*ms, "failed", 5*ms)
}

// Every beat a little: as much as all at once.
func TestLatencyDecays(t *testing.T) {
	f := func(beat, passed, want time.Duration) {
		t.Helper()
		var l Latency
		l.Observe(base, time.Second)
		for at := beat; at <= passed; at += beat {
			l.Decay(base + int64(at))
		}
		if got := l.Value(); got < want*97/100 || got > want*103/100 {
			t.Errorf("by %v for %v: %v, want %v", beat, passed, got, want)
		}
	}
	f(100*ms, 10*time.Second, 368*ms)
	f(10*ms, 10*time.Second, 368*ms)
	f(time.Second, 20*time.Second, 135*ms)
	f(100*ms, 50*time.Second, 7*ms)
}

// Whatever happens at once, the average lies between the smallest and the largest that was seen.
func TestLatencyConcurrent(t *testing.T) {
	var l Latency
	l.Observe(base, 5*ms)
	var wg sync.WaitGroup
	for g := range int64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 3))
			for n := range int64(5000) {
				now := base + n*100_000 - g*int64(2*ms) // clocks differ by some milliseconds
				switch d := time.Duration(4e6 + rng.Int64N(4e6)); rng.IntN(10) {
				case 0:
					l.Fail(now, d)
				case 1:
					l.Decay(now)
				default:
					l.Observe(now, d)
				}
				if v := l.Value(); v < 3*ms || v > 8*ms {
					t.Errorf("average %v", v)
					return
				}
			}
		})
	}
	wg.Wait()
}

// timed gives each target what it is known to take; 0: it has not answered yet.
func (r *rig) timed(took ...time.Duration) *rig {
	for i, d := range took {
		r.targets[i].Latency = &Latency{}
		if d > 0 {
			r.targets[i].Latency.Observe(base, d)
		}
	}
	return r
}

func TestEWMAPick(t *testing.T) {
	f := func(what string, r *rig, inFlight []int64, want ...int) {
		t.Helper()
		for i, n := range inFlight {
			r.targets[i].InFlight.Store(n)
		}
		p := r.policy(t, ewmaKind, 0)
		for range 200 {
			if got := p.Pick(0, -1); !slices.Contains(want, got) {
				t.Fatalf("%s: picked %d, want one of %v", what, got, want)
			}
		}
	}
	f("the faster of two", newRig(1, 1).timed(5*ms, 50*ms), nil, 0)
	f("both are idle and alike", newRig(1, 1).timed(5*ms, 5*ms), nil, 0, 1)
	f("the faster has a few before", newRig(1, 1).timed(5*ms, 50*ms), []int64{8, 0}, 0)
	f("the faster has too many before", newRig(1, 1).timed(5*ms, 50*ms), []int64{10, 0}, 1)
	f("idle, by time", newRig(1, 4).timed(5*ms, 15*ms), nil, 0)
	f("busy, by weight", newRig(1, 4).timed(5*ms, 15*ms), []int64{9, 9}, 1)
	f("busy, by weight and time", newRig(1, 4).timed(5*ms, 15*ms), []int64{8, 9}, 0)
	f("a new one comes first", newRig(1, 1).timed(5*ms, 0), nil, 1)
	f("but is asked once until it answers", newRig(1, 1).timed(5*ms, 0), []int64{3, 1}, 0)
	f("all are new", newRig(1, 1).timed(0, 0), []int64{3, 1}, 0, 1)
	f("the faster is down", newRig(1, 1).timed(5*ms, 50*ms).down(0), nil, 1)
	f("nothing is known", newRig(1, 1), []int64{3, 1}, 1)
	f("slow start counts what runs for more", newRig(1, 1).timed(5*ms, 5*ms).ramp(0, 0.1), []int64{1, 5}, 1)
}

// clients runs the pool in steps of a millisecond, one request each: target i takes took(i, step). It returns
// who got how many.
func clients(r *rig, p Policy, steps int, from int64, took func(i, step int) time.Duration) []int {
	counts := make([]int, len(r.targets))
	ends := make([][]int, steps)
	begun := make([]int, 0, steps)
	for step := range steps {
		now := from + int64(step)*int64(ms)
		for _, id := range ends[step] {
			i := begun[id]
			r.targets[i].InFlight.Add(-1)
			r.targets[i].Latency.Observe(now, took(i, step))
		}
		if step%100 == 0 {
			for i := range r.targets {
				if r.targets[i].InFlight.Load() == 0 {
					r.targets[i].Latency.Decay(now)
				}
			}
		}
		i := p.Pick(0, -1)
		counts[i]++
		r.targets[i].InFlight.Add(1)
		begun = append(begun, i)
		if end := step + max(int(took(i, step)/ms), 1); end < steps {
			ends[end] = append(ends[end], step)
		}
	}
	for i := range r.targets {
		r.targets[i].InFlight.Store(0)
	}
	return counts
}

// The pool as a whole: the fast target gets most; one that becomes slow is left alone at once, and tried
// again after it has recovered; a new one gets its share.
func TestEWMAFollows(t *testing.T) {
	r := newRig(1, 1, 1).timed(0, 0, 0)
	p := r.policy(t, ewmaKind, 0)
	alike := func(int, int) time.Duration { return 5 * ms }
	slow := func(i, _ int) time.Duration {
		if i == 0 {
			return 500 * ms
		}
		return 5 * ms
	}
	f := func(what string, steps int, took func(i, step int) time.Duration, at *int64, low, high float64) {
		t.Helper()
		share := float64(clients(r, p, steps, *at, took)[0]) / float64(steps)
		*at += int64(steps) * int64(ms)
		if share < low || share > high {
			t.Errorf("%s: target 0 got %.3f, want %.2f to %.2f", what, share, low, high)
		}
	}
	now := base
	f("alike", 10_000, alike, &now, 0.28, 0.39)
	f("slow", 10_000, slow, &now, 0.0001, 0.1)
	f("slow for longer", 20_000, slow, &now, 0, 0.05) // it is asked once in half a minute
	f("just recovered", 10_000, alike, &now, 0.0001, 0.3)
	f("decaying", 60_000, alike, &now, 0.01, 0.4)
	f("recovered", 20_000, alike, &now, 0.2, 0.4)
	r.targets[0].Latency = &Latency{} // another target in its place
	p = r.policy(t, ewmaKind, 0)
	f("new", 10_000, alike, &now, 0.28, 0.39)
}
