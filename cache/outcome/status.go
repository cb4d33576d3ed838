// Package outcome names what a cache did for a request, and why, for Cache-Status (RFC 9211), metrics and
// explain.
package outcome

// Status is what the cache did for a request, for Cache-Status and penstock_cache_requests_total.
type Status uint8

// The statuses.
const (
	Bypass      Status = iota // the request is none for a cache
	Hit                       // from the cache, fresh
	Stale                     // from the cache, stale, as the client or the answer allows
	Rescued                   // from the cache, stale, since the target failed
	Revalidated               // from the cache, after the target said that nothing has changed
	Miss                      // nothing was stored
	Expired                   // what was stored was no longer good
	Collapsed                 // from the fetch of another request
	Passed                    // the answer is not to be stored, as is known from one before
	NotCached                 // 504 for only-if-cached
	Statuses
)

// Result is a status as far as a route is concerned.
type Result uint8

// The results.
const (
	FromCache Result = iota
	NotFromCache
	PassedBy // the request was none for a cache
	Results
)

var resultNames = [Results]string{"hit", "miss", "bypass"}

// Word returns the result in a word, for metrics.
func (r Result) Word() string { return resultNames[r] }

// Result returns what a route counts a status as: whether the target was spared all but a question.
func (s Status) Result() Result {
	switch s {
	case Bypass:
		return PassedBy
	case Hit, Stale, Rescued, Revalidated, Collapsed:
		return FromCache
	default:
		return NotFromCache
	}
}

var statusNames = [Statuses]string{"bypass", "hit", "stale", "rescued", "revalidated", "miss", "expired",
	"collapsed", "pass", "not_cached"}

// Word returns the status in a word, for metrics.
func (s Status) Word() string { return statusNames[s] }
