package pool

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// recent is how long answers took lately: a histogram whose buckets grow by an eighth of an octave, counted
// in a few shards, and read some times a second. It outlives reloads.
type recent struct {
	shards [recentShards]recentShard

	// What follows is the reader's.
	seen  [recentBuckets]uint32  // counts at the last look
	fresh [recentBuckets]float64 // what came between the last two looks
	held  [recentBuckets]float64 // the same, older looks counting less and less
}

type recentShard struct {
	n [recentBuckets]atomic.Uint32
	_ [128]byte // the next one is written to by another core
}

const (
	recentShards  = 8
	recentSub     = 3  // bits: eight buckets an octave
	recentFirst   = 13 // octave of the first: below 8 us all is one
	recentOctaves = 24 // up to 137 s
	recentBuckets = recentOctaves << recentSub
	recentKeep    = 0.99 // of the counts that stay from look to look, ten a second: some 10 s
	recentNeeds   = 100  // answers without which a quantile says nothing
)

// observe counts one answer. It costs some nanoseconds and no lock.
func (r *recent) observe(lane uint32, d time.Duration) {
	r.shards[lane%recentShards].n[recentBucket(d)].Add(1)
}

func recentBucket(d time.Duration) int {
	n := uint64(max(d, 1<<recentFirst))
	top := bits.Len64(n) - 1
	i := (top-recentFirst)<<recentSub + int(n>>(top-recentSub)&(1<<recentSub-1))
	return min(i, recentBuckets-1)
}

// recentUpper returns the upper end of a bucket.
func recentUpper(i int) time.Duration {
	octave, part := i>>recentSub, i&(1<<recentSub-1)
	return time.Duration(uint64(1<<recentSub+part+1) << (octave + recentFirst - recentSub))
}

// look takes in what has been counted since the last look.
func (r *recent) look() {
	for i := range recentBuckets {
		var n uint32
		for s := range r.shards {
			n += r.shards[s].n[i].Load()
		}
		r.fresh[i] = float64(n - r.seen[i])
		r.held[i] = r.held[i]*recentKeep + r.fresh[i]
		r.seen[i] = n
	}
}

// quantile returns the time within which the share q of the answers of the last seconds came; 0: there were
// too few to say.
func (r *recent) quantile(q float64) time.Duration {
	d, n := quantileOf(&r.held, q)
	if n < recentNeeds {
		return 0
	}
	return d
}

// latest returns a quantile of what came between the last two looks, and how many answers that were.
func (r *recent) latest(q float64) (d time.Duration, n int) {
	d, count := quantileOf(&r.fresh, q)
	return d, int(count)
}

func quantileOf(counts *[recentBuckets]float64, q float64) (time.Duration, float64) {
	sum := 0.0
	for _, n := range counts {
		sum += n
	}
	rest := sum * q
	for i, n := range counts {
		if rest -= n; rest <= 0 && n > 0 {
			return recentUpper(i), sum
		}
	}
	return 0, sum
}
