package health

import (
	"sync"
	"sync/atomic"
	"time"
)

// State is what checks have found out about a target.
type State uint32

// A target is unknown until its first check, and then always one of the others.
const (
	Unknown State = iota
	Healthy
	Unhealthy
)

// String returns "unknown", "healthy" or "unhealthy".
func (s State) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Unhealthy:
		return "unhealthy"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler. There is no error.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Knowledge is what is known of the health of one target. It belongs to the target, not to a Checker, and
// outlives reloads: other thresholds apply from the next result on and change nothing by themselves. The zero
// value knows nothing and is ready; it may be used by many goroutines, and must not be copied.
type Knowledge struct {
	state atomic.Uint32 // a State; written under mu
	busy  atomic.Bool   // a check is under way

	mu         sync.Mutex // guards all below
	by         *Config    // by which the last result was got; nil before the first
	streak     int        // results in a row that are as the last one; 0 before the first
	lastFailed bool
	seen       Snapshot // without State
}

// Snapshot is a Knowledge at one moment, for people.
type Snapshot struct {
	State     State     `json:"state"`
	Since     time.Time `json:"since,omitzero"`      // when State began; zero while it is unknown
	LastCheck time.Time `json:"last_check,omitzero"` // zero before the first one
	// LastError is of the last check that failed, at LastFailure. Later successes leave it: it explains a target
	// that comes and goes.
	LastError   string    `json:"last_error,omitempty"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	Checks      uint64    `json:"checks"`
	Failures    uint64    `json:"failures"`
}

// Report notes the result of a check that ended at now, nil for a good one, and reports whether the state
// changed. The first result ever decides at once; after that it takes c.UnhealthyAfter failures in a row or
// c.HealthyAfter successes. With alone, no target of the pool being usable, one success is enough.
func (k *Knowledge) Report(c *Config, err error, alone bool, now time.Time) (changed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.count(err, now)
	k.by = c
	next := k.next(c, alone)
	if next == k.State() {
		return false
	}
	k.state.Store(uint32(next))
	k.seen.Since = now
	return true
}

// begin begins a check, until end; false: one is under way already.
func (k *Knowledge) begin() bool { return k.busy.CompareAndSwap(false, true) }

func (k *Knowledge) end() { k.busy.Store(false) }

// checks returns how many results there were.
func (k *Knowledge) checks() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.seen.Checks
}

// rest returns how long the next check by c may wait after the last one; other settings do not wait.
func (k *Knowledge) rest(c *Config, now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.by == nil || !k.by.Same(c) {
		return 0
	}
	return c.every(k.State()) - now.Sub(k.seen.LastCheck)
}

// count is called with mu held.
func (k *Knowledge) count(err error, now time.Time) {
	failed := err != nil
	if failed != k.lastFailed {
		k.streak = 0
	}
	k.lastFailed = failed
	k.streak++
	k.seen.LastCheck = now
	k.seen.Checks++
	if failed {
		k.seen.Failures++
		k.seen.LastFailure, k.seen.LastError = now, err.Error()
	}
}

// next returns the state after the last result. It is called with mu held.
func (k *Knowledge) next(c *Config, alone bool) State {
	state := k.State()
	switch {
	case k.lastFailed && (state == Unknown || k.streak >= c.UnhealthyAfter):
		return Unhealthy
	case !k.lastFailed && (state == Unknown || alone || k.streak >= c.HealthyAfter):
		return Healthy
	}
	return state
}

// State returns the state; it takes no lock.
func (k *Knowledge) State() State { return State(k.state.Load()) }

// Usable reports whether the target may get requests: it is healthy, or unknown and c assumes the best. It
// takes no lock.
func (k *Knowledge) Usable(c *Config) bool {
	switch k.State() {
	case Healthy:
		return true
	case Unhealthy:
		return false
	}
	return c.Assume != "unhealthy"
}

// Snapshot returns all of it as of one moment.
func (k *Knowledge) Snapshot() Snapshot {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.seen
	s.State = k.State()
	return s
}
