package bucket

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// limiter is what GCRA and Window have in common.
type limiter interface {
	TryCharge(k Key, now, cost int64) Result
	Peek(k Key, now, cost int64) Result
	Charge(k Key, now, cost int64)
}

// TestBorders: a cost that is all there is passes, one more never does, and nothing is charged by what is refused.
func TestBorders(t *testing.T) {
	f := func(name string, l limiter, most int64) {
		t.Helper()
		k := key(1)
		for _, at := range []int64{0, 1, 3600 * second, 100 * 365 * 24 * 3600 * second} {
			if r := l.TryCharge(k, at, most+1); r.OK || r.Remaining != most || r.Reset != 0 || r.Retry >= 0 {
				t.Errorf("%s at %d: one more than there is: %+v", name, at, r)
			}
			if r := l.TryCharge(k, at, 0); !r.OK || r.Remaining != most {
				t.Errorf("%s at %d: nothing: %+v", name, at, r)
			}
			if r := l.TryCharge(k, at, most); !r.OK || r.Remaining != 0 || r.Reset <= 0 {
				t.Errorf("%s at %d: all there is: %+v", name, at, r)
			}
			if r := l.TryCharge(k, at, 0); !r.OK {
				t.Errorf("%s at %d: nothing when nothing is left: %+v", name, at, r)
			}
			if r := l.TryCharge(k, at, 1); r.OK || r.Remaining != 0 || r.Retry <= 0 {
				t.Errorf("%s at %d: one more: %+v", name, at, r)
			}
			l.Charge(k, at, -most)
		}
	}
	for _, exact := range []bool{false, true} {
		for _, burst := range []int64{1, 7, 1_000_000_000} {
			f(fmt.Sprint("GCRA of ", burst), NewGCRA(10, exact, Rate{Count: 1, Per: time.Hour, Burst: burst}), burst)
		}
		f("fast GCRA", NewGCRA(10, exact, Rate{Count: 1_000_000, Per: time.Second, Burst: 3}), 3)
		for _, limit := range []int64{1, 7, MostWindow} {
			f(fmt.Sprint("window of ", limit), NewWindow(10, exact, limit, time.Hour), limit)
		}
		f("short window", NewWindow(10, exact, 3, time.Nanosecond), 3)
	}
}

// TestDebt: who was charged more than there is waits as long as was said, and no longer.
func TestDebt(t *testing.T) {
	f := func(name string, l limiter, at int64) {
		t.Helper()
		k := key(1)
		for range 3 {
			l.Charge(k, at, 10)
		}
		r := l.Peek(k, at, 4)
		if r.OK || r.Remaining != -20 || r.Retry <= 0 || r.Reset < r.Retry {
			t.Fatalf("%s: %+v, want 20 owed", name, r)
		}
		if free := l.Peek(k, at, 0); free.OK || free.Retry <= 0 || free.Retry > r.Retry {
			t.Errorf("%s: what costs nothing, in debt: %+v", name, free)
		}
		if early := l.Peek(k, at+int64(r.Retry)-second, 4); early.OK {
			t.Errorf("%s: told to wait for %v, and passed a second earlier", name, r.Retry)
		}
		if then := l.TryCharge(k, at+int64(r.Retry)+1000, 4); !then.OK {
			t.Errorf("%s: refused after the %v it was told: %+v", name, r.Retry, then)
		}
		l.Charge(k, at, -1000)
		if r := l.Peek(k, at+int64(r.Reset), 10); !r.OK || r.Remaining != 10 {
			t.Errorf("%s: given back more than was spent: %+v", name, r)
		}
	}
	for _, exact := range []bool{false, true} {
		f("GCRA", NewGCRA(10, exact, Rate{Count: 10, Per: time.Minute, Burst: 10}), 5*second)
		f("window", NewWindow(10, exact, 10, time.Minute), 5*second)
		f("window that ends", NewWindow(10, exact, 10, time.Minute), 60*second-1)
	}
}

// TestFreeRequestOfABehindClock: a request that costs nothing, of a core whose clock is in the window before, does not
// make the key forgotten.
func TestFreeRequestOfABehindClock(t *testing.T) {
	w := NewWindow(20, true, 5, time.Second)
	w.TryCharge(key(1), second-2, 5)
	w.TryCharge(key(1), second, 0)
	w.TryCharge(key(1), second-1, 0)
	if r := w.TryCharge(key(1), second, 1); r.OK || r.Remaining != 0 {
		t.Errorf("%+v, and all was spent a moment ago", r)
	}
}

