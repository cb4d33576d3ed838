package outlier

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// plain are settings of which a test changes what it is about.
func plain() *Config {
	return &Config{ConsecutiveErrors: 5, ConsecutiveGatewayErrors: 3, Interval: time.Second, MinRequests: 10,
		LatencyMin: 50 * time.Millisecond, EjectFor: 30 * time.Second, MaxEjectFor: 2 * time.Minute,
		MaxEjectedPercent: 50}
}

// The two kinds of errors are counted apart; success ends both.
func TestStreak(t *testing.T) {
	var s Streak
	f := func(k Kind, want int) {
		t.Helper()
		if n := s.Error(k); n != want {
			t.Errorf("kind %d: %d in a row, want %d", k, n, want)
		}
	}
	f(TargetError, 1)
	f(GatewayError, 1)
	f(TargetError, 2)
	f(TargetError, 3)
	f(GatewayError, 2)
	s.Success()
	f(TargetError, 1)
	f(GatewayError, 1)
}

func TestTripped(t *testing.T) {
	f := func(k Kind, run int, want bool) {
		t.Helper()
		if Tripped(plain(), k, run) != want {
			t.Errorf("kind %d, %d in a row: not %v", k, run, want)
		}
	}
	f(TargetError, 4, false)
	f(TargetError, 5, true)
	f(TargetError, 6, true) // those before came while it was out, or was not allowed to be
	f(GatewayError, 2, false)
	f(GatewayError, 3, true)
	if Tripped(&Config{}, TargetError, 1_000_000) {
		t.Error("what is off has tripped")
	}
}

func TestAllowed(t *testing.T) {
	f := func(percent, total, ejected int, want bool) {
		t.Helper()
		c := plain()
		c.MaxEjectedPercent = percent
		if Allowed(c, total, ejected) != want {
			t.Errorf("%d %%, %d of %d are out: one more is not %v", percent, ejected, total, want)
		}
	}
	f(50, 4, 0, true)
	f(50, 4, 1, true)
	f(50, 4, 2, false)
	f(50, 1, 0, false) // the last one stays
	f(50, 2, 0, true)
	f(50, 2, 1, false)
	f(100, 3, 1, true)
	f(100, 3, 2, false)
	f(10, 5, 0, true) // one may always go
	f(10, 5, 1, false)
	f(0, 5, 0, false)
	rapid.Check(t, func(t *rapid.T) {
		c := plain()
		c.MaxEjectedPercent = rapid.IntRange(0, 100).Draw(t, "percent")
		total, out := rapid.IntRange(0, 200).Draw(t, "targets"), 0
		for Allowed(c, total, out) {
			out++
		}
		if out > 1 && out*100 > c.MaxEjectedPercent*total || out > 0 && out >= total {
			t.Fatalf("%d of %d may be out at %d %%", out, total, c.MaxEjectedPercent)
		}
	})
}

// Attempts end on many cores at once.
func TestStreakConcurrent(t *testing.T) {
	var s Streak
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				s.Error(GatewayError)
			}
		})
	}
	wg.Wait()
	if n := s.Error(GatewayError); n != 8001 {
		t.Errorf("%d counted, want 8001", n)
	}
}
