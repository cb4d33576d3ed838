package balance

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// slowTurns is smooth weighted round robin word for word.
func slowTurns(weights []int64) []uint16 {
	var turns []uint16
	var sum int64
	for _, w := range weights {
		sum += w
	}
	totals := make([]int64, len(weights))
	for range sum {
		best := 0
		for i, w := range weights {
			totals[i] += w
			if totals[i] > totals[best] {
				best = i
			}
		}
		totals[best] -= sum
		turns = append(turns, uint16(best))
	}
	return turns
}

func TestSmoothTurns(t *testing.T) {
	f := func(want string, weights ...int64) {
		t.Helper()
		var got strings.Builder
		for _, i := range smoothTurns(weights) {
			got.WriteByte('a' + byte(i))
		}
		if got.String() != want {
			t.Fatalf("weights %v gave %s, want %s", weights, got.String(), want)
		}
	}
	f("a", 1)
	f("ab", 1, 1)
	f("abcd", 1, 1, 1, 1)
	f("aabacaa", 5, 1, 1)
	f("aba", 2, 1)
	f("bab", 1, 2)
	f("bcabc", 1, 2, 2)
}

func TestSmoothTurnsTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		weights := make([]int64, 1+rng.IntN(30))
		top := 1 + rng.Int64N(40)
		for i := range weights {
			weights[i] = 1 + rng.Int64N(top)
		}
		if got, want := smoothTurns(weights), slowTurns(weights); !slices.Equal(got, want) {
			t.Fatalf("weights %v:\ngot  %v\nwant %v", weights, got, want)
		}
	}
}

func TestShrink(t *testing.T) {
	f := func(weights, want []int64) {
		t.Helper()
		if got := shrink(slices.Clone(weights)); !slices.Equal(got, want) {
			t.Fatalf("weights %v gave %v, want %v", weights, got, want)
		}
	}
	f([]int64{7}, []int64{1})
	f([]int64{100, 200, 300}, []int64{1, 2, 3})
	f([]int64{6, 4}, []int64{3, 2})
	f([]int64{4095, 1}, []int64{4095, 1})
	f([]int64{65535, 1}, []int64{4096, 1}) // 1/16 is rounded up to a turn a round
	f([]int64{60000, 30001}, []int64{2731, 1365})
}

func FuzzTurns(f *testing.F) {
	f.Fuzz(func(t *testing.T, in []byte) {
		weights := make([]int64, 0, 64)
		for _, b := range in[:min(len(in), 64)] {
			weights = append(weights, 1+int64(b))
		}
		if len(weights) == 0 {
			return
		}
		weights = shrink(weights)
		if got, want := smoothTurns(weights), slowTurns(weights); !slices.Equal(got, want) {
			t.Fatalf("weights %v:\ngot  %v\nwant %v", weights, got, want)
		}
	})
}