// TestClocksThatDiffer: cores read the clock a moment apart, so that it goes back; that gives nobody more.
func TestClocksThatDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, 20).Draw(t, "limit")
		exact := rapid.Bool().Draw(t, "exact")
		g := NewGCRA(20, exact, Rate{Count: limit, Per: time.Second, Burst: limit})
		w := NewWindow(20, exact, limit, time.Second)
		now, latest, passed, counted := int64(0), int64(0), int64(0), int64(0)
		for range rapid.IntRange(1, 150).Draw(t, "requests") {
			now += rapid.Int64Range(0, second/3).Draw(t, "later")
			at := max(now-rapid.Int64Range(0, second/4).Draw(t, "behind"), 0)
			latest = max(latest, at)
			cost := rapid.Int64Range(0, 3).Draw(t, "cost")
			if paid := max(cost, 1); g.TryCharge(key(1), at, paid).OK { // what costs nothing may forget when a bucket was full
				passed += paid
			}
			if most := limit + latest*limit/second; passed > most {
				t.Fatalf("GCRA: %d admitted until %d ns, want %d at most", passed, latest, most)
			}
			if w.TryCharge(key(1), at, cost).OK {
				counted += cost
			}
			if most := limit * (latest/second + 1); counted > most {
				t.Fatalf("window: %d admitted until %d ns, want %d at most", counted, latest, most)
			}
		}
	})
}

// TestConcurrentTakesAndTime: all cores take of a key while time passes, charge it afterwards and give back. What is
// admitted is what a bucket gives that is never full: not one more, and not one is lost.
func TestConcurrentTakesAndTime(t *testing.T) {
	const workers, each, burst, event = 8, 2000, 40, int64(time.Millisecond)
	for _, exact := range []bool{false, true} {
		g := NewGCRA(20, exact, Rate{Count: 1000, Per: time.Second, Burst: burst})
		if r := g.TryCharge(key(1), second, burst); !r.OK {
			t.Fatalf("%+v", r)
		}
		var now, admitted atomic.Int64
		now.Store(second)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for i := range each {
					at := now.Add(event / 4)
					if g.TryCharge(key(1), at, 1).OK {
						admitted.Add(1)
					}
					if i%16 == 0 {
						g.Charge(key(1), at, 2)
						g.Charge(key(1), at, -2)
					}
				}
			})
		}
		wg.Wait()
		for g.TryCharge(key(1), now.Load(), 1).OK {
			admitted.Add(1)
		}
		if got, want := admitted.Load(), int64(workers*each/4); got != want {
			t.Errorf("exact %v: %d were admitted, want %d", exact, got, want)
		}
	}
}

// TestConcurrentWindows: all cores take while windows end: no more than the limit in each of them.
func TestConcurrentWindows(t *testing.T) {
	const workers, windows, limit = 8, 50, 20
	w := NewWindow(20, true, limit, time.Second)
	var now, admitted atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range windows * limit {
				if w.TryCharge(key(1), now.Add(second/limit/workers), 1).OK {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := admitted.Load(); n > (windows+1)*limit || n < windows*limit/2 {
		t.Errorf("%d were admitted in %d windows of %d", n, windows, limit)
	}
}

// TestFullTableUnderLoad: all cores bring new keys into a table that is too small. Who has spent all is the last to be
// forgotten, and stays refused.
func TestFullTableUnderLoad(t *testing.T) {
	const workers, each, burst = 8, 2000, 100
	f := func(name string, l limiter, evictions func() uint64) {
		t.Helper()
		for i := range 4 {
			l.TryCharge(key(-1-i), second, burst)
		}
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range each {
					if r := l.TryCharge(key(w*each+i), second, 1); !r.OK {
						t.Errorf("%s: a key that nobody has seen is refused: %+v", name, r)
					}
					if r := l.TryCharge(key(-1-i%4), second, 1); r.OK {
						t.Errorf("%s: a key that has spent all has %d left", name, r.Remaining)
					}
				}
			})
		}
		wg.Wait()
		if n := evictions(); n < workers*each/2 {
			t.Errorf("%s: %d were forgotten", name, n)
		}
	}
	for _, exact := range []bool{false, true} {
		g := NewGCRA(64, exact, Rate{Count: 1, Per: time.Hour, Burst: burst})
		f(fmt.Sprint("GCRA, exact ", exact), g, g.Evictions)
		w := NewWindow(64, exact, burst, 24*time.Hour)
		f(fmt.Sprint("window, exact ", exact), w, w.Evictions)
	}
}
