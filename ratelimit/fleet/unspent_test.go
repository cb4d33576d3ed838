package fleet

import (
	"testing"
	"time"

	"github.com/penstock-edge/penstock/ratelimit/quota"
)

// TestUnspent: what is given back late is no more than what is still spent.
func TestUnspent(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 100e6, time.UTC)
	f := func(r *Rule, charge int64, later time.Duration, want int64) {
		t.Helper()
		if got := r.unspent(charge, at, at.Add(later)); got != want {
			t.Errorf("%v later %d, want %d", later, got, want)
		}
	}
	slow, quick := NewGCRA(1, time.Hour, 10), NewGCRA(10, time.Second, 10)
	f(slow, 3, 0, 3)
	f(slow, 3, 10*time.Minute, 2) // a part of an event has come back already
	f(slow, 3, 2*time.Hour, 1)
	f(quick, 5, 0, 4)
	f(quick, 5, 200*time.Millisecond, 2)
	f(quick, 5, time.Hour, 0)
	f(quick, 1, 0, 0)
	w := NewWindow(5, time.Second)
	f(w, 3, 700*time.Millisecond, 3)
	f(w, 3, 850*time.Millisecond, 0)
	day := NewQuota(5, quota.Day, time.UTC)
	f(day, 3, time.Hour, 3)
	f(day, 3, 12*time.Hour, 0) // another day
}
