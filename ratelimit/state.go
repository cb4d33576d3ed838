package ratelimit

import (
	"log/slog"
	"sync/atomic"

	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
	"github.com/penstock-edge/penstock/ratelimit/fleet"
	"github.com/penstock-edge/penstock/ratelimit/quota"
)

// state is what outlives reloads: what each key has spent.
type state struct {
	seed    uint64
	meter   meter               // nil: flights
	flights *bucket.Concurrency // nil: meter
	ledger  *fleet.Ledger       // the meter, when it is shared; nil: it is not
	set     func(c *Config)     // makes other rates hold
	// reset forgets a key, and reports whether anything was known of it; nil: there is nothing to forget.
	reset       func(k bucket.Key, now int64) (known bool, err error)
	keys        func(now int64) int
	evictions   func() uint64
	bytes       func() int64
	writeErrors func() uint64 // of the file; nil: there is none
	close       func()        // nil: nothing to end
	box         *box          // nil: there never was a penalty
	worst       offenders
}

// bytes is what the table of a limit takes when all of its keys are in use.
func (c *Config) bytes() int64 {
	each := int64(11) // a word, at three quarters of the slots
	switch {
	case c.Algorithm == "concurrency":
		return 0
	case c.Scope == "fleet":
		each = 110
	case c.Algorithm == "quota":
		each = 61
	case c.Exact:
		each = 32
	case c.Algorithm == "sliding_window":
		each = 22
	}
	return int64(c.MaxKeys) * each
}

func newState(c *Config) *state {
	s := &state{seed: chance.Uint64()}
	switch c.Algorithm {
	case "concurrency":
		f := bucket.NewConcurrency()
		s.flights, s.set = f, func(*Config) {}
		s.keys = func(int64) int { return f.Keys() }
		s.evictions, s.bytes = func() uint64 { return 0 }, func() int64 { return 0 }
	case "sliding_window":
		w := bucket.NewWindow(c.MaxKeys, c.Exact, c.Rate.Count, c.Rate.Per)
		s.meter, s.set = w, func(c *Config) { w.SetRate(clock.Now(), c.Rate.Count, c.Rate.Per) }
		s.keys, s.evictions, s.bytes = w.Keys, w.Evictions, w.Bytes
		s.reset = func(k bucket.Key, now int64) (bool, error) { return w.Reset(k, now), nil }
	default:
		g := bucket.NewGCRA(c.MaxKeys, c.Exact, rateOf(c))
		s.meter, s.set = g, func(c *Config) { g.SetRate(clock.Now(), rateOf(c)) }
		s.keys, s.evictions, s.bytes = g.Keys, g.Evictions, g.Bytes
		s.reset = func(k bucket.Key, now int64) (bool, error) { return g.Reset(k, now), nil }
	}
	return s
}

// fleetState is that of a limit which gateways share.
func fleetState(l *fleet.Link, name string, c *Config) *state {
	w := fleet.NewLedger(l, name, ruleOf(c), c.MaxKeys, c.FleetLease, c.tellTimeout())
	return &state{ledger: w, meter: w, set: func(c *Config) { w.Set(ruleOf(c), c.FleetLease, c.tellTimeout()) },
		reset: w.Reset, keys: w.Keys, evictions: w.Evictions, bytes: w.Bytes, close: w.Close}
}

// quotaState is that of a quota which is kept in a file.
func quotaState(c *Config, log *slog.Logger) (*state, error) {
	store, err := quota.Open(c.File, c.MaxKeys, log)
	if err != nil {
		return nil, err
	}
	m := &calendar{store: store}
	set := func(c *Config) { m.rule.Store(&quota.Rule{Limit: c.Quota, Period: c.period, Zone: c.zone}) }
	set(c)
	reset := func(k bucket.Key, now int64) (bool, error) { return store.Reset(k, m.wall.UnixNano(now)), nil }
	return &state{meter: m, set: set, reset: reset, keys: func(int64) int { return store.Len() },
		evictions: store.Evictions, bytes: store.Bytes, writeErrors: store.Errors,
		close: func() { _ = store.Close() }, // it has logged what went wrong
	}, nil
}

func (s *state) drop() {
	if s.close != nil {
		s.close()
	}
}

// penalize makes the box of a limit. Generations are built one after the other.
func (s *state) penalize(c *Config) {
	if s.box == nil {
		s.box = newBox(c.MaxKeys, c.Penalty)
	}
}

func rateOf(c *Config) bucket.Rate {
	return bucket.Rate{Count: c.Rate.Count, Per: c.Rate.Per, Burst: c.Burst}
}

func ruleOf(c *Config) *fleet.Rule {
	switch c.Algorithm {
	case "sliding_window":
		return fleet.NewWindow(c.Rate.Count, c.Rate.Per)
	case "quota":
		return fleet.NewQuota(c.Quota, c.period, c.zone)
	}
	return fleet.NewGCRA(c.Rate.Count, c.Rate.Per, c.Burst)
}

// calendar is the meter of a quota: its windows are those of the wall clock.
type calendar struct {
	store *quota.Store
	rule  atomic.Pointer[quota.Rule]
	wall  clock.Coarse
}

func (c *calendar) Peek(k bucket.Key, now, cost int64) bucket.Result {
	return c.store.Peek(k, c.wall.UnixNano(now), cost, c.rule.Load())
}

func (c *calendar) TryCharge(k bucket.Key, now, cost int64) bucket.Result {
	return c.store.TryCharge(k, c.wall.UnixNano(now), cost, c.rule.Load())
}

func (c *calendar) Charge(k bucket.Key, now, cost int64) {
	r := c.rule.Load()
	c.store.Charge(k, c.wall.UnixNano(now), min(cost, r.Limit), r)
}
