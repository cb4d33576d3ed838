// Package recent counts how long the answers of the last seconds took.
package recent

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Times is how long answers took lately: a histogram whose buckets grow by an eighth of an octave, counted
// in a few shards, and read some times a second. It outlives reloads.
type Times struct {
	shards [shards]shard

	// What follows is the reader's.
	seen  [buckets]uint32  // counts at the last look
	fresh [buckets]float64 // what came between the last two looks
	held  [buckets]float64 // the same, older looks counting less and less
}

type shard struct {
	n [buckets]atomic.Uint32
	_ [128]byte // the next one is written to by another core
}

const (
	shards  = 8
	sub     = 3  // bits: eight buckets an octave
	first   = 13 // octave of the first: below 8 us all is one
	octaves = 24 // up to 137 s
	buckets = octaves << sub
	keep    = 0.99 // of the counts that stay from look to look, ten a second: some 10 s
	needs   = 100  // answers without which a quantile says nothing
)

// Observe counts one answer. It costs some nanoseconds and no lock.
func (r *Times) Observe(lane uint32, d time.Duration) {
	r.shards[lane%shards].n[bucket(d)].Add(1)
}

func bucket(d time.Duration) int {
	n := uint64(max(d, 1<<first))
	top := bits.Len64(n) - 1
	i := (top-first)<<sub + int(n>>(top-sub)&(1<<sub-1))
	return min(i, buckets-1)
}

// upper returns the upper end of a bucket.
func upper(i int) time.Duration {
	octave, part := i>>sub, i&(1<<sub-1)
	return time.Duration(uint64(1<<sub+part+1) << (octave + first - sub))
}

// Look takes in what has been counted since the last look.
func (r *Times) Look() {
	for i := range buckets {
		var n uint32
		for s := range r.shards {
			n += r.shards[s].n[i].Load()
		}
		r.fresh[i] = float64(n - r.seen[i])
		r.held[i] = r.held[i]*keep + r.fresh[i]
		r.seen[i] = n
	}
}

// Quantile returns the time within which the share q of the answers of the last seconds came; 0: there were
// too few to say.
func (r *Times) Quantile(q float64) time.Duration {
	d, n := quantileOf(&r.held, q)
	if n < needs {
		return 0
	}
	return d
}

// Latest returns a quantile of what came between the last two looks, and how many answers that were.
func (r *Times) Latest(q float64) (d time.Duration, n int) {
	d, count := quantileOf(&r.fresh, q)
	return d, int(count)
}

func quantileOf(counts *[buckets]float64, q float64) (time.Duration, float64) {
	sum := 0.0
	for _, n := range counts {
		sum += n
	}
	rest := sum * q
	for i, n := range counts {
		if rest -= n; rest <= 0 && n > 0 {
			return upper(i), sum
		}
	}
	return 0, sum
}
