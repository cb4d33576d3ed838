package bucket

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func key(i int) Key { return HashKey(7, fmt.Appendf(nil, "key %d", i)) }

const second = int64(time.Second)

func TestGCRA(t *testing.T) {
	g := NewGCRA(100, false, Rate{Count: 10, Per: time.Second, Burst: 5})
	k := key(1)
	f := func(at int64, cost int64, want Result) {
		t.Helper()
		if got := g.Peek(k, at, cost); got.OK != want.OK {
			t.Errorf("Peek at %d ms: %v, want %v", at/1e6, got.OK, want.OK)
		}
		got := g.TryCharge(k, at, cost)
		near := func(a, b time.Duration) bool { return a-b < 7*time.Millisecond && b-a < 7*time.Millisecond }
		if got.OK != want.OK || got.Remaining != want.Remaining || !near(got.Reset, want.Reset) || !near(got.Retry, want.Retry) {
			t.Errorf("at %d ms, cost %d: %+v, want %+v", at/1e6, cost, got, want)
		}
	}
	ms := int64(time.Millisecond)
	of := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	f(0, 1, Result{true, 4, of(100), 0})
	f(0, 4, Result{true, 0, of(500), 0})
	f(0, 1, Result{false, 0, of(500), of(100)})
	f(50*ms, 1, Result{false, 0, of(450), of(50)})
	f(100*ms, 1, Result{true, 0, of(500), 0})
	f(300*ms, 3, Result{false, 2, of(300), of(100)})
	f(300*ms, 2, Result{true, 0, of(500), 0})
	f(10*second, 6, Result{false, 5, 0, -1})
	f(10*second, 5, Result{true, 0, of(500), 0})
	f(1_000_000*second, 5, Result{true, 0, of(500), 0})
	f(1_000_000*second, 0, Result{true, 0, of(500), 0})
}

// gcraTwin keeps one number as a fraction, of sixteenths of an event's time.
type gcraTwin struct {
	rate  Rate
	spent map[int]int64 // sixteenths that are not made good yet, at the moment last
	last  map[int]int64 // sixteenths since the beginning
}

func (w *gcraTwin) sixteenths(now int64) int64 {
	n := big.NewInt(now)
	n.Mul(n, big.NewInt(w.rate.Count*16))
	return n.Div(n, big.NewInt(int64(w.rate.Per))).Int64()
}

func (w *gcraTwin) tryCharge(k int, now, cost int64, force bool) bool {
	at := w.sixteenths(now)
	if force {
		cost = min(cost, w.rate.Burst)
	}
	left := max(w.spent[k]-(at-w.last[k]), 0)
	if !force && left+16*cost > 16*w.rate.Burst {
		return false
	}
	w.spent[k], w.last[k] = max(left+16*cost, 0), at
	return true
}

func TestGCRAAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{Count: rapid.Int64Range(1, 5000).Draw(t, "count"), Burst: rapid.Int64Range(1, 50).Draw(t, "burst"),
			Per: rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "per")}
		g := NewGCRA(50, rapid.Bool().Draw(t, "exact"), r)
		w := &gcraTwin{r, map[int]int64{}, map[int]int64{}}
		now := int64(0)
		step := 3 * int64(r.Per) / r.Count
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now += rapid.Int64Range(0, step).Draw(t, "later")
			k := rapid.IntRange(0, 5).Draw(t, "key")
			cost := rapid.Int64Range(0, 4).Draw(t, "cost")
			if rapid.IntRange(0, 9).Draw(t, "after the fact") == 0 {
				cost -= 2
				g.Charge(key(k), now, cost)
				w.tryCharge(k, now, cost, true)
				continue
			}
			want := w.tryCharge(k, now, cost, false)
			if got := g.TryCharge(key(k), now, cost); got.OK != want {
				t.Fatalf("key %d, cost %d at %d: %v, want %v", k, cost, now, got, want)
			} else if !got.OK && got.Retry >= 0 {
				if again := g.Peek(key(k), now+int64(got.Retry), cost); !again.OK {
					t.Fatalf("refused again after the %v that it was told: %+v", got.Retry, again)
				}
			}
		}
	})
}

