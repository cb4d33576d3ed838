package health

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestThresholds reports results, '.' good, 'x' bad, '!' good while no target is usable, and looks at the state
// after each: '?' unknown, 'H', 'U'.
func TestThresholds(t *testing.T) {
	f := func(lines, results, want string) {
		t.Helper()
		c, k, got := good(t, lines), &Knowledge{}, ""
		for i, r := range results {
			var err error
			if r == 'x' {
				err = errDown
			}
			before := k.State()
			changed := k.Report(c, err, r == '!', start.Add(time.Duration(i)*time.Second))
			if changed != (k.State() != before) {
				t.Errorf("%s: changed is %v at %d", results, changed, i)
			}
			got += string("?HU"[k.State()])
		}
		if got != want {
			t.Errorf("%s: states %s, want %s", results, got, want)
		}
	}
	f("", "", "")
	f("", ".", "H")
	f("", "x", "U")
	f("", ".xxx", "HHHU")
	f("", ".xx.xx.xxx", "HHHHHHHHHU")
	f("", "x..", "UUH")
	f("", "x.x.x..", "UUUUUUH")
	f("", "x!", "UH")
	f("", ".xxx!xxx", "HHHUHHHU")
	f("", "!x", "HH")
	f("healthy_after = 1\nunhealthy_after = 1", ".x.x", "HUHU")
	f("healthy_after = 3", "x...", "UUUH")
}

// What is known stays when the thresholds change, streak and all.
func TestThresholdsChange(t *testing.T) {
	slow, quick := good(t, "unhealthy_after = 10"), good(t, "unhealthy_after = 3")
	var k Knowledge
	k.Report(slow, nil, false, start)
	for range 5 {
		k.Report(slow, errDown, false, start)
	}
	if k.State() != Healthy {
		t.Fatal("unhealthy too early")
	}
	if !k.Report(quick, errDown, false, start) || k.State() != Unhealthy {
		t.Fatal("the new threshold does not hold")
	}
}

// TestThresholdsTwin compares with a twin that keeps all results and looks back.
func TestThresholdsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Config{
			HealthyAfter:   rapid.IntRange(1, 5).Draw(t, "healthy"),
			UnhealthyAfter: rapid.IntRange(1, 5).Draw(t, "unhealthy"),
		}
		var k Knowledge
		var results []bool
		state := Unknown
		for range rapid.IntRange(0, 40).Draw(t, "checks") {
			ok, alone := rapid.Bool().Draw(t, "ok"), rapid.IntRange(0, 9).Draw(t, "alone") == 0
			results = append(results, ok)
			err := errDown
			if ok {
				err = nil
			}
			k.Report(c, err, alone, start)
			switch {
			case state == Unknown && ok, state == Unhealthy && ok && alone:
				state = Healthy
			case state == Unknown:
				state = Unhealthy
			case state == Healthy && lastAre(results, c.UnhealthyAfter, false):
				state = Unhealthy
			case state == Unhealthy && lastAre(results, c.HealthyAfter, true):
				state = Healthy
			}
			if k.State() != state {
				t.Fatalf("%v: %v, want %v", results, k.State(), state)
			}
		}
	})
}

func lastAre(results []bool, n int, ok bool) bool {
	if len(results) < n {
		return false
	}
	for _, r := range results[len(results)-n:] {
		if r != ok {
			return false
		}
	}
	return true
}

func TestUsable(t *testing.T) {
	best, worst := good(t, ""), good(t, "assume = 'unhealthy'")
	f := func(k *Knowledge, wantBest, wantWorst bool) {
		t.Helper()
		if k.Usable(best) != wantBest || k.Usable(worst) != wantWorst {
			t.Errorf("%v: usable %v, %v", k.State(), k.Usable(best), k.Usable(worst))
		}
	}
	var k, bad Knowledge
	f(&k, true, false)
	k.Report(best, nil, false, start)
	f(&k, true, true)
	bad.Report(best, errDown, false, start)
	f(&bad, false, false)
}

func TestSnapshot(t *testing.T) {
	c := good(t, "")
	var k Knowledge
	f := func(want string) {
		t.Helper()
		got, err := json.Marshal(k.Snapshot())
		if err != nil || string(got) != want {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
	}
	f(`{"state":"unknown","checks":0,"failures":0}`)
	k.Report(c, errDown, false, start)
	f(`{"state":"unhealthy","since":"2026-01-02T03:04:05Z","last_check":"2026-01-02T03:04:05Z",` +
		`"last_error":"down","last_failure":"2026-01-02T03:04:05Z","checks":1,"failures":1}`)
	k.Report(c, nil, false, start.Add(time.Second))
	k.Report(c, nil, false, start.Add(2*time.Second))
	k.Report(c, nil, false, start.Add(3*time.Second))
	f(`{"state":"healthy","since":"2026-01-02T03:04:07Z","last_check":"2026-01-02T03:04:08Z",` +
		`"last_error":"down","last_failure":"2026-01-02T03:04:05Z","checks":4,"failures":1}`)
}

func TestKnowledgeIsShared(t *testing.T) {
	c := good(t, "")
	var k Knowledge
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 500 {
				var err error
				if i%2 == 0 {
					err = errDown
				}
				k.Report(c, err, false, start)
				k.Usable(c)
				k.Snapshot()
			}
		})
	}
	all.Wait()
	if s := k.Snapshot(); s.Checks != 4000 || s.Failures != 2000 {
		t.Errorf("%d checks, %d failures", s.Checks, s.Failures)
	}
}
