package clock

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestNowNeverGoesBack(t *testing.T) {
	last := Now()
	for range 1000 {
		now := Now()
		if now < last {
			t.Fatalf("%d after %d", now, last)
		}
		last = now
	}
}

// In the bubble of synctest time stands still but for Sleep, so that every moment of
// a second can be looked at.
func TestHTTPDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Coarse
		f := func(wait time.Duration) {
			t.Helper()
			time.Sleep(wait)
			want := time.Now().UTC().Format(http.TimeFormat)
			if got := string(c.HTTPDate()); got != want {
				t.Errorf("after %v: %q, want %q", wait, got, want)
			}
			if got := c.Time(Now()); !got.Equal(time.Now()) {
				t.Errorf("after %v: %v, want %v", wait, got, time.Now())
			}
		}
		f(0)
		f(1)
		f(998 * time.Millisecond)
		f(time.Millisecond)
		f(1)
		f(time.Second - 2)
		f(1)
		f(3 * time.Hour)
		f(400 * 24 * time.Hour)
	})
}

func TestHTTPDateIsMadeOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Coarse
		first := c.HTTPDate()
		text := string(first)
		time.Sleep(time.Second - 1)
		if again := c.HTTPDate(); &again[0] != &first[0] {
			t.Error("made anew within the second")
		}
		time.Sleep(time.Nanosecond)
		if next := c.HTTPDate(); &next[0] == &first[0] || string(next) == text {
			t.Error("not made anew in the next second")
		}
		if string(first) != text {
			t.Errorf("bytes handed out became %q", first)
		}
	})
}

func TestTimeOfAnEarlierReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Coarse
		then, wall := Now(), time.Now()
		time.Sleep(2500 * time.Millisecond)
		c.HTTPDate()
		if got := c.Time(then); !got.Equal(wall) {
			t.Errorf("%v, want %v", got, wall)
		}
	})
}

func TestCoarseIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Coarse
		for range 5 {
			want := time.Now().UTC().Format(http.TimeFormat)
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if got := string(c.HTTPDate()); got != want {
						t.Errorf("%q, want %q", got, want)
					}
				})
			}
			wg.Wait()
			time.Sleep(700 * time.Millisecond)
		}
	})
}