// A changed rate holds at once, and what was spent stays spent.
func TestGCRASetRate(t *testing.T) {
	g := NewGCRA(10, false, Rate{10, time.Second, 10})
	k := key(1)
	for range 8 {
		g.TryCharge(k, second, 1)
	}
	g.SetRate(second, Rate{1, time.Minute, 20})
	if r := g.Peek(k, second, 1); r.Remaining != 12 || r.Reset != 8*time.Minute {
		t.Errorf("%+v, want 12 of 20 left and 8 minutes until all are", r)
	}
	g.SetRate(second+30*int64(time.Second), Rate{1000, time.Second, 4})
	if r := g.Peek(k, 31*second, 1); r.OK || r.Remaining != 0 || r.Retry > time.Millisecond {
		t.Errorf("%+v, want refused for a millisecond: no more than 4 of 4 are owed", r)
	}
	if r := g.TryCharge(k, 31*second+int64(5*time.Millisecond), 1); !r.OK {
		t.Errorf("%+v after 5 ms at 1000 a second", r)
	}
}

// TestLongIdle: a key that nobody has asked for in months has all of its limit, however fast its moments pass.
func TestLongIdle(t *testing.T) {
	year := 365 * 24 * 3600 * second
	for _, r := range []Rate{{1, 24 * time.Hour, 1}, {100, time.Second, 100}, {1000, time.Second, 1}, {10_000, time.Second, 10_000}} {
		for at := 24 * 3600 * second; at < 5*year; at += 5 * 24 * 3600 * second {
			g := NewGCRA(1, false, r)
			g.TryCharge(key(1), second, r.Burst)
			if got := g.Peek(key(1), at, r.Burst); !got.OK && at > 2*24*3600*second {
				t.Fatalf("%+v: after %v: %+v", r, time.Duration(at), got)
			}
		}
	}
}

// After a change of the rate no key waits longer than one that has spent the whole of the new limit, and no
// key is given more than was left to it, whatever is charged at the same moment.
func TestSetRateOwes(t *testing.T) {
	const keys = 50
	type limiter interface {
		TryCharge(k Key, now, cost int64) Result
		Charge(k Key, now, cost int64)
		Peek(k Key, now, cost int64) Result
		Reset(k Key, now int64) bool
	}
	f := func(name string, l limiter, set func(now int64), longest time.Duration) {
		t.Helper()
		for i := range keys {
			l.TryCharge(key(i), second, 2534)
			l.Charge(key(i), second, 2534)
		}
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for n := range 400 {
					if k := key((n*7 + w) % keys); w%2 == 0 {
						l.TryCharge(k, 2*second, 3)
					} else {
						l.TryCharge(k, second, 1000)
					}
				}
			})
		}
		set(2 * second)
		wg.Wait()
		for i := range keys {
			if r := l.Peek(key(i), 2*second, 1); r.OK || r.Remaining > 0 || r.Retry > longest {
				t.Errorf("%s: key %d: %+v, want refused for %v at most", name, i, r, longest)
			}
			if !l.Reset(key(i), 2*second) || l.Reset(key(i), 2*second) || !l.Peek(key(i), 2*second, 10).OK {
				t.Errorf("%s: key %d cannot be reset once", name, i)
			}
		}
	}
	for _, exact := range []bool{false, true} {
		g := NewGCRA(keys, exact, Rate{100, time.Minute, 10_000})
		f("GCRA", g, func(now int64) { g.SetRate(now, Rate{1, time.Minute, 10}) }, time.Minute)
		w := NewWindow(keys, exact, 10_000, time.Hour)
		f("window", w, func(now int64) { w.SetRate(now, 10, time.Minute) }, 67*time.Second)
		w = NewWindow(keys, exact, 10_000, time.Minute)
		f("window of the same length", w, func(now int64) { w.SetRate(now, 10, time.Minute) }, 67*time.Second)
		w = NewWindow(keys, exact, 10_000, time.Minute)
		f("longer window", w, func(now int64) { w.SetRate(now, 10, time.Hour) }, 67*time.Minute)
	}
}

// What counts of the window before still does when windows get another length, and no more.
func TestWindowFolds(t *testing.T) {
	w := NewWindow(10, false, 1000, time.Minute)
	w.TryCharge(key(1), 30*second, 400)
	w.TryCharge(key(1), 70*second, 100)
	w.TryCharge(key(2), 30*second, 400)
	at := 90 * second // half of the 400 counts
	w.SetRate(at, 1000, time.Hour)
	f := func(k int, at, left int64) {
		t.Helper()
		if r := w.Peek(key(k), at, 1); r.Remaining != left {
			t.Errorf("key %d: %d left, want %d", k, r.Remaining, left)
		}
	}
	f(1, at, 700)
	f(2, at, 800)
	f(1, at+3600*second, 700)
	f(1, at+5400*second, 850)
	f(1, at+7200*second, 1000)
}

