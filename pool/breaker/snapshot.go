package breaker

import (
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// RetryAfter returns in how many seconds calls have a chance again, at least 1.
func (b *Breaker) RetryAfter(now int64) int {
	if b.State() != Open {
		return 1
	}
	return max(1, int((b.until.Load()-now+int64(time.Second)-1)/int64(time.Second)))
}

// Ripe reports whether an open breaker may be tried.
func (b *Breaker) Ripe(now int64) bool { return b.State() != Open || now >= b.until.Load() }

// Snapshot is a breaker as /status shows it.
type Snapshot struct {
	State        string     `json:"state"`
	Since        *time.Time `json:"since,omitempty"` // nil: it never changed
	Why          string     `json:"why,omitempty"`
	Requests     uint64     `json:"requests"` // in the window
	ErrorPercent float64    `json:"error_percent"`
	SlowPercent  float64    `json:"slow_percent"`
	RetryIn      float64    `json:"retry_in_seconds,omitempty"`
	Opened       uint64     `json:"opened"` // how often
}

// Snapshot returns what there is to know at the moment.
func (b *Breaker) Snapshot(now int64) Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Snapshot{State: b.State().String(), Why: b.why, Opened: b.times.Load()}
	if at := b.since.Load(); at > 0 {
		since := clock.At(at)
		s.Since = &since
	}
	total, failed, slow := b.counts.sum(now, int64(b.conf.Load().Window))
	if s.Requests = total; total > 0 {
		s.ErrorPercent = 100 * float64(failed) / float64(total)
		s.SlowPercent = 100 * float64(slow) / float64(total)
	}
	if b.State() == Open {
		s.RetryIn = max(0, time.Duration(b.until.Load()-now).Seconds())
	}
	return s
}
