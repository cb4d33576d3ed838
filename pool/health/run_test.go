package health

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is a target that fails as long as down is set, and notes when it is asked. Connects take a time.
type script struct {
	mu    sync.Mutex // guards all below
	down  bool
	takes time.Duration
	at    []time.Duration // since the script began
	from  time.Time
}

func (s *script) dial(ctx context.Context) (net.Conn, error) {
	s.mu.Lock()
	s.at = append(s.at, time.Since(s.from))
	takes, down := s.takes, s.down
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if down {
		return nil, errDown
	}
	near, far := net.Pipe()
	return near, far.Close()
}

func (s *script) set(down bool, takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.takes = down, takes
}

// checks returns when the checks so far began, and forgets all but the last.
func (s *script) checks() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.at
	s.at = slices.Clone(at[max(len(at)-1, 0):])
	return at
}

// gaps returns the times between the checks so far, and forgets all but the last.
func (s *script) gaps() []time.Duration {
	at := s.checks()
	var gaps []time.Duration
	for i := 1; i < len(at); i++ {
		gaps = append(gaps, at[i]-at[i-1])
	}
	return gaps
}

// play runs a checker of s in a bubble while act does something, and ends it.
func play(t *testing.T, lines string, s *script, act func(t *testing.T, h *Checker, k *Knowledge)) {
	t.Helper()
	c := good(t, "kind = 'tcp'\n"+lines)
	synctest.Test(t, func(t *testing.T) {
		s.from = time.Now()
		h := NewChecker(c, Target{Address: "a:1", Dial: s.dial})
		var k Knowledge
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.Run(ctx, &k, func(err error) { k.Report(c, err, false, time.Now()) })
		}()
		act(t, h, &k)
		cancel()
		ended := time.Now()
		<-done
		if late := time.Since(ended); late > s.takes { // a check that is under way may end
			t.Errorf("Run ended %s late", late)
		}
	})
}

func wantGaps(t *testing.T, gaps []time.Duration, least int, lo, hi time.Duration) {
	t.Helper()
	if len(gaps) < least {
		t.Errorf("%d checks, want %d", len(gaps), least)
	}
	distinct := map[time.Duration]bool{}
	for _, gap := range gaps {
		distinct[gap] = true
		if gap < lo || gap > hi {
			t.Errorf("a gap of %s, want %s to %s", gap, lo, hi)
		}
	}
	if lo != hi && len(distinct) < 2 && len(gaps) > 1 {
		t.Error("no jitter")
	}
}

func TestRunIntervals(t *testing.T) {
	s := &script{}
	play(t, "interval = '10s'\nunhealthy_interval = '1s'", s, func(t *testing.T, _ *Checker, k *Knowledge) {
		time.Sleep(time.Second + 1)
		if at := s.checks(); len(at) != 1 || at[0] > time.Second {
			t.Errorf("first checks at %v", at)
		}
		time.Sleep(200 * time.Second)
		synctest.Wait()
		wantGaps(t, s.gaps(), 18, 9*time.Second, 11*time.Second)

		s.set(true, 0)
		time.Sleep(34 * time.Second) // three failures
		synctest.Wait()
		if k.State() != Unhealthy {
			t.Error("still healthy")
		}
		s.gaps()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		wantGaps(t, s.gaps(), 17, 900*time.Millisecond, 1100*time.Millisecond)

		s.set(false, 0)
		time.Sleep(2300 * time.Millisecond) // two successes
		synctest.Wait()
		if k.State() != Healthy {
			t.Error("still unhealthy")
		}
		s.gaps()
		time.Sleep(60 * time.Second)
		synctest.Wait()
		wantGaps(t, s.gaps(), 5, 9*time.Second, 11*time.Second)
	})
}

// The default unhealthy interval gives way to a faster interval.
func TestRunFastInterval(t *testing.T) {
	s := &script{down: true}
	play(t, "interval = '100ms'", s, func(t *testing.T, _ *Checker, _ *Knowledge) {
		time.Sleep(5 * time.Second)
		synctest.Wait()
		wantGaps(t, s.gaps(), 40, 90*time.Millisecond, 110*time.Millisecond)
	})
}

func TestEvery(t *testing.T) {
	c := good(t, "interval = '7s'\nunhealthy_interval = '3s'")
	f := func(s State, want time.Duration) {
		t.Helper()
		if got := c.every(s); got != want {
			t.Errorf("%v: every %s, want %s", s, got, want)
		}
	}
	f(Unknown, 3*time.Second)
	f(Healthy, 7*time.Second)
	f(Unhealthy, 3*time.Second)
}

