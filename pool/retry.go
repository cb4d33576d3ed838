package pool

import (
	"strconv"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// Retry implements edge.Retrier.
func (m *member) Retry(x *edge.Exchange, f *edge.Fault) (bool, time.Duration) {
	p := m.pool
	r, unsent := p.conf.Retry, f != nil && f.Retry == edge.RetryUnsent
	if r == nil || x.Call.Retries+1 >= r.Attempts || !r.Covers(f, x.Call.Status) || !repeatable(x, unsent) {
		return false, 0
	}
	now := clock.Now()
	other := p.set.Load().untried(x)
	wait := m.backoff(x, f, unsent, other)
	if x.Deadline > 0 && now+int64(wait) >= x.Deadline || wait < 0 {
		return false, 0
	}
	// The budget bounds what is done twice. What certainly did not reach a target is no more work for another.
	if !(unsent && other) && !p.shared.budget.TrySpend(now, p.shared.requests.Sum(), r.BudgetPercent) {
		p.refused.Inc(x.Lane)
		return false, 0
	}
	x.Call.Retries++
	return true, wait
}

// repeatable reports whether the request can be made again, and may be; unsent: nothing of it was sent.
func repeatable(x *edge.Exchange, unsent bool) bool {
	if !unsent && (!x.Repeatable() || len(x.Upgrade) > 0) {
		return false
	}
	return !x.Uploading && x.Replayable()
}

// backoff returns how long to wait: a random part of a time that doubles with each attempt (full jitter). A
// target that was not reached is left for another at once. One that has said Retry-After is not asked again
// before; -1: that is too long. other is true when there is a target that has not been tried.
func (m *member) backoff(x *edge.Exchange, f *edge.Fault, unsent, other bool) time.Duration {
	r := m.pool.conf.Retry
	if unsent && other {
		return 0
	}
	most := min(r.Backoff<<x.Call.Retries, r.MaxBackoff)
	wait := time.Duration(chance.Int64N(int64(most) + 1))
	if f != nil || other {
		return wait
	}
	if after := retryAfter(x); after > 0 {
		if after > longestAfter {
			return -1
		}
		wait = max(wait, after)
	}
	return wait
}

// longestAfter is how long a target may ask for patience; beyond it the answer goes to the client.
const longestAfter = 2 * time.Second

// retryAfter returns what the answer in x says: seconds; a date is as good as never (RFC 9110 10.2.3).
func retryAfter(x *edge.Exchange) time.Duration {
	value := x.Resp.Get("Retry-After")
	if len(value) == 0 {
		return 0
	}
	if n, err := strconv.ParseUint(string(value), 10, 20); err == nil {
		return time.Duration(n) * time.Second
	}
	return longestAfter + 1
}
