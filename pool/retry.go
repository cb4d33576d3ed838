package pool

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// Retry is [pool.NAME.retry].
type Retry struct {
	Attempts int `toml:"attempts" default:"2" min:"1" max:"10"` // in all, the first one included
	// Also timeout, and ranges such as "502-504".
	On []string `toml:"on" default:"connect,reset,502,503,504"`
	// For one attempt, within response_timeout and the route's timeout; 0s: none.
	PerTryTimeout time.Duration `toml:"per_try_timeout" default:"0s" max:"24h"`
	// What retries and hedges may add to the requests; 3 are always allowed.
	BudgetPercent float64 `toml:"budget_percent" default:"20" min:"0" max:"100"`
	// A wait by chance, at most this, doubled for each further attempt.
	Backoff time.Duration `toml:"backoff" default:"25ms" max:"1m"`
	// Bounds the doubling of backoff.
	MaxBackoff time.Duration `toml:"max_backoff" default:"250ms" max:"1m"`
	// Requests with a larger body have one attempt.
	ReplayBytes config.Size `toml:"replay_bytes" default:"64KiB" max:"16MiB"`

	Table *config.Table `toml:"-"`

	connect, reset, timeout bool
	statuses                [600]bool
}

// compile reads On.
func (r *Retry) compile() {
	for _, on := range r.On {
		switch on {
		case "connect":
			r.connect = true
		case "reset":
			r.reset = true
		case "timeout":
			r.timeout = true
		default:
			if !r.addStatuses(on) {
				r.Table.Errorf("on", "%q is neither connect, reset or timeout nor a status from 400 to 599 or a range "+
					"of them such as \"502-504\"", on)
			}
		}
	}
}

func (r *Retry) addStatuses(text string) bool {
	low, high, ranged := strings.Cut(text, "-")
	if !ranged {
		high = low
	}
	a, err := strconv.Atoi(low)
	b, err2 := strconv.Atoi(high)
	if err != nil || err2 != nil || a < 400 || b > 599 || a > b {
		return false
	}
	for s := a; s <= b; s++ {
		r.statuses[s] = true
	}
	return true
}

// covers tells that the policy wants another attempt after f, or after an answer with this status.
func (r *Retry) covers(f *edge.Fault, status int) bool {
	switch {
	case f == nil:
		return status < len(r.statuses) && r.statuses[status]
	case f == edge.UpstreamConnectTimeout:
		return r.connect || r.timeout
	case f.Retry == edge.RetryUnsent:
		return r.connect
	case f == edge.UpstreamTimeout:
		return r.timeout
	case f == edge.UpstreamTruncated, f.Code == edge.UpstreamReset.Code:
		return r.reset
	}
	return false
}

// Retry implements edge.Retrier.
func (m *member) Retry(x *edge.Exchange, f *edge.Fault) (bool, time.Duration) {
	p := m.pool
	r := p.conf.Retry
	if r == nil || x.Call.Retries+1 >= r.Attempts || !r.covers(f, x.Call.Status) || x.Uploading {
		return false, 0
	}
	unsent := f != nil && f.Retry == edge.RetryUnsent
	if !unsent && (!x.Repeatable() || len(x.Upgrade) > 0) || !x.Replayable() {
		return false, 0
	}
	now := clock.Now()
	other := p.set.Load().untried(x)
	wait := m.backoff(x, r, f, unsent, other)
	if x.Deadline > 0 && now+int64(wait) >= x.Deadline || wait < 0 {
		return false, 0
	}
	// The budget bounds what is done twice. What certainly did not reach a target is no more work for another.
	if !(unsent && other) && !p.shared.budget.take(now, p.shared.requests.Sum(), r.BudgetPercent) {
		p.refused.Inc(x.Lane)
		return false, 0
	}
	x.Call.Retries++
	return true, wait
}

// backoff returns how long to wait: a random part of a time that doubles with each attempt (full jitter). A
// target that was not reached is left for another at once. One that has said Retry-After is not asked again
// before; -1: that is too long. other tells that there is a target that has not been tried.
func (m *member) backoff(x *edge.Exchange, r *Retry, f *edge.Fault, unsent, other bool) time.Duration {
	if unsent && other {
		return 0
	}
	most := min(r.Backoff<<x.Call.Retries, r.MaxBackoff)
	wait := time.Duration(rand.Int64N(int64(most) + 1))
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

// longestAfter is how long a target may ask for patience; beyond it the client is told instead.
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