// What a check takes is part of the interval, and some of it is left free.
func TestRunSlowTarget(t *testing.T) {
	s := &script{takes: 5 * time.Second}
	play(t, "interval = '10s'\ntimeout = '30s'", s, func(t *testing.T, _ *Checker, _ *Knowledge) {
		time.Sleep(200 * time.Second)
		synctest.Wait()
		wantGaps(t, s.gaps(), 17, 9*time.Second, 11*time.Second)
		s.set(false, 20*time.Second)
		time.Sleep(50 * time.Second)
		s.gaps()
		time.Sleep(200 * time.Second)
		synctest.Wait()
		wantGaps(t, s.gaps(), 9, 21*time.Second, 21*time.Second)
	})
}

func TestRunStartsSpread(t *testing.T) {
	distinct := map[time.Duration]bool{}
	for range 10 {
		s := &script{}
		play(t, "interval = '1h'\nunhealthy_interval = '1h'", s, func(*testing.T, *Checker, *Knowledge) {
			time.Sleep(6*time.Minute + 1)
			synctest.Wait()
		})
		if len(s.at) != 1 {
			t.Fatalf("checks at %v", s.at)
		}
		distinct[s.at[0]] = true
	}
	if len(distinct) < 5 {
		t.Errorf("first checks at %v", distinct)
	}
}

// A check that is under way when the context ends comes to its end and is reported.
func TestRunEndsInACheck(t *testing.T) {
	s := &script{takes: 8 * time.Second}
	var k *Knowledge
	play(t, "interval = '10s'\ntimeout = '9s'", s, func(_ *testing.T, _ *Checker, known *Knowledge) {
		time.Sleep(2 * time.Second)
		k = known
	})
	if n := k.Snapshot().Checks; len(s.at) != 1 || n != 1 {
		t.Errorf("%d checks begun, %d reported", len(s.at), n)
	}
}

// Reloads in quick succession: each Run goes on where the one before left off, and a slow check comes to its end,
// one at a time. Other settings begin at once.
func TestRunsInSuccession(t *testing.T) {
	s := &script{takes: 900 * time.Millisecond, down: true}
	one := good(t, "kind = 'tcp'\ninterval = '5s'\nunhealthy_interval = '5s'")
	again, other := *one, *one
	other.UnhealthyAfter = 7
	synctest.Test(t, func(t *testing.T) {
		s.from = time.Now()
		var k Knowledge
		var running sync.WaitGroup
		run := func(c *Config, times int, every time.Duration) {
			for range times {
				ctx, cancel := context.WithCancel(t.Context())
				h := NewChecker(c, Target{Address: "a:1", Dial: s.dial})
				running.Go(func() { h.Run(ctx, &k, func(err error) { k.Report(c, err, false, time.Now()) }) })
				time.Sleep(every)
				cancel()
			}
		}
		run(one, 150, 200*time.Millisecond) // 30 s
		run(&again, 150, 200*time.Millisecond)
		at := s.checks()
		for i := 1; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap < 4*time.Second || gap > 10*time.Second {
				t.Errorf("%v between two checks, want some 5s", gap)
			}
		}
		if n := k.Snapshot().Checks; n < 6 || n > 13 || k.State() != Unhealthy {
			t.Errorf("%d checks in a minute, %v", n, k.State())
		}
		before := k.Snapshot().Checks
		run(&other, 1, 3*time.Second)
		running.Wait()
		if n := k.Snapshot().Checks - before; n == 0 {
			t.Error("checks by other settings wait for those before")
		}
	})
}

// lateContext is one whose timer is behind its deadline.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return time.Now(), true }

// An error that is a moment ahead of the context is one of time all the same.
func TestErrorBeforeContext(t *testing.T) {
	h := NewChecker(good(t, ""), Target{Address: "a:1"})
	err := h.failed(lateContext{t.Context()}, "answer", "", os.ErrDeadlineExceeded)
	wantError(t, "late", err, "no answer within 1s")
	wantError(t, "in time", h.failed(t.Context(), "answer", "x: ", errDown), "x: down")
}

func TestCheckTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(what string, within time.Duration, dial func(ctx context.Context) (net.Conn, error), want string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			from := time.Now()
			err := NewChecker(good(t, "timeout = '2s'"), Target{Address: "a:1", Dial: dial}).Check(ctx)
			wantError(t, what, err, want)
			if took := time.Since(from); took != min(within, 2*time.Second) {
				t.Errorf("%s: took %s", what, took)
			}
		}
		never := func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		f("no connection", time.Hour, never, "no connection within 2s")
		f("given up", time.Second, never, "check given up: context deadline exceeded")
		silent := func(context.Context) (net.Conn, error) {
			near, far := net.Pipe()
			t.Cleanup(func() { far.Close() })
			return near, nil
		}
		f("deaf", time.Hour, silent, "no answer within 2s")
		f("given up deaf", time.Second, silent, "check given up: context deadline exceeded")
	})
}
