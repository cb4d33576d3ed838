// Package ratelimit bounds how many requests may pass for each address, key or whatever else a request
// carries.
package ratelimit

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/ratelimit/fleet"
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
	link  *fleet.Link     // nil: no [redis]
	files map[string]bool // of quotas
}

func build(h *edge.Host) *edge.Instance {
	ls := &limits{h: h, slot: h.Slot(), files: map[string]bool{}}
	if t := h.Config.File.Root.Child("redis"); t != nil {
		ls.connect(t)
	}
	for _, t := range h.Config.File.Root.Children("rate_limit") {
		l := ls.read(t)
		ls.list, ls.names = append(ls.list, l), append(ls.names, l.name)
	}
	h.Handle("POST", "/rate_limits/{name}/reset", ls.reset)
	return &edge.Instance{Route: ls.route, Start: ls.start, Status: ls.status, Save: ls.save}
}

// connect makes the link to the server that a fleet shares. It connects when the first generation starts that
// has a limit for it.
func (ls *limits) connect(t *config.Table) {
	c := fleet.ReadConfig(t)
	if len(c.Address) == 0 {
		return // a mistake that has been recorded
	}
	fresh := func() (*fleet.Link, error) { return fleet.NewLink(c, ls.h.Log), nil }
	l, _ := edge.Keep(ls.h.State, "redis/"+c.Fingerprint(), fresh, (*fleet.Link).Close) // fresh does not fail
	ls.link = l
	ls.h.Metrics.GaugeFunc("penstock_redis_up", "Whether the server of [redis] answers.", func() float64 {
		if l.Up() {
			return 1
		}
		return 0
	})
	ls.h.Metrics.GaugeFunc("penstock_redis_nodes", "Gateways seen when the server of [redis] answered last.",
		func() float64 { return float64(l.Nodes()) })
	ls.h.Metrics.CounterFunc("penstock_redis_losses_total", "How often the server of [redis] ceased to answer.",
		func() float64 { return float64(l.Broken()) })
}

func (ls *limits) read(t *config.Table) *limit {
	c := readConfig(t)
	l := &limit{name: t.Name(), conf: c, observe: c.Mode == "observe"}
	for i, name := range decisionNames {
		l.decisions[i] = ls.h.Metrics.Counter("penstock_rate_limit_decisions_total",
			"Requests by what a limit said.", "limit", l.name, "decision", name)
	}
	l.fallbacks = ls.h.Metrics.Counter("penstock_rate_limit_fallbacks_total",
		"Requests decided by on_failure, because the server of [redis] did not answer.", "limit", l.name)
	l.missing = ls.h.Metrics.Counter("penstock_rate_limit_missing_total",
		"Requests without a field, cookie or parameter of the limit's key.", "limit", l.name)
	l.badCosts = ls.h.Metrics.Counter("penstock_rate_limit_bad_costs_total",
		"Answers whose cost was not a whole number.", "limit", l.name)
	if c.Rate.Count == 0 && c.MaxInFlight == 0 && c.Quota == 0 {
		return l // a mistake that has been recorded
	}
	if l.kept = ls.keep(t, l); l.kept == nil {
		return l
	}
	if c.Penalty != nil {
		l.kept.penalize(c)
	}
	l.seed, l.meter, l.flights, l.shared = l.kept.seed, l.kept.meter, l.kept.flights, l.kept.ledger
	if f := l.kept.writeErrors; f != nil {
		ls.h.Metrics.CounterFunc("penstock_quota_write_errors_total",
			"How often a quota could not be written to its file.",
			func() float64 { return float64(f()) }, "limit", l.name)
	}
	l.asks = l.shared != nil && c.Fleet == "exact"
	l.counted = c.counted
	l.describe()
	return l
}

