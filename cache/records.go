// Package records keeps what is stored of answers: in memory, and on disk where a cache has one, with what purges say
// of it.
package cache

import (
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"sync/atomic"
	"time"
)

// records are what is stored for one cache.
type records struct {
	store *store.Store
	*second
	wall clock.Coarse
	// tick and wallAt are the clock and what it makes of its readings; tests have others.
	tick    func() int64
	wallAt  func(now int64) int64
	writing writing
	coded   atomic.Bool // there may be encoded forms
	coding  atomic.Bool // one is being made
	// searching reports whether an answer came with a rule for queries, or one on disk may have: those have
	// to be looked for.
	searching atomic.Bool
}

// newRecords returns records of a size in memory, which begin empty there.
func newRecords(size int64, below *second) *records {
	r := &records{store: store.New(size), second: below, tick: clock.Now}
	r.searching.Store(below.tier != nil)
	below.memory.Store(r)
	r.wallAt = r.wall.UnixNano
	return r
}

// millis returns a moment of the clock in milliseconds since 1970.
func (r *records) millis(now int64) int64 { return r.wallAt(now) / int64(time.Millisecond) }

// now returns the time in milliseconds since 1970.
func (r *records) now() int64 { return r.millis(r.tick()) }
