package hits

import (
	"math"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is drawn comes as often as the formula says, to five standard deviations.
func TestZipfFrequencies(t *testing.T) {
	f := func(n int, s float64) {
		t.Helper()
		const draws = 1_000_000
		got, all := make([]int, n), 0.0
		for _, rank := range NewZipf(n, s).Sequence(draws, 7) {
			got[rank]++
		}
		for r := range n {
			all += 1 / math.Pow(float64(r+1), s)
		}
		for r := range min(n, 20) {
			share := 1 / math.Pow(float64(r+1), s) / all
			want, sigma := draws*share, math.Sqrt(draws*share*(1-share))
			if math.Abs(float64(got[r])-want) > 5*sigma {
				t.Errorf("n=%d s=%g: rank %d came %d times, want %.0f", n, s, r, got[r], want)
			}
		}
	}
	f(1, 1)
	f(2, 1)
	f(1000, 1)
	f(65536, 1)
	f(1000, 0)
	f(1000, .7)
	f(1000, 1.3)
}

// Rank is a search through the ranks from the first on.
func TestZipfRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 50).Draw(t, "n")
		s := rapid.Float64Range(0, 3).Draw(t, "s")
		u := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "u")
		z := NewZipf(n, s)
		if rapid.Bool().Draw(t, "between two ranks") {
			u = z.upTo[rapid.IntRange(0, n-1).Draw(t, "rank")]
		}
		want := 0
		for want < n-1 && z.upTo[want] <= u {
			want++
		}
		if got := z.Rank(u); got != want {
			t.Fatalf("rank %d, want %d", got, want)
		}
	})
}

func TestSequenceSeed(t *testing.T) {
	z := NewZipf(100, 1)
	a, b, c := z.Sequence(1000, 1), z.Sequence(1000, 1), z.Sequence(1000, 2)
	if !slices.Equal(a, b) {
		t.Error("the same seed gives another sequence")
	}
	if slices.Equal(a, c) {
		t.Error("another seed gives the same sequence")
	}
}

func TestSizes(t *testing.T) {
	f := func(total int64, body int) {
		t.Helper()
		sizes, sum, below := Sizes(total, body), int64(0), 0
		for i, n := range sizes {
			if sum >= total {
				t.Fatalf("%d of %d: object %d is one too many", total, body, i)
			}
			sum += int64(n)
			if body != Mixed && int(n) != body || n < smallest && body == Mixed || n > MaxBody {
				t.Fatalf("%d of %d: object %d has %d bytes", total, body, i, n)
			}
			if n < 10<<10 {
				below++
			}
		}
		if sum < total {
			t.Errorf("%d of %d: %d bytes together", total, body, sum)
		}
		half := float64(len(sizes)) / 2
		if body == Mixed && math.Abs(float64(below)-half) > 5*math.Sqrt(half/2) {
			t.Errorf("%d of %d objects are below 10 KiB", below, len(sizes))
		}
		if again := Sizes(total, body); !slices.Equal(sizes, again) {
			t.Errorf("%d of %d: other sizes the second time", total, body)
		}
	}
	f(0, 1024)
	f(1, 1024)
	f(10240, 1024)
	f(10241, 1024)
	f(100<<20, Mixed)
}