// windowTwin keeps every request.
type windowTwin struct {
	limit int64
	per   int64
	spent map[int]map[int64]int64 // by key and window
}

func (w *windowTwin) tryCharge(k int, now, cost int64, force bool) bool {
	if w.spent[k] == nil {
		w.spent[k] = map[int64]int64{}
	}
	i, passed := now/w.per, float64(now%w.per)/float64(w.per)
	if force {
		cost = min(cost, w.limit)
	}
	if !force && float64(w.spent[k][i-1])*(1-passed)+float64(w.spent[k][i]+cost) > float64(w.limit) {
		return false
	}
	w.spent[k][i] = max(w.spent[k][i]+cost, 0)
	return true
}

func TestWindowAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, 30).Draw(t, "limit")
		per := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 24 * time.Hour}).Draw(t, "per")
		g := NewWindow(50, rapid.Bool().Draw(t, "exact"), limit, per)
		w := &windowTwin{limit, int64(per), map[int]map[int64]int64{}}
		now := int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now += rapid.Int64Range(0, int64(per)/2).Draw(t, "later")
			k := rapid.IntRange(0, 5).Draw(t, "key")
			cost := rapid.Int64Range(0, 4).Draw(t, "cost")
			if rapid.IntRange(0, 9).Draw(t, "after the fact") == 0 {
				g.Charge(key(k), now, cost-2)
				w.tryCharge(k, now, cost-2, true)
				continue
			}
			want := w.tryCharge(k, now, cost, false)
			if got := g.TryCharge(key(k), now, cost); got.OK != want {
				t.Fatalf("key %d, cost %d at %d: %v, want %v", k, cost, now, got, want)
			} else if !got.OK && got.Retry >= 0 {
				if again := g.Peek(key(k), now+int64(got.Retry)+1000, cost); !again.OK {
					t.Fatalf("refused again after the %v that it was told: %+v", got.Retry, again)
				}
			}
		}
	})
}

// An idle key is forgotten after years, and after a window.
func TestWindowForgets(t *testing.T) {
	w := NewWindow(10, false, 5, time.Second)
	k := key(1)
	for range 5 {
		w.TryCharge(k, 0, 1)
	}
	for _, at := range []int64{2, 3, 1000, 100_000_000} {
		if r := w.Peek(k, at*second, 1); r.Remaining != 5 {
			t.Errorf("after %d s %d of 5 are left", at, r.Remaining)
		}
	}
}

func TestConcurrency(t *testing.T) {
	c := NewConcurrency()
	f := func(k int, ok bool, n int64) {
		t.Helper()
		if got, in := c.Acquire(key(k), 2); got != ok || in != n {
			t.Errorf("key %d: %v, %d under way, want %v, %d", k, got, in, ok, n)
		}
	}
	f(1, true, 1)
	f(1, true, 2)
	f(1, false, 2)
	f(2, true, 1)
	c.Release(key(1))
	f(1, true, 2)
	c.Release(key(1))
	c.Release(key(1))
	c.Release(key(2))
	if n := c.Keys(); n != 0 {
		t.Errorf("%d keys have something under way", n)
	}
	c.Release(key(3)) // of nobody
	f(3, true, 1)
}

// All cores take of few keys, some of which they all see for the first time at once: not one too many is
// admitted.
func TestConcurrentTakes(t *testing.T) {
	const workers, keys, burst = 8, 500, 10
	f := func(name string, take func(k Key) bool) {
		t.Helper()
		admitted := make([]atomic.Int64, keys)
		var ready, wg sync.WaitGroup
		ready.Add(workers)
		for range workers {
			wg.Go(func() {
				ready.Done()
				ready.Wait()
				for range 4 {
					for k := range keys {
						if take(key(k)) {
							admitted[k].Add(1)
						}
					}
				}
			})
		}
		wg.Wait()
		for k := range admitted {
			if n := admitted[k].Load(); n != burst {
				t.Errorf("%s: %d admitted of key %d, want %d", name, n, k, burst)
			}
		}
	}
	for _, exact := range []bool{false, true} {
		g := NewGCRA(keys, exact, Rate{1, 24 * time.Hour, burst})
		f(fmt.Sprint("GCRA, exact ", exact), func(k Key) bool { return g.TryCharge(k, second, 1).OK })
		w := NewWindow(keys, exact, burst, 24*time.Hour)
		f(fmt.Sprint("window, exact ", exact), func(k Key) bool { return w.TryCharge(k, second, 1).OK })
	}
	c := NewConcurrency()
	f("concurrency", func(k Key) bool { ok, _ := c.Acquire(k, burst); return ok })
}

