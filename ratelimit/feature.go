// Package ratelimit bounds how many requests may pass for each address, key or whatever else a request
// carries.
package ratelimit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// Feature makes [rate_limit.NAME] and the route keys rate_limits and rate_cost work. In the list it stands
// behind what tells clients apart, and before what costs something.
var Feature = edge.Feature{Name: "rate_limits", New: build}

// limits are those of one generation.
type limits struct {
	h     *edge.Host
	slot  int
	list  []*limit
	names []string
}

func build(h *edge.Host) *edge.Instance {
	ls := &limits{h: h, slot: h.Slot()}
	for _, t := range h.Config.File.Root.Children("rate_limit") {
		l := ls.read(t)
		ls.list, ls.names = append(ls.list, l), append(ls.names, l.name)
	}
	return &edge.Instance{Route: ls.route, Start: ls.start, Status: ls.status}
}

func (ls *limits) read(t *config.Table) *limit {
	c := readConfig(t)
	l := &limit{name: t.Name(), conf: c, observe: c.Mode == "observe"}
	for i, name := range decisionNames {
		l.decisions[i] = ls.h.Metrics.Counter("penstock_rate_limit_decisions_total",
			"Requests by what a limit said.", "limit", l.name, "decision", name)
	}
	if c.Rate.Count == 0 && c.MaxInFlight == 0 {
		return l // a mistake that has been recorded
	}
	// Another algorithm or size is another table: it begins anew.
	id := fmt.Sprint("rate_limit/", l.name, "/", c.Algorithm, "/", c.MaxKeys, "/", c.Exact)
	fresh := func() (*state, error) { return newState(c), nil }
	l.kept, _ = edge.Keep(ls.h.State, id, fresh, nil) // fresh does not fail
	if c.Penalty != nil {
		l.kept.penalize(c)
	}
	l.seed, l.meter, l.flights = l.kept.seed, l.kept.meter, l.kept.flights
	l.describe()
	return l
}

// route adds the limits that a route names.
func (ls *limits) route(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var keys struct {
		Limits []string `toml:"rate_limits"`
		Cost   int64    `toml:"rate_cost" default:"-1" min:"-1" max:"1000000"`
	}
	r.Table.Decode(&keys)
	g := &gate{route: r.Name, cost: keys.Cost, slot: ls.slot}
	for _, name := range keys.Limits {
		i := slices.Index(ls.names, name)
		if i < 0 {
			r.Table.Unknown("rate_limits", "rate limit", name, ls.names)
			continue
		}
		g.limits = append(g.limits, ls.list[i])
	}
	if len(g.limits) == 0 {
		return
	}
	r.Note("rate_limits", strings.Join(keys.Limits, " "))
	r.Add(edge.Access, g)
	r.Add(edge.Respond, tell{ls.slot})
	r.Add(edge.Log, done{ls.slot})
}

// start makes the rates of this generation hold.
func (ls *limits) start() {
	for _, l := range ls.list {
		if l.kept != nil {
			l.kept.set(l.conf)
			if p := l.conf.Penalty; p != nil {
				l.kept.box.set(clock.Now(), p)
			}
		}
	}
}

// state is what outlives reloads: who has spent what.
type state struct {
	seed      uint64
	meter     meter               // nil: flights
	flights   *bucket.Concurrency // nil: meter
	set       func(c *Config)     // makes other rates hold
	keys      func(now int64) int
	evictions func() uint64
	bytes     func() int64
	box       *box // nil: there never was a penalty
	worst     offenders
}

func newState(c *Config) *state {
	s := &state{seed: rand.Uint64()}
	switch c.Algorithm {
	case "concurrency":
		f := bucket.NewConcurrency()
		s.flights, s.set = f, func(*Config) {}
		s.keys = func(int64) int { return f.Keys() }
		s.evictions, s.bytes = func() uint64 { return 0 }, func() int64 { return 0 }
	case "sliding_window":
		w := bucket.NewWindow(c.MaxKeys, c.Exact, c.Rate.Count, c.Rate.Per)
		s.meter, s.set = w, func(c *Config) { w.SetRate(c.Rate.Count, c.Rate.Per) }
		s.keys, s.evictions, s.bytes = w.Keys, w.Evictions, w.Bytes
	default:
		g := bucket.NewGCRA(c.MaxKeys, c.Exact, rateOf(c))
		s.meter, s.set = g, func(c *Config) { g.SetRate(clock.Now(), rateOf(c)) }
		s.keys, s.evictions, s.bytes = g.Keys, g.Evictions, g.Bytes
	}
	return s
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
