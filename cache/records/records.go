// Package records keeps what is stored of answers: in memory, and on disk where a cache has one, with what
// purges say of it.
package records

import (
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"sync/atomic"
	"time"
)

// Records are what is stored for one cache.
type Records struct {
	Store *store.Store
	*Durable
	wall clock.Coarse
	// Tick and WallAt are the clock and what it makes of its readings; tests have others.
	Tick    func() int64
	WallAt  func(now int64) int64
	writing writing
	Coded   atomic.Bool // there may be encoded forms
	coding  atomic.Bool // one is being made
	// Searching reports whether an answer came with a rule for queries, or one on disk may have: those have
	// to be looked for.
	Searching atomic.Bool
}

// New returns records of a size in memory, which begin empty there.
func New(size int64, below *Durable) *Records {
	r := &Records{Store: store.New(size), Durable: below, Tick: clock.Now}
	r.Searching.Store(below.Tier != nil)
	below.memory.Store(r)
	r.WallAt = r.wall.UnixNano
	return r
}

// Millis returns a moment of the clock in milliseconds since 1970.
func (r *Records) Millis(now int64) int64 { return r.WallAt(now) / int64(time.Millisecond) }

// Now returns the time in milliseconds since 1970.
func (r *Records) Now() int64 { return r.Millis(r.Tick()) }
