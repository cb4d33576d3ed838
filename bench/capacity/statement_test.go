package capacity

import (
	"math"
	"testing"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/rig"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1, math.Abs(b)) }

func TestState(t *testing.T) {
	r := &Report{Knee: duel.Knee{Rate: 40_000}, TLS: TLS{PerCore: 2000},
		Memory: Memory{Base: 1 << 20, Plain: Idle{3000, 1096}, TLS: Idle{Process: 16384}, Active: 32768},
		Features: []Row{
			{Name: "log", With: duel.Sample{CPU: 20_000}, Cost: rig.Interval{Median: 1000, Low: 500, High: 2000}},
			{Name: "fixed", Missing: "cannot"},
		}}
	s := r.state(Host{Cores: 8, MemoryGB: 16})
	if !near(s.PerCore, 26_000) || !near(s.Rate, 208_000) || !s.Linear || s.Efficiency != 1 ||
		!near(s.Handshakes, 16_000) {
		t.Errorf("%+v", s)
	}
	gb := 1073741824.0
	free := .8*16*gb - 1<<20
	if s.Plain != int(free/4096) || s.TLS != int(free/(16384+1096)) || s.Active != int(free/(32768+1096)) || !s.Kernel {
		t.Errorf("%+v", s)
	}
	if len(s.Shares) != 1 || s.Shares[0] != (Share{Feature: "log", Percent: 5, Low: 2.5, High: 10}) {
		t.Errorf("%+v", s.Shares)
	}
	s = (&Report{}).state(Host{Cores: 2, MemoryGB: 1})
	if s.Plain != 0 || s.Rate != 0 || s.Kernel {
		t.Errorf("nothing measured: %+v", s)
	}
}

func TestStateOfMeasuredCores(t *testing.T) {
	f := func(want float64, one, two Scaling) {
		t.Helper()
		one.Cores, two.Cores = 1, 2
		r := &Report{Knee: duel.Knee{Rate: 1000}, Scaling: []Scaling{one, two}}
		s := r.state(Host{Cores: 4, MemoryGB: 1})
		if !near(s.Efficiency, want) || s.Linear != (want == 1) || !near(s.Rate, 650*4*want) {
			t.Errorf("efficiency %g, want %g: %+v", s.Efficiency, want, s)
		}
	}
	full := func(x float64) Scaling {
		return Scaling{Points: []Load{{N: 1, X: x / 3, Busy: .5}, {N: 64, X: x, Busy: .95}}}
	}
	f(1/(1+.25*3), full(10_000), full(16_000)) // 2/(1+σ) = 1.6
	shared := full(16_000)
	shared.Shared = true
	f(1, full(10_000), shared)
	idle := Scaling{Points: []Load{{N: 64, X: 16_000, Busy: .6}}}
	f(1, full(10_000), idle)
}

func TestJudge(t *testing.T) {
	f := func(trusted []bool, counted int, untrusted bool, median float64) {
		t.Helper()
		var all []pair
		for i, ok := range trusted {
			all = append(all, pair{duel.Sample{CPU: 10 + float64(i)}, duel.Sample{CPU: 10}, ok})
		}
		var r Row
		r.judge(all)
		if r.Counted != counted || r.Untrusted != untrusted || r.Cost.Median != median || r.Pairs != len(all) {
			t.Errorf("%v: %+v", trusted, r)
		}
	}
	f([]bool{true, true, true, true}, 4, false, 1.5)
	f([]bool{true, true, true, false}, 3, false, 1)
	f([]bool{false, false, false, true}, 1, true, 1.5)
	f([]bool{false, true, true, true, false, false, false}, 3, true, 3)
}
