package quota

import (
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(i int) bucket.Key { return bucket.HashKey(7, fmt.Appendf(nil, "key %d", i)) }

// moment reads "2026-02-03 04:05" in UTC.
func moment(t testing.TB, text string) int64 {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixNano()
}

// open returns a store that writes when it is told to, whose clock is now.
func open(t testing.TB, path string, maxKeys int, now *int64) *Store {
	t.Helper()
	s := newStore(path, maxKeys, nil)
	s.clock = func() time.Time { return time.Unix(0, *now) }
	if err := s.begin(0); err != nil {
		t.Fatal(err)
	}
	return s
}

func memory(t testing.TB, maxKeys int) *Store {
	t.Helper()
	s, err := Open("", maxKeys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTake(t *testing.T) {
	s := memory(t, 100)
	r := &Rule{Limit: 10, Period: Day, Zone: zoneOf(t, "Europe/Berlin")}
	f := func(at string, cost int64, want bucket.Result) {
		t.Helper()
		peek := want
		if want.OK {
			peek.Remaining += cost
		}
		if got := s.Peek(key(1), moment(t, at), cost, r); got != peek {
			t.Errorf("Peek of %d at %s: %+v, want %+v", cost, at, got, peek)
		}
		if got := s.TryCharge(key(1), moment(t, at), cost, r); got != want {
			t.Errorf("%d at %s: %+v, want %+v", cost, at, got, want)
		}
	}
	h := time.Hour
	f("2026-02-02 23:00", 0, bucket.Result{OK: true, Remaining: 10, Reset: 24 * h})
	f("2026-02-02 23:00", 11, bucket.Result{Remaining: 10, Reset: 24 * h, Retry: -1})
	f("2026-02-02 23:00", 4, bucket.Result{OK: true, Remaining: 6, Reset: 24 * h})
	f("2026-02-03 22:00", 6, bucket.Result{OK: true, Remaining: 0, Reset: h})
	f("2026-02-03 22:30", 1, bucket.Result{Remaining: 0, Reset: h / 2, Retry: h / 2})
	f("2026-02-03 22:30", 0, bucket.Result{OK: true, Remaining: 0, Reset: h / 2})
	f("2026-02-03 22:30", 11, bucket.Result{Remaining: 0, Reset: h / 2, Retry: -1})
	f("2026-02-03 23:00", 10, bucket.Result{OK: true, Remaining: 0, Reset: 24 * h})
	f("2026-03-28 23:00", 1, bucket.Result{OK: true, Remaining: 9, Reset: 23 * h}) // the clocks go forward
}

func TestCharge(t *testing.T) {
	s := memory(t, 100)
	f := func(cost, limit int64, want int64) {
		t.Helper()
		got := s.Charge(key(1), 0, cost, &Rule{Limit: limit, Period: Month})
		if got.Remaining != want || got.OK != (want >= 0) || got.Reset != 31*24*time.Hour {
			t.Errorf("%+v after %d of %d, want %d left", got, cost, limit, want)
		}
	}
	f(-5, 10, 10)
	f(13, 10, -3)
	f(0, 10, -3)
	f(-4, 10, 1)
	f(-100, 10, 10)
	f(math.MinInt64, 10, 10)
	f(7, 10, 3)
	f(0, 20, 13) // another limit
	f(0, -1, -7)
	f(math.MaxInt64, math.MaxInt64, 0)
	if r := s.TryCharge(key(1), 0, 1, &Rule{Limit: math.MaxInt64, Period: Month}); r.OK || r.Retry != r.Reset {
		t.Errorf("%+v when all there is is used", r)
	}
}

func TestClockGoesBack(t *testing.T) {
	s := memory(t, 100)
	r := &Rule{Limit: 10, Period: Day}
	f := func(at string, left int64, reset time.Duration) {
		t.Helper()
		if got := s.Peek(key(1), moment(t, at), 0, r); got.Remaining != left || got.Reset != reset {
			t.Errorf("Peek at %s: %+v, want %d left, reset in %v", at, got, left, reset)
		}
		if got := s.TryCharge(key(1), moment(t, at), 1, r); got.Remaining != left-1 || got.Reset != reset {
			t.Errorf("at %s: %+v, want %d left, reset in %v", at, got, left-1, reset)
		}
	}
	h := time.Hour
	f("2026-02-10 12:00", 10, 12*h)
	f("2026-02-09 12:00", 9, 36*h) // as if it were the window after
	f("2026-02-10 13:00", 8, 11*h)
	f("2026-02-07 12:00", 7, 12*h) // what was used is now used in this window
	f("2026-02-07 13:00", 6, 11*h)
	f("2026-02-08 00:00", 10, 24*h)
	f("2099-01-01 00:00", 10, 24*h) // a wrong clock
	f("2026-02-08 01:00", 9, 23*h)
	f("2026-02-09 00:00", 10, 24*h)
}

// Half an hour is a whole window where the clocks go back by as much. A step back of more than that is no
// reason to count in another one.
func TestClockGoesBackFromShortWindow(t *testing.T) {
	s := memory(t, 100)
	r := &Rule{Limit: 10, Period: Hour, Zone: zoneOf(t, "Australia/Lord_Howe")}
	f := func(at string, left int64, reset time.Duration) {
		t.Helper()
		if got := s.TryCharge(key(1), moment(t, at), 1, r); got.Remaining != left || got.Reset != reset {
			t.Errorf("at %s: %+v, want %d left, reset in %v", at, got, left, reset)
		}
	}
	f("2026-04-04 15:10", 9, 20*time.Minute)
	f("2026-04-04 14:15", 8, 75*time.Minute)
	f("2026-04-04 15:11", 7, 19*time.Minute)
}

// A caller that has found an entry cannot count in it when it is replaced, evicted or swept out meanwhile.
func TestReplacedEntries(t *testing.T) {
	s := memory(t, 1)
	at := moment(t, "2026-02-03 04:05")
	s.clock = func() time.Time { return time.Unix(0, at) }
	p := s.place(key(1))
	renew := func() *entry { return s.renew(&p, at, Month, s.window(at, monthly)) }
	replaced := func(what string, old *entry) {
		t.Helper()
		if old.used.Load() != gone {
			t.Errorf("an entry that was %s can be counted in", what)
		}
	}
	first := renew()
	first.used.Store(3)
	if renew() != first {
		t.Error("an entry is replaced by another one of the same window")
	}
	at += longest
	second := renew()
	replaced("renewed", first)
	if second == first || second.used.Load() != 0 || p.find() != second {
		t.Errorf("%d are used in a new window", second.used.Load())
	}
	for i := range 1000 {
		s.TryCharge(key(2+i), at, 1, monthly)
	}
	replaced("evicted", second)
	last := p.find()
	if last != nil || s.entries.Load() > 2*lineSlots {
		t.Errorf("%v is found, there are %d entries", last, s.entries.Load())
	}
	last = renew()
	at += longest
	if n := s.Len(); n != 0 || s.entries.Load() != 0 || p.find() != nil {
		t.Errorf("%d keys, %d entries when all have ended long ago", n, s.entries.Load())
	}
	replaced("swept out", last)
}

// A window that begins with a refusal is one to be written, too.
func TestRefusedInNextWindow(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "q"), moment(t, "2026-02-28 23:59")
	s := open(t, path, 100, &now)
	s.TryCharge(key(0), now, 100, monthly)
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	now += int64(time.Minute)
	s.TryCharge(key(0), now, 101, monthly)
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	now -= int64(time.Second)
	for _, s := range []*Store{s, open(t, path, 100, &now)} {
		leaves(t, s, now, 100)
	}
}

// A changed period holds at once, and what was used stays used; a zone holds from the next window.
func TestRuleChanges(t *testing.T) {
	s := memory(t, 100)
	f := func(at string, r Rule, left int64, reset time.Duration) {
		t.Helper()
		if got := s.TryCharge(key(1), moment(t, at), 1, &r); got.Remaining != left || got.Reset != reset {
			t.Errorf("at %s: %+v, want %d left, reset in %v", at, got, left, reset)
		}
	}
	h := time.Hour
	f("2026-02-10 12:15", Rule{Limit: 10, Period: Hour}, 9, 45*time.Minute)
	f("2026-02-10 12:15", Rule{Limit: 10, Period: Month}, 8, (18*24+11)*h+45*time.Minute)
	f("2026-02-10 13:00", Rule{Limit: 10, Period: Day}, 7, 11*h)
	f("2026-02-10 13:00", Rule{Limit: 10, Period: Day, Zone: zoneOf(t, "Europe/Berlin")}, 6, 11*h)
	f("2026-02-11 00:00", Rule{Limit: 10, Period: Day, Zone: zoneOf(t, "Europe/Berlin")}, 9, 23*h)
}

// twin is a map of what each key has used.
type twin struct {
	keys map[int]counted
	rule Rule
}

type counted struct {
	start, end, used int64
	period           Period
}

// at returns what is known of a key at a moment.
func (w *twin) at(k int, at int64) counted {
	start, end := w.rule.Period.Window(time.Unix(0, at), w.rule.Zone)
	now := counted{start.UnixNano(), end.UnixNano(), 0, w.rule.Period}
	c, known := w.keys[k]
	switch {
	case !known || at >= c.end:
	case c.period != w.rule.Period || at < c.start-max(c.end-c.start, int64(time.Hour)):
		now.used = c.used
	default:
		return c
	}
	return now
}

func (w *twin) call(op string, k int, at, cost int64) bucket.Result {
	c := w.at(k, at)
	_, known := w.keys[k]
	limit := w.rule.Limit
	ok := c.used+cost <= limit
	switch {
	case op == "charge":
		c.used = max(c.used+cost, 0)
		ok = c.used <= limit
		known = known || cost > 0
		cost = 0
	case op == "take" && ok:
		c.used += cost
		known = known || cost > 0
	case op == "take":
		known = known || cost <= limit
	}
	if known && op != "peek" {
		w.keys[k] = c
	}
	r := bucket.Result{OK: ok, Remaining: limit - c.used, Reset: time.Duration(c.end - at)}
	if r.Retry = r.Reset; ok {
		r.Retry = 0
	} else if cost > limit {
		r.Retry = -1
	}
	return r
}

// saved forgets what a file does not keep.
func (w *twin) saved(now int64) {
	for k, c := range w.keys {
		if c.used == 0 || c.end <= now-int64(time.Hour) {
			delete(w.keys, k)
		}
	}
}

func TestAgainstTwin(t *testing.T) {
	folder := t.TempDir()
	zones := []*time.Location{nil, zoneOf(t, "Europe/Berlin"), zoneOf(t, "Australia/Lord_Howe")}
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		path := filepath.Join(folder, fmt.Sprint(runs))
		rule := func() Rule {
			return Rule{rapid.Int64Range(0, 9).Draw(t, "limit"), Period(rapid.IntRange(0, 2).Draw(t, "period")),
				rapid.SampledFrom(zones).Draw(t, "zone")}
		}
		now := rapid.Int64Range(1e18, 2e18).Draw(t, "now")
		s := newStore(path, 1000, nil)
		s.clock = func() time.Time { return time.Unix(0, now) }
		if err := s.begin(0); err != nil {
			t.Fatal(err)
		}
		w := &twin{map[int]counted{}, rule()}
		for range rapid.IntRange(1, 100).Draw(t, "calls") {
			k, cost := rapid.IntRange(0, 5).Draw(t, "key"), rapid.Int64Range(0, 4).Draw(t, "cost")
			var got bucket.Result
			op := rapid.SampledFrom([]string{"take", "take", "take", "peek", "charge", "later", "earlier", "rule",
				"reopen"}).Draw(t, "op")
			switch op {
			case "take":
				got = s.TryCharge(key(k), now, cost, &w.rule)
			case "peek":
				got = s.Peek(key(k), now, cost, &w.rule)
			case "charge":
				cost -= 2
				got = s.Charge(key(k), now, cost, &w.rule)
			case "later":
				now += rapid.Int64Range(0, 2*int64(w.span(now))).Draw(t, "later")
			case "earlier":
				now -= rapid.Int64Range(0, 3*int64(w.span(now))).Draw(t, "earlier")
			case "rule":
				w.rule = rule()
			case "reopen":
				s = reopen(t, s, &now)
				w.saved(now)
			}
			if op != "take" && op != "peek" && op != "charge" {
				continue
			}
			if want := w.call(op, k, now, cost); got != want {
				t.Fatalf("%s of %d by key %d at %v: %+v, want %+v", op, cost, k, time.Unix(0, now), got, want)
			}
		}
		_ = s.Close() // the last file is not read
	})
}

