package recent

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A bucket holds what lies above the end of the one before it and not above its own, as far as there are any.
func TestBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(-10, 300e9).Draw(t, "d"))
		i := bucket(d)
		if d >= upper(i) && i < buckets-1 {
			t.Fatalf("%v is in bucket %d, which ends at %v", d, i, upper(i))
		}
		if i > 0 && d < upper(i-1) {
			t.Fatalf("%v is in bucket %d, and the one before ends at %v", d, i, upper(i-1))
		}
	})
}

func TestQuantile(t *testing.T) {
	var r Times
	f := func(q float64, low, high time.Duration) {
		t.Helper()
		if got := r.Quantile(q); got < low || got > high {
			t.Errorf("%v: %v, want %v to %v", q, got, low, high)
		}
	}
	for lane := range uint32(50) {
		r.Observe(lane, time.Millisecond)
	}
	r.Look()
	f(0.5, 0, 0) // too few
	for i := range uint32(1000) {
		d := 10 * time.Millisecond
		if i%50 == 0 {
			d = time.Second
		}
		r.Observe(i, d)
	}
	r.Look()
	f(0.5, 10*time.Millisecond, 12*time.Millisecond)
	f(0.95, 10*time.Millisecond, 12*time.Millisecond)
	f(0.999, time.Second, 1200*time.Millisecond)
	if d, n := r.Latest(0.5); n != 1000 || d < 10*time.Millisecond || d > 12*time.Millisecond {
		t.Errorf("latest: %v of %d", d, n)
	}
	for range 1500 { // it forgets
		r.Look()
	}
	f(0.5, 0, 0)
}
