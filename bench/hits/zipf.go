// Package hits measures what a cache is worth: how many requests it answers by itself when not everything
// fits, beside Varnish with as much memory, and what it costs when it is large and full.
package hits

import (
	"math"
	"math/rand/v2"
	"sort"
)

// Zipf draws ranks from 0 on. The chance of rank r is proportional to 1/(r+1)^s, and s may be 1 or less.
type Zipf struct{ upTo []float64 } // the chance of each rank and of those before it

// NewZipf makes the table for n ranks, n at least 1.
func NewZipf(n int, s float64) *Zipf {
	z := &Zipf{make([]float64, n)}
	sum := 0.0
	for i := range z.upTo {
		sum += math.Pow(float64(i+1), -s)
		z.upTo[i] = sum
	}
	for i := range z.upTo {
		z.upTo[i] /= sum
	}
	return z
}

// Rank gives the rank that u in [0,1) falls on.
func (z *Zipf) Rank(u float64) int {
	return sort.Search(len(z.upTo)-1, func(i int) bool { return z.upTo[i] > u })
}

// Sequence draws objects. The same seed gives the same ones.
func (z *Zipf) Sequence(count int, seed uint64) []int32 {
	r := rand.New(rand.NewPCG(seed, 0))
	all := make([]int32, count)
	for i := range all {
		all[i] = int32(z.Rank(r.Float64()))
	}
	return all
}

// MaxBody is the largest body in bytes. Mixed ones are of smallest to MaxBody.
const (
	MaxBody  = 100 << 10
	smallest = 1 << 10
)

// Mixed as the size of bodies stands for sizes from 1 KiB to 100 KiB, as many below 10 KiB as above.
const Mixed = 0

// size gives the bytes of an object's body, always the same ones.
func size(body, object int) int {
	if body != Mixed {
		return body
	}
	u := rand.New(rand.NewPCG(uint64(object), 0)).Float64()
	return int(smallest * math.Pow(float64(MaxBody)/smallest, u))
}

// Sizes gives as many objects as it takes to reach a total in bytes, by their sizes.
func Sizes(total int64, body int) []int32 {
	var all []int32
	for total > 0 {
		n := size(body, len(all))
		all = append(all, int32(n))
		total -= int64(n)
	}
	return all
}
