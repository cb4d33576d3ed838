package budget

import (
	"testing"

	"pgregory.net/rapid"
)

func TestLeast(t *testing.T) {
	var b Budget
	for i := range 5 {
		if got := b.TrySpend(1e9, 0, 20); got != (i < least) {
			t.Errorf("attempt %d of a pool without requests: %v", i+1, got)
		}
	}
	if got := b.Left(1e9, 0, 20); got != 0 {
		t.Errorf("%d left", got)
	}
	if !b.TrySpend(12e9, 0, 20) {
		t.Error("nothing is allowed in the next window")
	}
}

// A list of all moments is the slow twin: in no ten seconds are there more attempts than the percentage of
// the requests of these seconds, or than the least. Both count whole seconds.
func TestAgainstList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		percent := rapid.Float64Range(0, 100).Draw(t, "percent")
		var b Budget
		var taken, asked []int64 // seconds
		now, requests := rapid.Int64Range(0, 1e12).Draw(t, "start"), uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += rapid.SampledFrom([]int64{0, 1e6, 3e8, 1e9, 15e9}).Draw(t, "pass")
			second := now / 1e9
			b.Tick(now, requests)
			for range rapid.IntRange(0, 20).Draw(t, "requests") {
				requests++
				asked = append(asked, second)
			}
			within := func(list []int64) (n int64) {
				for _, s := range list {
					if s > second-window {
						n++
					}
				}
				return n
			}
			want := within(taken) < max(int64(float64(within(asked))*percent/100), least)
			if got := b.TrySpend(now, requests, percent); got != want {
				t.Fatalf("second %d: %v; %d taken, %d requests, %.1f %%", second, got, within(taken), within(asked), percent)
			}
			if want {
				taken = append(taken, second)
			}
		}
	})
}
