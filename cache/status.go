// Package outcome names what a cache did for a request, and why: for Cache-Status (RFC 9211), metrics and explain.
package cache

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

// word returns the result in a word, for metrics.
func (r result) word() string { return resultNames[r] }

// result returns what a route counts a status as: whether the target was spared all but a question.
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

// word returns the status in a word, for metrics.
func (s status) word() string { return statusNames[s] }
