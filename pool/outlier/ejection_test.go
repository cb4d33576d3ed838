package outlier

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const second = int64(time.Second)

// It lasts longer each time, and is forgotten by and by.
func TestEjectionGrows(t *testing.T) {
	var e Ejection
	c := plain()
	now := second
	f := func(after, want int64) {
		t.Helper()
		now += after * second
		if got := e.Eject(c, now) - now; got != want*second {
			t.Errorf("out for %v, want %d s", time.Duration(got), want)
		}
		if e.Over(now + want*second - 1) {
			t.Error("over too early")
		}
		now += want * second
		if e.Until() != now || !e.Over(now) || e.Over(now) || e.Until() != 0 {
			t.Error("it is over once, when its time has come")
		}
	}
	f(0, 30)
	f(1, 60)
	f(1, 90)
	f(1, 120)
	f(1, 120) // at most
	f(65, 90) // no more than four times are remembered; two are forgotten, and one more
	f(95, 30)
	f(1000, 30)
	if e.Count() != 8 {
		t.Errorf("%d ejections", e.Count())
	}
}

// A target that a check finds back comes back at once. What is left of its time is no bad behaviour.
func TestEjectionEndsEarly(t *testing.T) {
	var e Ejection
	c := plain()
	now := second
	for _, want := range []int64{30, 60, 90, 120} {
		if got := e.Eject(c, now) - now; got != want*second {
			t.Fatalf("out for %v, want %d s", time.Duration(got), want)
		}
		now += second
		if !e.Over(math.MaxInt64) || e.Until() != 0 {
			t.Fatal("it is still out")
		}
	}
	now += 119*second + 60*second // its time would have been over 60 s ago: two times are forgotten
	if got := e.Eject(c, now) - now; got != 90*second {
		t.Errorf("out for %v, want 90 s", time.Duration(got))
	}
}

// Nobody asks whether it is over where a reload has switched ejection off and on.
func TestEjectionIsForgottenUnasked(t *testing.T) {
	var e Ejection
	c := plain()
	e.Eject(c, second)
	if got := e.Eject(c, 2*second) - 2*second; got != 60*second {
		t.Errorf("out for %v, want 60 s", time.Duration(got))
	}
	if got := e.Eject(c, 1000*second) - 1000*second; got != 30*second {
		t.Errorf("out for %v, want 30 s", time.Duration(got))
	}
}

// ejectionTwin counts by hand: the times in a row, and seconds of good behaviour.
type ejectionTwin struct{ count, good int }

func (w *ejectionTwin) eject(c *Config) int64 {
	for ; w.good >= int(c.EjectFor/time.Second) && w.count > 0; w.good -= int(c.EjectFor / time.Second) {
		w.count--
	}
	w.good = 0
	if time.Duration(w.count)*c.EjectFor < c.MaxEjectFor {
		w.count++
	}
	return int64(min(c.MaxEjectFor, time.Duration(w.count)*c.EjectFor))
}

func TestEjectionAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := plain()
		c.EjectFor = time.Duration(rapid.IntRange(1, 10).Draw(t, "eject for")) * time.Second
		c.MaxEjectFor = c.EjectFor * time.Duration(rapid.IntRange(1, 9).Draw(t, "at most"))
		var e Ejection
		var w ejectionTwin
		now := second
		for range rapid.IntRange(1, 30).Draw(t, "ejections") {
			want := w.eject(c)
			if until := e.Eject(c, now); until != now+want || until != e.Until() {
				t.Fatalf("out for %v, want %v", time.Duration(until-now), time.Duration(want))
			}
			for at := now; at < now+want; at += second {
				if e.Over(at) {
					t.Fatal("over too early")
				}
			}
			now += want
			if !e.Over(now) {
				t.Fatal("not over")
			}
			good := rapid.IntRange(0, 40).Draw(t, "good")
			w.good += good
			now += int64(good) * second
		}
	})
}
