package limit

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const beat = 100 * time.Millisecond

// ticks lets a limiter with so many in flight see n times the same, and returns its limit.
func ticks(l *Limiter, now *int64, n int, inFlight int, s Sample) int {
	l.inFlight.Store(int64(inFlight))
	for range n {
		*now += int64(beat)
		l.Tick(*now, s)
	}
	return l.Limit()
}

func took(d time.Duration) Sample { return Sample{Count: 100, Typical: d} }

func TestGradient(t *testing.T) {
	f := func(what string, inFlight int, s Sample, low, high int) {
		t.Helper()
		l, now := New(&Config{Adaptive: true, Limit: 50, Min: 8, Max: 100}), int64(0)
		if got := ticks(l, &now, 15, 10, took(50*time.Millisecond)); got != 50 {
			t.Fatalf("a limit that is not used became %d", got)
		}
		if got := ticks(l, &now, 10, inFlight, s); got < low || got > high {
			t.Errorf("%s: limit %d, want %d to %d", what, got, low, high)
		}
	}
	f("unused", 25, took(50*time.Millisecond), 50, 50)
	f("used", 26, took(50*time.Millisecond), 52, 54) // until it is unused again
	f("used up", 50, took(50*time.Millisecond), 60, 90)
	f("a little longer", 50, took(65*time.Millisecond), 51, 65)
	f("much longer", 50, took(500*time.Millisecond), 10, 35)
	f("longer, unused", 25, took(500*time.Millisecond), 50, 50)
	f("no answers", 50, Sample{}, 50, 50)
	f("all dropped", 50, Sample{Dropped: 5}, 15, 20)
	f("some dropped", 50, Sample{Count: 80, Typical: 50 * time.Millisecond, Dropped: 20}, 10, 22)
	f("few dropped", 50, Sample{Count: 95, Typical: 50 * time.Millisecond, Dropped: 5}, 60, 90)
}

// The limit is halved for a probe, and the reference is what was seen then.
func TestProbe(t *testing.T) {
	f := func(seen, best time.Duration, long bool) {
		t.Helper()
		l, now := New(&Config{Adaptive: true, Limit: 50, Min: 8, Max: 50}), int64(0)
		ticks(l, &now, 15, 10, took(50*time.Millisecond))
		for range 30 {
			if ticks(l, &now, 1, 50, took(50*time.Millisecond)) == 25 {
				break
			}
		}
		if l.Limit() != 25 {
			t.Fatalf("no probe; the limit is %d", l.Limit())
		}
		began := now
		ticks(l, &now, 1, 50, took(time.Hour)) // what was under way when the probe began does not count
		for l.Limit() == 25 && now < began+int64(time.Minute) {
			ticks(l, &now, 1, 25, took(seen))
		}
		if got := time.Duration(l.Snapshot(0).MinLatency * 1e9).Round(time.Microsecond); got != best {
			t.Errorf("seen %v: reference %v, want %v", seen, got, best)
		}
		if got := time.Duration(now-began) > time.Second; got != long {
			t.Errorf("seen %v: the probe lasted %v", seen, time.Duration(now-began))
		}
	}
	f(50*time.Millisecond, 50*time.Millisecond, false)
	f(60*time.Millisecond, 55*time.Millisecond, false) // hardly another: the middle
	f(44*time.Millisecond, 47*time.Millisecond, false)
	f(20*time.Millisecond, 20*time.Millisecond, true) // a surprise: looked at for longer, and believed
	f(200*time.Millisecond, 200*time.Millisecond, true)
}

// Without a single answer a probe ends too.
func TestProbeWithoutAnswers(t *testing.T) {
	l, now := New(&Config{Adaptive: true, Limit: 50, Min: 8, Max: 50}), int64(0)
	ticks(l, &now, 36, 50, took(50*time.Millisecond))
	for range 30 {
		ticks(l, &now, 1, 50, Sample{})
	}
	if l.grad.probing || l.Limit() != 50 {
		t.Fatalf("limit %d, probing %v", l.Limit(), l.grad.probing)
	}
}

// Whatever the answers look like the limit stays within its bounds, and a fixed one where it is.
func TestLimitStaysWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Config{Adaptive: true, Min: rapid.IntRange(1, 50).Draw(t, "min")}
		c.Max = c.Min + rapid.IntRange(0, 100).Draw(t, "more")
		l, now := New(c), int64(0)
		for range 100 {
			s := Sample{Count: rapid.IntRange(0, 1000).Draw(t, "count"),
				Typical: time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "typical")),
				Dropped: rapid.IntRange(0, 10).Draw(t, "dropped")}
			in := rapid.IntRange(0, 2*c.Max).Draw(t, "in flight")
			now += rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "passed")
			if got := ticks(l, &now, 1, in, s); got < c.Min || got > c.Max {
				t.Fatalf("limit %d, want %d to %d", got, c.Min, c.Max)
			}
		}
	})
	l, now := New(fixed(7, 0)), int64(0)
	if got := ticks(l, &now, 50, 7, took(time.Hour)); got != 7 {
		t.Fatalf("a fixed limit became %d", got)
	}
}

// A limit that rises wakes those who wait.
func TestTickWakes(t *testing.T) {
	l, now := New(&Config{Adaptive: true, Limit: 50, Min: 8, Max: 900, Queue: 5, QueueTarget: time.Hour}), int64(0)
	ticks(l, &now, 15, 50, took(50*time.Millisecond))
	l.inFlight.Store(l.limit.Load())
	w := l.enter(now, ClassDefault, here)
	for range 10 {
		now += int64(beat)
		l.Tick(now, took(50*time.Millisecond))
	}
	if len(w.done) != 1 || l.Waiting() != 0 {
		t.Fatal("who waits was not given the place that came")
	}
}

// Adaptive again after a reload that was not: nothing of the old limit is left.
func TestConfigureBeginsAnew(t *testing.T) {
	c := &Config{Adaptive: true, Min: 2, Max: 500}
	l, now := New(c), int64(0)
	if got := ticks(l, &now, 40, 500, took(50*time.Millisecond)); got < 40 {
		t.Fatalf("limit %d", got)
	}
	l.Configure(fixed(5, 0))
	l.Configure(c)
	if got := ticks(l, &now, 1, 0, Sample{}); got != 32 {
		t.Fatalf("limit %d, want 32", got)
	}
}
