package fleet

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
	"github.com/penstock-edge/penstock/ratelimit/quota"
)

// TestScriptOwes: by a rule with a smaller limit no more is owed on the server than that, and what counts is not forgotten.
func TestScriptOwes(t *testing.T) {
	m := miniredis.RunT(t)
	c := *connected(t, m.Addr()).client.Load()
	now := time.Date(2026, 5, 20, 10, 0, 30, 0, time.UTC)
	say := func(r *Rule, how string, cost float64) (s said) {
		t.Helper()
		m.SetTime(now)
		var one command
		one.add("k", r, how, cost, now)
		run(context.Background(), c, []command{one}, func(_ int, got []said, err error) {
			if err != nil {
				t.Fatal(err)
			}
			s = got[0]
		})
		return s
	}
	f := func(name string, old, r *Rule, how string, cost float64, left float64, longest time.Duration) {
		t.Helper()
		m.FlushAll()
		say(old, charge, 2534)
		got := say(r, how, cost)
		again := say(r, enforce, 1)
		if got.left != left || again.ok || again.wait < 1 || again.wait > longest {
			t.Errorf("%s: %+v, then %+v, want %v left and to wait for %v at most", name, got, again, left, longest)
		}
	}
	big, small := NewGCRA(1000, time.Hour, 10_000), NewGCRA(1, time.Minute, 10)
	f("a bucket is asked", big, small, enforce, 1, 0, time.Minute)
	f("a bucket is looked at", big, small, peek, 1, 0, time.Minute)
	f("a bucket is charged", big, small, charge, 5, 0, time.Minute)
	for _, per := range []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		old, r := NewWindow(10_000, per), NewWindow(10, time.Minute)
		f("a window of "+per.String(), old, r, enforce, 1, 0, 67*time.Second)
		f("a window of "+per.String()+" is charged", old, r, charge, 5, 0, 67*time.Second)
	}
	for _, p := range []quota.Period{quota.Hour, quota.Day, quota.Month} {
		f("a quota of a "+p.String(), NewQuota(10_000, p, time.UTC), NewQuota(10, quota.Hour, time.UTC), enforce, 1, 10-2534, time.Hour)
	}
	m.FlushAll()
	say(NewWindow(1000, time.Hour), charge, 600)
	now = now.Add(90 * time.Minute) // half of the window after it has passed
	if s := say(NewWindow(1000, 24*time.Hour), peek, 1); s.left != 705 {
		t.Errorf("%v left, want what counted an hour and a half later", s.left)
	}
}

// TestPeekCharges: nothing, for all kinds, and it binds or not.
func TestPeekCharges(t *testing.T) {
	m := miniredis.RunT(t)
	l := connected(t, m.Addr())
	for name, r := range map[string]*Rule{"g": NewGCRA(1, time.Hour, 3), "w": NewWindow(3, time.Hour), "q": NewQuota(3, quota.Month, time.UTC)} {
		w := NewLedger(l, name, r, 100, 1, time.Second)
		f := func(q Question, ok bool, left int64) {
			t.Helper()
			a := AcquireAsk()
			q.Ledger, q.Key = w, bucket.Key{1, 2}
			a.Questions = append(a.Questions, q)
			l.send([]*Ask{a})
			if got := a.Questions[0].Result; got.OK != ok || got.Remaining != left {
				t.Errorf("%s: %+v: %+v, want %v and %d left", name, q, got, ok, left)
			}
		}
		f(Question{Cost: 1, Peek: true}, true, 3)
		f(Question{Cost: 2}, true, 1)
		f(Question{Cost: 2, Peek: true}, false, 1)
		f(Question{Cost: 2, Peek: true, Observe: true}, false, 1)
		f(Question{Cost: 1, Peek: true, Observe: true}, true, 1)
		f(Question{Cost: 1}, true, 0)
	}
}