func (w *twin) span(at int64) time.Duration {
	start, end := w.rule.Period.Window(time.Unix(0, at), w.rule.Zone)
	return end.Sub(start)
}

func reopen(t *rapid.T, s *Store, now *int64) *Store {
	s.dirty.Store(true) // that it forgets what is old at a known moment
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	next := newStore(s.path, 1000, nil)
	next.clock = func() time.Time { return time.Unix(0, *now) }
	if err := next.begin(0); err != nil {
		t.Fatal(err)
	}
	return next
}

// All cores take of keys that they all see for the first time at once, while the file is written again and
// again: as much is admitted as is allowed, and the file has it.
func TestConcurrentTakes(t *testing.T) {
	const workers, keys, limit = 8, 300, 10
	path, now := filepath.Join(t.TempDir(), "q"), moment(t, "2026-02-03 04:05")
	s := open(t, path, keys, &now)
	r := &Rule{Limit: limit, Period: Month}
	admitted := make([]atomic.Int64, keys)
	var ready, wg sync.WaitGroup
	ready.Add(workers)
	for range workers {
		wg.Go(func() {
			ready.Done()
			ready.Wait()
			for range 2 * limit {
				for k := range keys {
					if s.TryCharge(key(k), now, 1, r).OK {
						admitted[k].Add(1)
					}
				}
			}
		})
	}
	ready.Wait()
	for range 5 {
		if err := s.save(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if err := s.Close(); err != nil || s.Evictions() != 0 {
		t.Error(err, s.Evictions())
	}
	again := open(t, path, keys, &now)
	for k := range admitted {
		if n := admitted[k].Load(); n != limit {
			t.Errorf("%d admitted of key %d, want %d", n, k, limit)
		}
		if left := again.Peek(key(k), now, 1, r).Remaining; left != 0 {
			t.Errorf("key %d has %d left after a restart", k, left)
		}
	}
}

// Windows end and old entries are swept out while all cores take: in each window as much is admitted as is
// allowed.
func TestConcurrentWindows(t *testing.T) {
	const workers, hours, limit = 8, 200, 5
	var now atomic.Int64
	now.Store(moment(t, "2026-02-03 04:05"))
	s := newStore(filepath.Join(t.TempDir(), "q"), 100, nil)
	s.clock = func() time.Time { return time.Unix(0, now.Load()) }
	if err := s.begin(0); err != nil {
		t.Fatal(err)
	}
	rules := []*Rule{{Limit: limit, Period: Hour}, {Limit: limit, Period: Hour, Zone: time.UTC}}
	for range hours {
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				for range limit {
					if s.TryCharge(key(1), now.Load(), 1, rules[i%2]).OK {
						admitted.Add(1)
					}
					s.Peek(key(1), now.Load(), 1, rules[i%2])
				}
			})
		}
		s.records(now.Load(), func(record) bool { return true })
		wg.Wait()
		if n := admitted.Load(); n != limit {
			t.Fatalf("%d admitted in an hour, want %d", n, limit)
		}
		now.Add(int64(time.Hour))
	}
	// Two rules at once, as while the configuration is changed: both count the same.
	rules[1] = &Rule{Limit: limit, Period: Month}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for j := range 200 {
				if s.TryCharge(key(2), now.Load(), 1, rules[(i+j)%2]).OK {
					admitted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := admitted.Load(); n != limit {
		t.Errorf("%d admitted by two rules, want %d", n, limit)
	}
}

// With as many keys as were asked for practically none is forgotten.
func TestRoom(t *testing.T) {
	n := 200_000
	if testing.Short() {
		n = 20_000
	}
	s := memory(t, n)
	now := moment(t, "2026-02-03 04:05")
	s.clock = func() time.Time { return time.Unix(0, now) }
	r := &Rule{Limit: 1, Period: Day}
	for i := range n {
		if !s.TryCharge(key(i), now, 1, r).OK {
			t.Fatalf("key %d is refused at first sight", i)
		}
	}
	t.Logf("%d of %d keys were forgotten, %.1f bytes a key", s.Evictions(), n, float64(s.Bytes())/float64(n))
	if s.Evictions() > uint64(n/10_000) || uint64(s.Len())+s.Evictions() != uint64(n) {
		t.Errorf("%d evictions, %d of %d keys", s.Evictions(), s.Len(), n)
	}
	if got := float64(s.Bytes()) / float64(n); got < 60 || got > 63 {
		t.Errorf("%.1f bytes a key", got)
	}
	now += 2 * int64(24*time.Hour)
	if s.Len() != 0 || float64(s.Bytes())/float64(n) > 14 {
		t.Errorf("%d keys and %d bytes when all windows have ended long ago", s.Len(), s.Bytes())
	}
}

// A store that is too small forgets the keys that have used least.
func TestFullTable(t *testing.T) {
	s := memory(t, 100)
	now := moment(t, "2026-02-03 04:05")
	s.clock = func() time.Time { return time.Unix(0, now) }
	r := &Rule{Limit: 100, Period: Month}
	for i := range 10 {
		s.TryCharge(key(i), now, 50, r)
	}
	for i := range 5000 {
		if !s.TryCharge(key(100+i), now, 1, r).OK {
			t.Fatalf("key %d is refused at first sight", i)
		}
	}
	for i := range 10 {
		if got := s.Peek(key(i), now, 1, r).Remaining; got != 50 {
			t.Errorf("key %d has %d left, want 50", i, got)
		}
	}
	if n := s.Len(); n > 200 || uint64(n)+s.Evictions() != 5010 {
		t.Errorf("%d keys, %d evictions of 5010", n, s.Evictions())
	}
}

// TestReset: what a key has used is forgotten, others' is not, and what others take at the same moment counts once.
func TestReset(t *testing.T) {
	s := newStore("", 100, nil)
	r := &Rule{Limit: 10, Period: Day}
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixNano()
	one, two := bucket.Key{1, 1}, bucket.Key{2, 2}
	if s.Reset(one, at) {
		t.Error("a key that was never seen is known")
	}
	s.TryCharge(one, at, 10, r)
	s.TryCharge(two, at, 4, r)
	if !s.Reset(one, at) || s.Reset(one, at) {
		t.Error("a key cannot be reset once")
	}
	if a, b := s.Peek(one, at, 1, r), s.Peek(two, at, 1, r); a.Remaining != 10 || b.Remaining != 6 {
		t.Errorf("%d and %d are left", a.Remaining, b.Remaining)
	}
	s.TryCharge(one, at, 1, r)
	if s.Reset(one, at+int64(48*time.Hour)) {
		t.Error("what was used two days ago is known")
	}
	var all sync.WaitGroup
	var taken atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 100 {
				if s.TryCharge(one, at, 1, r).OK {
					taken.Add(1)
				}
				s.Reset(two, at)
			}
		})
	}
	all.Wait()
	if taken.Load() != 10 {
		t.Errorf("%d of 10 were taken", taken.Load())
	}
}
