package breaker

import (
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// A bucket that is full weighs less, and goes on counting: the shares of failed and slow calls follow.
func TestFullBucket(t *testing.T) {
	var w window
	const length = 10 * second
	add := func(n int, failed, slow bool) {
		for range n {
			w.add(second, length, failed, slow)
		}
	}
	f := func(name string, wantFailed, wantSlow float64) {
		t.Helper()
		total, failed, slow := w.sum(second, length)
		if total < full/2 || total >= full {
			t.Fatalf("%s: %d calls counted", name, total)
		}
		near := func(n uint64, share float64) bool { return abs(float64(n)/float64(total)-share) < 0.001 }
		if !near(failed, wantFailed) || !near(slow, wantSlow) {
			t.Errorf("%s: %d failed and %d slow of %d", name, failed, slow, total)
		}
	}
	add(full-1, false, false)
	f("all well", 0, 0)
	add(1, false, false) // half of them are left
	add(full/2-1, true, false)
	f("half fail", 0.5, 0)
	add(1, true, false)
	add(full/2-1, false, true)
	f("and then all are slow", 0.25, 0.5)
}

func abs(x float64) float64 { return max(x, -x) }

func TestHalved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		calls := rapid.Uint64Range(0, mostCalls).Draw(t, "calls")
		failed := rapid.Uint64Range(0, mostOthers).Draw(t, "failed")
		slow := rapid.Uint64Range(0, mostOthers).Draw(t, "slow")
		got := halved(calls | failed<<22 | slow<<43)
		if want := calls/2 | failed/2<<22 | slow/2<<43; got != want {
			t.Fatalf("%d, %d, %d: %#x, want %#x", calls, failed, slow, got, want)
		}
	})
}

// What a bucket held a window ago is not seen while somebody empties it, and is not added to.
func TestBucketBeingEmptied(t *testing.T) {
	var w window
	const length, tenth = 10 * second, second
	w.add(2*tenth, length, true, true)
	b := &w.buckets[2]
	b.epoch.Store(emptying) // another core has come as far as this
	w.add(12*tenth, length, true, true)
	if total, _, _ := w.sum(12*tenth, length); total != 0 {
		t.Errorf("%d calls of a window ago", total)
	}
	if total, _, _ := w.sum(2*tenth, length); total != 0 {
		t.Errorf("%d calls, soon after the clock began", total)
	}
	b.counts.Store(0)
	b.epoch.Store(12)
	w.add(12*tenth, length, true, false)
	if total, failed, slow := w.sum(12*tenth, length); total != 1 || failed != 1 || slow != 0 {
		t.Errorf("%d calls, %d failed, %d slow", total, failed, slow)
	}
}

// Callers on many cores lose calls at most when a bucket is emptied, and never count one twice.
func TestWindowConcurrent(t *testing.T) {
	var w window
	const length, tenth, callers, each = 10 * second, second, 8, 5000
	w.add(3*tenth, length, true, true) // of an older window, in a bucket that is used again
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range int64(each) {
				w.add(12*tenth+i*tenth/500, length, true, false) // through ten tenths
			}
		})
	}
	wg.Wait()
	total, failed, slow := w.sum(21*tenth, length)
	if total > callers*each || total < callers*each/2 || failed != total || slow != 0 {
		t.Errorf("%d of %d calls counted, %d failed, %d slow", total, callers*each, failed, slow)
	}
}
