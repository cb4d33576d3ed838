package duel

import (
	"maps"
	"math"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pairOf is a pair in which ours takes ours nanoseconds and the peer a hundred.
func pairOf(ours, steal, late float64) Pair {
	p := Pair{Ours: Sample{CPU: ours, User: ours, P99: ours, P999: ours, Steal: steal, Done: 1},
		Theirs: Sample{CPU: 100, User: 100, P99: 100, P999: 100, Late: late, Done: 2}}
	p.Counts = p.Ours.Trusted() && p.Theirs.Trusted()
	return p
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9*math.Abs(b) }

func TestJudge(t *testing.T) {
	good, stolen, late := pairOf(50, 0, 0), pairOf(900, .5, 0), pairOf(900, 0, .5)
	f := func(pairs, dropped int, untrusted bool, ratio float64, all ...Pair) {
		t.Helper()
		o := Outcome{All: all}
		o.judge()
		if o.Pairs != pairs || o.Dropped != dropped || o.Untrusted != untrusted {
			t.Errorf("%d pairs count, %d dropped, untrusted %t; want %d, %d, %t", o.Pairs, o.Dropped, o.Untrusted,
				pairs, dropped, untrusted)
		}
		for _, r := range []float64{o.CPU.Median, o.User.Median, o.P99.Median, o.P999.Median} {
			if !near(r, ratio) {
				t.Errorf("ratios %v %v %v %v, want %g", o.CPU, o.User, o.P99, o.P999, ratio)
				break
			}
		}
		shown := len(all) - dropped
		if untrusted {
			shown = len(all) // all of them are shown then
		}
		if o.Ours.Done != shown || o.Theirs.Done != 2*shown {
			t.Errorf("%d and %d requests, want those of %d pairs", o.Ours.Done, o.Theirs.Done, shown)
		}
	}
	f(3, 0, false, .5, good, good, good)
	f(3, 2, false, .5, good, stolen, good, late, good)
	f(3, 3, false, .5, good, stolen, late, good, late, good)
	f(3, 4, true, 9, good, stolen, late, good, late, good, late)
	f(2, 0, true, .5, good, good)
	f(2, 1, true, .5, good, good, late)
	f(0, 3, true, 9, late, late, stolen)
	f(4, 0, false, .6, good, good, pairOf(72, 0, 0), pairOf(72, 0, 0)) // in logarithms, the middle of both
}

func TestCounts(t *testing.T) {
	f := func(s Sample, want bool) {
		t.Helper()
		if s.Trusted() != want {
			t.Errorf("%+v counts: %t", s, !want)
		}
	}
	f(Sample{}, true)
	f(Sample{Steal: maxSteal, Late: maxLate}, true)
	f(Sample{Steal: maxSteal * 1.01}, false)
	f(Sample{Late: maxLate * 1.01}, false)
}

func TestMiddle(t *testing.T) {
	m := Middle([]Sample{
		{CPU: 3, User: 1, System: 2, P50: 10, P99: 30, P999: 50, Rate: 100, Late: .1, Steal: .3, Sent: 5, Done: 4, Failed: 1,
			Errors: map[string]int{"reset": 1}},
		{CPU: 1, User: 3, System: 6, P50: 30, P99: 10, P999: 70, Rate: 300, Late: .3, Steal: .1, Sent: 6, Done: 3, Failed: 3,
			Errors: map[string]int{"reset": 2, "closed": 1}},
		{CPU: 2, User: 2, System: 4, P50: 20, P99: 20, P999: 60, Rate: 200, Late: .2, Steal: .2, Sent: 7, Done: 7},
	})
	if !maps.Equal(m.Errors, map[string]int{"reset": 3, "closed": 1}) {
		t.Errorf("errors: %v", m.Errors)
	}
	got := [12]float64{m.CPU, m.User, m.System, m.P50, m.P99, m.P999, m.Rate, m.Late, m.Steal, float64(m.Sent),
		float64(m.Done), float64(m.Failed)}
	if want := [12]float64{2, 2, 4, 20, 20, 60, 200, .2, .2, 18, 14, 4}; got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTailJudge(t *testing.T) {
	round := func(direct, ours, theirs, steal float64) [3]Sample {
		return [3]Sample{{P99: direct, P999: direct}, {P99: ours, P999: ours, Steal: steal}, {P99: theirs, P999: theirs}}
	}
	f := func(kept, dropped int, ratio float64, rounds ...[3]Sample) {
		t.Helper()
		var x Tail
		x.judge(rounds)
		if x.Rounds != kept || x.Dropped != dropped || !near(x.P99.Median, ratio) || !near(x.P999.Median, ratio) {
			t.Errorf("%+v; want %d rounds, %d dropped, ratio %g", x, kept, dropped, ratio)
		}
	}
	a, b := round(10e3, 20e3, 30e3, 0), round(10e3, 90e3, 30e3, .5)
	f(1, 0, .5, a)
	f(2, 1, .5, a, b, a)
	f(0, 2, 4, b, b)
	f(1, 0, 1./20, round(10e3, 9e3, 30e3, 0)) // what is added is a microsecond at least
}

func TestTotal(t *testing.T) {
	f := func(text string, want int) {
		t.Helper()
		if got := total(text); got != want {
			t.Errorf("%d calls, want %d, in\n%s", got, want, text)
		}
	}
	f("", 0)
	f("strace: Process 1 attached\n", 0)
	const head = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
`
	const rows = ` 60.12    0.003456           3      1000           write
 39.88    0.002292           2      1100       100 read
  0.00    0.000000           0         1           epoll_ctl
------ ----------- ----------- --------- --------- ----------------
`
	f(head+rows+"100.00    0.005748           2      2101       100 total\n", 2101)
	f(head+rows+"100.00    0.005748                  2101       100 total\n", 2101) // of older versions
	f(head+rows+"100.00    0.005748                  2101           total\n", 2101)
	f("strace: Process 4711 detached\n"+head+rows, 2101)
}
