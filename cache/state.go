// Package cache keeps answers and gives them out again, as RFC 9111 has it for shared caches. What is here
// makes a feature of the packages below it: sections, metrics, status and the admin interface. Package lookup
// has the way of a request.
package cache

import (
	"github.com/penstock-edge/penstock/cache/fetch"
	"github.com/penstock-edge/penstock/cache/lookup"
	"github.com/penstock-edge/penstock/cache/records"
	"github.com/penstock-edge/penstock/cache/warm"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"sync/atomic"
)

// cacheState is what of a cache outlives a reload.
type cacheState struct {
	*fetch.State
	warmer warm.Queue
	isNew  atomic.Bool // nothing of it was asked for yet
}

func newCacheState(size int64, below *records.Durable) *cacheState {
	s := &cacheState{State: fetch.NewState(records.New(size, below), size)}
	s.isNew.Store(true)
	return s
}

// instance is one [cache.NAME] in one generation.
type instance struct {
	*lookup.Cache
	kept   *cacheState
	purged *lanes.Counter
	routes []routeRequests
}

type routeRequests struct {
	route string
	*lookup.RouteCounters
}
