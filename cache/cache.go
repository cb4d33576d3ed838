package cache

import (
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// shared is what of a cache outlives a reload.
type shared struct {
	store   *store.Store
	flights flights
	*second
	wall clock.Coarse
	// tick and wallAt are the clock and what it makes of its readings; tests have others.
	tick    func() int64
	wallAt  func(now int64) int64
	writing writing
	fetches atomic.Int64 // under way
	bodies  budget
	warmer  warmer
	coded   atomic.Bool // there may be encoded forms
	coding  atomic.Bool // one is being made
	// searching reports whether an answer came with a rule for queries, or one on disk may have: those have
	// to be looked for.
	searching atomic.Bool
	isNew     atomic.Bool // nothing of it was asked for yet
}

func newShared(size int64, below *second) *shared {
	s := &shared{store: store.New(size), second: below, tick: clock.Now}
	s.bodies.most = size / 4
	s.isNew.Store(true)
	s.searching.Store(below.tier != nil)
	below.memory.Store(s)
	s.wallAt = s.wall.UnixNano
	return s
}

// cache is one [cache.NAME] in one generation.
type cache struct {
	*shared
	name string
	conf *Config
	opts fresh.Options
	counters
}

func (c *cache) configure() {
	o := &c.opts
	o.Default = c.conf.DefaultTTL.Milliseconds()
	o.Min, o.Max = c.conf.MinTTL.Milliseconds(), c.conf.MaxTTL.Milliseconds()
	o.Heuristic = c.conf.Heuristic
	o.ByStatus = c.conf.byStatus
	o.IgnoreNoStore, o.IgnorePrivate = c.conf.Override.NoStore, c.conf.Override.Private
	o.Revive, o.Rescue = c.conf.StaleWhileRevalidate.Milliseconds(), c.conf.StaleIfError.Milliseconds()
}

// millis returns a moment of the clock in milliseconds since 1970.
func (c *cache) millis(now int64) int64 { return c.wallAt(now) / int64(time.Millisecond) }

// status is what the cache did for a request, for Cache-Status and penstock_cache_requests_total.
type status uint8

const (
	bypass      status = iota // the request is none for a cache
	hit                       // from the cache, fresh
	hitStale                  // from the cache, stale, as the client or the answer allows
	rescued                   // from the cache, stale, since the target failed
	revalidated               // from the cache, after the target said that nothing has changed
	miss                      // nothing was stored
	expired                   // what was stored was no longer good
	collapsed                 // from the fetch of another request
	passed                    // the answer is not to be stored, as is known from one before
	notCached                 // 504 for only-if-cached
	statuses
)

// result is a status as far as a route is concerned.
type result uint8

const (
	fromCache result = iota
	notFromCache
	passedBy // the request was none for a cache
	results
)

var resultNames = [results]string{"hit", "miss", "bypass"}

// result says whether the target was spared all but a question.
func (s status) result() result {
	switch s {
	case bypass:
		return passedBy
	case hit, hitStale, rescued, revalidated, collapsed:
		return fromCache
	default:
		return notFromCache
	}
}

var statusNames = [statuses]string{"bypass", "hit", "stale", "rescued", "revalidated", "miss", "expired",
	"collapsed", "pass", "not_cached"}
