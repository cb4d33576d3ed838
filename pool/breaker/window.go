package breaker

import "sync/atomic"

// window counts calls of the last while in ten buckets, each of a tenth of it. A bucket whose time has come
// again is emptied by the first call that finds it so. Calls that other cores count at that very moment are
// lost: a handful in a tenth of the window.
type window struct {
	buckets [windowBuckets]bucket
}

const windowBuckets = 10

// What stands in bucket.epoch in place of a tenth.
const (
	noEpoch  = -1
	emptying = -2 // counts are about to be set to 0: no other may add to them or read them
)

// bucket is the calls of a tenth of the window: how many, how many of them failed, and how many were slow.
type bucket struct {
	epoch  atomic.Int64 // which tenth since the clock began, or one of the constants above
	counts atomic.Uint64
	_      [48]byte // a bucket has a cache line of its own
}

// Counts are packed: 22 bits of calls, 21 of failed ones, 21 of slow ones.
const (
	oneCall    = uint64(1)
	oneFailed  = uint64(1) << 22
	oneSlow    = uint64(1) << 43
	mostCalls  = 1<<22 - 1
	mostOthers = 1<<21 - 1
	full       = mostOthers - 1<<10 // calls in a bucket; what comes at once has room above it
)

func (w *window) add(now, length int64, failed, slow bool) {
	epoch := now / max(length/windowBuckets, 1)
	b := &w.buckets[epoch%windowBuckets]
	if was := b.epoch.Load(); was != epoch && !b.turn(was, epoch) {
		return
	}
	one := oneCall
	if failed {
		one += oneFailed
	}
	if slow {
		one += oneSlow
	}
	if n := b.counts.Add(one); n&mostCalls >= full {
		b.counts.CompareAndSwap(n, halved(n))
	}
}

// turn empties the bucket for the tenth epoch. False: another core is at it.
func (b *bucket) turn(was, epoch int64) bool {
	if was == emptying || !b.epoch.CompareAndSwap(was, emptying) {
		return b.epoch.Load() == epoch
	}
	b.counts.Store(0)
	b.epoch.Store(epoch)
	return true
}

// halved returns half of each count: those so far weigh less, but the shares stay and later ones still count.
func halved(n uint64) uint64 { return n >> 1 &^ (oneFailed>>1 | oneSlow>>1) }

// sum adds up the buckets that belong to the window.
func (w *window) sum(now, length int64) (total, failed, slow uint64) {
	epoch := now / max(length/windowBuckets, 1)
	for i := range w.buckets {
		b := &w.buckets[i]
		if e := b.epoch.Load(); e < 0 || e <= epoch-windowBuckets || e > epoch {
			continue
		}
		n := b.counts.Load()
		total += n & mostCalls
		failed += n >> 22 & mostOthers
		slow += n >> 43
	}
	return total, failed, slow
}

func (w *window) reset() {
	for i := range w.buckets {
		w.buckets[i].epoch.Store(noEpoch)
		w.buckets[i].counts.Store(0)
	}
}
