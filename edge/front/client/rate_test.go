package client

import (
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	f := func(bytes int64, waited time.Duration, rate int64, alive bool) {
		t.Helper()
		p := Rate{bytes: bytes, waited: int64(waited)}
		if got := p.Allowed(rate) > 0; got != alive {
			t.Fatalf("%d bytes in %s at %d B/s: alive %v, want %v", bytes, waited, rate, got, alive)
		}
	}
	f(0, 0, 240, true)
	f(0, 4*time.Second, 240, true)
	f(0, 6*time.Second, 240, false)
	f(240, 5500*time.Millisecond, 240, true)
	f(240, 7*time.Second, 240, false)
	f(240*3600, time.Hour, 240, true) // slow and honest lives
	f(239*3600, time.Hour+10*time.Second, 240, false)
	f(0, time.Hour, 0, true)         // no minimum
	f(1<<62, 20*time.Hour, 1, true)  // no overflow
	f(1<<62, 48*time.Hour, 1, false) // but never for ever
}