// keep returns what was spent of a limit so far. Another algorithm, size or scope begins anew. nil: it cannot
// be had, which has been recorded.
func (ls *limits) keep(t *config.Table, l *limit) *state {
	c := l.conf
	if !ls.h.Takes(t, "max_keys", c.bytes()) {
		return nil
	}
	id := fmt.Sprint("rate_limit/", l.name, "/", c.Algorithm, "/", c.MaxKeys, "/", c.Exact)
	fresh := func() (*state, error) { return newState(c), nil }
	switch {
	case c.Scope == "fleet" && ls.link == nil:
		if ls.h.Config.File.Root.Has("redis") {
			return nil // [redis] is wrong, and that has been recorded
		}
		t.Errorf("scope", "a limit of the fleet needs [redis], with the address of the server "+
			"that its gateways share")
		return nil
	case c.Scope == "fleet":
		link := ls.link
		id = fmt.Sprintf("rate_limit/%s/%s/%d/%p", l.name, c.Algorithm, c.MaxKeys, link)
		fresh = func() (*state, error) { return fleetState(link, l.name, c), nil }
	case c.Algorithm == "quota":
		if c.zone == nil || c.File == "" || ls.h.Dry {
			return nil
		}
		if ls.files[c.File] {
			t.Errorf("file", "%q is that of another limit: each needs its own", c.File)
			return nil
		}
		ls.files[c.File] = true
		id = fmt.Sprint("rate_limit/quota/", c.File) // one store a file: another max_keys needs a restart
		fresh = func() (*state, error) { return quotaState(c, ls.h.Log) }
	}
	s, err := edge.Keep(ls.h.State, id, fresh, (*state).drop)
	if err != nil {
		t.Errorf("file", "%s", err)
		return nil
	}
	return s
}

// route adds the limits that a route names.
func (ls *limits) route(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var keys struct {
		// All must agree; who is refused by one is charged by none.
		Limits []string `toml:"rate_limits"`
		// What a request of this route costs; -1: what each limit says.
		Cost int64 `toml:"rate_cost" default:"-1" min:"-1" max:"1000000"`
	}
	r.Table.Decode(&keys)
	if keys.Cost < 0 && r.Table.Has("rate_cost") {
		r.Table.Errorf("rate_cost", "must be 0 or more; without the key a request costs what each limit says")
	}
	g := &gate{route: r.Name, cost: keys.Cost, slot: ls.slot}
	for _, name := range keys.Limits {
		i := slices.Index(ls.names, name)
		switch {
		case i < 0:
			r.Table.Unknown("rate_limits", "rate limit", name, ls.names)
			continue
		case slices.Contains(g.limits, ls.list[i]):
			r.Table.Mistake("rate_limits", name, "", "names a limit twice: each counts once")
			continue
		}
		g.add(ls.list[i])
		ls.list[i].conf.checkCost(r, name, keys.Cost)
	}
	if len(g.limits) == 0 {
		return
	}
	r.Note("rate_limits", strings.Join(keys.Limits, " "))
	r.Add(edge.Access, g)
	if slices.ContainsFunc(g.limits, func(l *limit) bool { return l.conf.Answer != nil }) {
		r.Add(edge.Rescue, own{ls.slot})
	}
	r.Add(edge.Respond, &addFields{slot: ls.slot, costs: g.costs})
	r.Add(edge.Log, done{ls.slot})
}

// checkCost records that no request of a route would ever pass.
func (c *Config) checkCost(r *edge.RouteSetup, name string, cost int64) {
	if most := c.most(); c.Algorithm != "concurrency" && most > 0 && cost > most {
		r.Table.Errorf("rate_cost", "no request would ever pass the limit %q: it costs %d, and a key has %d at "+
			"most, %s", name, cost, most, c.mostOf())
	}
}

// save waits until what is counted is in its files, or sent to its server.
func (ls *limits) save() {
	var saving sync.WaitGroup
	for _, l := range ls.list {
		if l.kept != nil {
			saving.Go(l.kept.drop)
		}
	}
	saving.Wait()
}

// start makes the rates of this generation hold.
func (ls *limits) start() {
	patience := time.Duration(0)
	for _, l := range ls.list {
		if l.kept == nil {
			continue
		}
		l.kept.set(l.conf)
		if p := l.conf.Penalty; p != nil {
			l.kept.box.set(clock.Now(), p)
		}
		if l.shared != nil {
			if most := l.conf.FleetTimeout; patience == 0 || most < patience {
				patience = most
			}
			ls.link.Start()
			l.shared.Start()
		}
	}
	if patience > 0 {
		ls.link.SetPatience(patience)
	}
}