// TestLedgerOwes: what a gateway knows goes by the new rule at once, while others charge.
func TestLedgerOwes(t *testing.T) {
	const keys = 100
	f := func(name string, up bool, old, r *Rule, longest time.Duration) {
		t.Helper()
		link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
		link.up.Store(up)
		w := NewLedger(link, "x", old, 1000, 10_000, time.Second)
		key, now := func(i int) bucket.Key { return bucket.Key{uint64(i), uint64(i)} }, clock.Now()
		for i := range keys {
			w.Charge(key(i), now, 2534)
			w.Charge(key(i), now, 9000)
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i := range keys {
					w.TryCharge(key(i), now, 1)
				}
			})
		}
		w.Set(r, 10_000, time.Second)
		all.Wait()
		for i := range keys {
			got := w.Peek(key(i), now, 1)
			if got.OK || got.Remaining > 0 || got.Retry < 1 || got.Retry > longest {
				t.Fatalf("%s: key %d: %+v, want to wait for %v at most", name, i, got, longest)
			}
		}
		if got := w.TryCharge(bucket.Key{1 << 40, 0}, now, 1); !got.OK || got.Remaining != 9 {
			t.Errorf("%s: a new key: %+v", name, got)
		}
		for _, b := range w.collect(now) {
			if r.kind != "q" && b.used > r.limit {
				t.Errorf("%s: %v are told, of %v", name, b.used, r.limit)
			}
		}
	}
	for _, up := range []bool{true, false} {
		f("bucket", up, NewGCRA(1000, time.Hour, 10_000), NewGCRA(1, time.Minute, 10), time.Minute+time.Second)
		f("slower bucket", up, NewGCRA(1000, time.Hour, 10), NewGCRA(1, time.Minute, 10), time.Minute+time.Second)
		f("window", up, NewWindow(10_000, 24*time.Hour), NewWindow(10, time.Minute), 67*time.Second)
		f("quota", up, NewQuota(10_000, quota.Month, time.UTC), NewQuota(10, quota.Hour, time.UTC), time.Hour)
	}
}

// TestReset: a key is forgotten here and on the server, and another gateway that refuses it asks again some seconds later.
func TestReset(t *testing.T) {
	m := miniredis.RunT(t)
	for name, r := range map[string]*Rule{"g": NewGCRA(1, time.Hour, 3), "w": NewWindow(3, 24*time.Hour), "q": NewQuota(3, quota.Month, time.UTC)} {
		one := NewLedger(connected(t, m.Addr()), name, r, 100, 3, time.Second)
		two := NewLedger(connected(t, m.Addr()), name, r, 100, 3, time.Second)
		k, now := bucket.Key{1, 2}, clock.Now()
		tell := func(w *Ledger, now int64) {
			t.Helper()
			if b := w.collect(now); len(b) > 0 {
				if err := w.sync(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		one.TryCharge(k, now, 3)
		two.Charge(k, now, 1)
		tell(one, now)
		tell(two, now)
		if spent, err := one.Reset(k, now); !spent || err != nil {
			t.Errorf("%s: %v %v", name, spent, err)
		}
		if spent, err := one.Reset(k, now); spent || err != nil {
			t.Errorf("%s: a second time %v %v", name, spent, err)
		}
		if got := one.Peek(k, now, 3); !got.OK {
			t.Errorf("%s: here %+v", name, got)
		}
		if got := two.TryCharge(k, now, 1); got.OK || len(two.collect(now)) > 0 {
			t.Errorf("%s: elsewhere at once %+v", name, got)
		}
		now += (doubt + 1) * int64(time.Second)
		if got := two.Peek(k, now, 3); got.OK {
			t.Errorf("%s: elsewhere before it has asked %+v", name, got)
		}
		tell(two, now)
		if got := two.TryCharge(k, now, 3); !got.OK {
			t.Errorf("%s: elsewhere %+v", name, got)
		}
	}
}

// TestCostAboveThePart: without a server a request that costs more than the part of this gateway passes when all of the part is
// there, and is waited for then.
func TestCostAboveThePart(t *testing.T) {
	link := NewLink(&Config{}, slog.New(slog.DiscardHandler))
	link.nodes.Store(3)
	w := NewLedger(link, "x", NewGCRA(30, time.Second, 30), 1000, 5, time.Second)
	k, now := bucket.Key{1, 2}, int64(1)
	f := func(cost int64, ok bool, retry time.Duration) {
		t.Helper()
		if got := w.TryCharge(k, now, cost); got.OK != ok || (got.Retry-retry).Abs() > time.Millisecond {
			t.Errorf("cost %d: %+v, want %v, retry %v", cost, got, ok, retry)
		}
	}
	f(25, true, 0) // a third of 30 is there: 15 are owed
	f(25, false, 2500*time.Millisecond)
	f(1, false, 1600*time.Millisecond)
	f(31, false, -1)
	now += int64(2500 * time.Millisecond)
	f(25, true, 0)
}
