package pool

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/balance"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/health"
	"github.com/penstock-edge/penstock/pool/outcome"
	"github.com/penstock-edge/penstock/pool/outlier"
	"github.com/penstock-edge/penstock/pool/resolve"
	"github.com/penstock-edge/penstock/pool/transport"
)

// Target is one upstream address with the way to it and what is known of it. It outlives generations: a
// reload that keeps the target keeps all of it.
type Target struct {
	Address   string // as configured
	name      *resolve.Name
	shared    *shared // whose target it is
	transport transport.Transport

	state atomic.Uint32 // 0: may be chosen; computed by shared.settle
	ramp  atomic.Uint32 // slow start: the share of its picks that it takes, of 65536; 0: all
	// stayUntil is until when it serves clients that stick to it although it is drained, clock nanoseconds.
	stayUntil atomic.Int64
	own       *breaker.Breaker // of the target alone, for pools that want it
	_         [128]byte        // every request writes what follows: neighbours would share its cache line
	// inFlight counts the requests being made: never more than there are places.
	inFlight atomic.Int64
	pace     balance.Latency // how long its answers take
	streak   outlier.Streak  // errors in a row
	_        [128]byte
	gone     atomic.Bool // no generation uses the target: connections are closed when they come back

	stumble  outcome.Last
	ejection outlier.Ejection
	known    health.Knowledge

	// What follows is guarded by shared.mu.
	key      string // in shared.targets
	refs     int    // members that use it
	reasons  uint32 // not to choose it
	since    time.Time
	why      string // the last change
	warmFrom int64  // when its slow start began, clock nanoseconds; 0: it has none
	// drainFrom is when it ceased to take new clients, clock nanoseconds; 0: it takes them.
	drainFrom int64
}

// claim takes a place for x, or for whoever waits when x is nil; nil: all are in use.
func (t *Target) claim(x *edge.Exchange, s *transport.Settings) *transport.Attempt {
	if x == nil && t.inFlight.Load() >= int64(s.MaxPlaces) {
		return nil // none can be free
	}
	return t.transport.Claim(x, s)
}

// release gives back the place of a, used or not. No waiter is woken.
func (t *Target) release(a *transport.Attempt, f *edge.Fault) {
	a.Stream.Release(f)
	if t.gone.Load() { // also when it was dropped in between
		t.closeIdle()
	}
}

// closeIdle closes all idle connections.
func (t *Target) closeIdle() { t.transport.Retire(math.MaxInt64) }

// drop is called when no generation uses the target any more.
func (t *Target) drop() {
	t.gone.Store(true)
	t.closeIdle()
}