// Places are taken and given back on all cores; never more than allowed are taken, and none is lost.
func TestConcurrentPlaces(t *testing.T) {
	c := NewConcurrency()
	var under [20]atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(w)))
			for range 5000 {
				k := rng.IntN(len(under))
				if ok, _ := c.Acquire(key(k), 3); ok {
					if n := under[k].Add(1); n > 3 {
						t.Errorf("%d under way", n)
					}
					under[k].Add(-1)
					c.Release(key(k))
				}
			}
		})
	}
	wg.Wait()
	if n := c.Keys(); n != 0 {
		t.Errorf("%d keys are left", n)
	}
}

// A table that is too small forgets the keys that have spent least, and says so; none is refused without
// need.
func TestFullTable(t *testing.T) {
	g := NewGCRA(64, false, Rate{1, time.Hour, 4})
	for i := range 2000 {
		if r := g.TryCharge(key(i), second, 1); !r.OK {
			t.Fatalf("key %d is refused at first sight", i)
		}
	}
	if g.Evictions() == 0 || g.Keys(second) > len(g.t.words) {
		t.Errorf("%d evictions, %d keys in %d slots", g.Evictions(), g.Keys(second), len(g.t.words))
	}
	if n := g.Keys(5 * 3600 * second); n != 0 {
		t.Errorf("%d keys are remembered when all have nothing spent", n)
	}
}

// With as many keys as were asked for none is forgotten, and all but one in a million has its own state.
func TestCollisions(t *testing.T) {
	n := manyKeys
	if testing.Short() {
		n /= 10
	}
	f := func(name string, bound int, take func(k Key) bool, evictions func() uint64) {
		t.Helper()
		shared := 0
		for i := range n {
			if !take(key(i)) {
				shared++
			}
		}
		t.Logf("%s: %d of %d keys share a state, %d were forgotten", name, shared, n, evictions())
		if shared > bound || evictions() > uint64(n/20_000) {
			t.Errorf("%s: %d of %d keys share a state, %d were forgotten", name, shared, n, evictions())
		}
	}
	g := NewGCRA(n, false, Rate{1, time.Hour, 1})
	f("GCRA", 2+3*n/1_000_000, func(k Key) bool { return g.TryCharge(k, second, 1).OK }, g.Evictions)
	e := NewGCRA(n, true, Rate{1, time.Hour, 1})
	f("exact GCRA", 0, func(k Key) bool { return e.TryCharge(k, second, 1).OK }, e.Evictions)
	w := NewWindow(n, false, 1, time.Hour)
	f("window", 0, func(k Key) bool { return w.TryCharge(k, second, 1).OK }, w.Evictions)
}

func TestBytes(t *testing.T) {
	const n = 1_000_000
	f := func(name string, bytes int64, each float64) {
		t.Helper()
		if got := float64(bytes) / n; got > each {
			t.Errorf("%s: %.1f bytes a key, want %v", name, got, each)
		}
	}
	f("GCRA", NewGCRA(n, false, Rate{1, 1, 1}).Bytes(), 16)
	f("exact GCRA", NewGCRA(n, true, Rate{1, 1, 1}).Bytes(), 32.1)
	f("window", NewWindow(n, false, 1, 1).Bytes(), 22)
}

func FuzzHashKey(f *testing.F) {
	f.Add([]byte("a"), []byte("b"))
	f.Add([]byte(""), []byte("\x00"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if same := string(a) == string(b); same != (HashKey(1, a) == HashKey(1, b)) {
			t.Errorf("%q and %q", a, b)
		}
		if HashKey(1, a) == HashKey(2, a) {
			t.Errorf("the seed changes nothing of %q", a)
		}
	})
}
