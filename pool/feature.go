package pool

import (
	"log/slog"
	"slices"
	"strconv"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/pool/balance"
)

// Feature makes the [pool.NAME] sections and routes' `pool` key work.
var Feature = edge.Feature{Name: "pools", New: build}

// pools are all pools of one generation.
type pools struct {
	list []*Pool
}

func build(h *edge.Host) *edge.Instance {
	ps := &pools{}
	series := newSeries(h.Metrics)
	for _, t := range h.Config.File.Root.Children("pool") {
		p := newPool(h, t, series)
		ps.list = append(ps.list, p)
		h.Offer(p.Name, p)
	}
	ps.admin(h)
	return &edge.Instance{
		Route:  func(r *edge.RouteSetup) { route(h, r) },
		Start:  ps.start,
		Status: ps.status,
		Close:  ps.close,
	}
}

func route(h *edge.Host, r *edge.RouteSetup) {
	if r.Unrouted || !r.Table.Has("pool") {
		return
	}
	v, _ := r.Table.Value("pool")
	name, ok := v.String()
	if !ok {
		return // config has said that it must be a string
	}
	r.Answers("pool")
	r.Plan.Upstream = h.Upstream(r.Table, "pool", name)
	r.Note("pool", name)
}

// series are the metrics of all pools, prepared once a generation.
type series struct {
	retries  *metric.Counters
	latency  *metric.Histograms
	outcomes *metric.Counters
}

func newSeries(m *metric.Scope) *series {
	return &series{
		retries: m.Counters("penstock_retries_total", "Attempts that repeated a failed one.", "pool"),
		latency: m.Histograms("penstock_upstream_duration_seconds",
			"Time from choosing a target to the head of its answer.", metric.DefaultBounds(), "pool"),
		outcomes: m.Counters("penstock_upstream_requests_total", "Attempts by how they ended.",
			"pool", "target", "outcome"),
	}
}

func newPool(h *edge.Host, t *config.Table, s *series) *Pool {
	p := &Pool{Name: t.Name(), stop: make(chan struct{})}
	p.conf = readConfig(t)
	p.retries, p.latency = s.retries.With(p.Name), s.latency.With(p.Name)
	seed := balance.HashKey(0, []byte(p.conf.HashSeed.Reveal()+p.Name))
	p.key = newHashKey(p.conf, seed)
	for _, spec := range p.conf.targets {
		p.members = append(p.members, newMember(h, p, spec, s))
	}
	if len(p.members) == 0 {
		return p // an error of the file that has been recorded
	}
	if !slices.Contains(balance.Kinds(), p.conf.Balance) {
		return p // as above
	}
	var err error
	if p.policy, err = balance.New(p.conf.Balance, p.forBalance(), seed); err != nil {
		t.Errorf("targets", "%s", err)
	}
	return p
}

func newMember(h *edge.Host, p *Pool, spec targetSpec, s *series) *member {
	m := &member{pool: p, weight: spec.weight, backup: spec.backup, host: p.conf.hostFor(spec.address)}
	// Connections made under other TLS settings must not be reused: the settings are part of the key.
	key := "target/" + p.Name + "/" + spec.address + "/" + p.conf.TLS.fingerprint()
	m.Target, _ = edge.Keep(h.State, key, func() (*Target, error) {
		return newTarget(spec.address, min(p.conf.MaxConnections, maxIdle)), nil
	}, (*Target).drop)
	for i, name := range outcomeNames {
		m.outcomes[i] = s.outcomes.With(p.Name, spec.address, name)
	}
	h.Metrics.GaugeFunc("penstock_target_healthy", "1 while the target may be chosen.", func() float64 {
		if m.state.Load() == 0 {
			return 1
		}
		return 0
	}, "pool", p.Name, "target", spec.address)
	return m
}

// maxIdle bounds how many idle connections of one target are kept.
const maxIdle = 4096

func (p *Pool) forBalance() []balance.Target {
	ts := make([]balance.Target, len(p.members))
	for i, m := range p.members {
		ts[i] = balance.Target{Name: m.Address, Weight: m.weight, Backup: m.backup,
			InFlight: &m.inFlight, State: &m.state}
	}
	return ts
}

func (ps *pools) start() {
	for _, p := range ps.list {
		p.start()
	}
}

func (ps *pools) close() {
	for _, p := range ps.list {
		p.close()
	}
}

// resolved notes how asking for a name's addresses went, a line a change.
func (m *member) resolved(pool string, err error) {
	failed := err != nil
	if m.name.failed.Swap(failed) == failed {
		return
	}
	if failed {
		slog.Warn("cannot resolve a target; the last known addresses stay in use", "pool", pool,
			"target", m.Address, "error", err)
		return
	}
	slog.Info("target resolves again", "pool", pool, "target", m.Address)
}

// TargetStatus is a target as /status shows it.
type TargetStatus struct {
	Address     string   `json:"address"`
	State       string   `json:"state"` // "healthy" or "drained"
	Weight      int32    `json:"weight"`
	Backup      bool     `json:"backup"`
	InFlight    int64    `json:"in_flight"`
	Connections int64    `json:"connections"`
	Waiting     int64    `json:"waiting"`
	Resolved    []string `json:"resolved,omitempty"`
}

// Status is a pool as /status shows it.
type Status struct {
	Name    string         `json:"name"`
	Balance string         `json:"balance"`
	Targets []TargetStatus `json:"targets"`
}

func (ps *pools) status() any {
	list := make([]Status, 0, len(ps.list))
	for _, p := range ps.list {
		s := Status{Name: p.Name, Balance: p.conf.Balance, Targets: make([]TargetStatus, 0, len(p.members))}
		for _, m := range p.members {
			s.Targets = append(s.Targets, m.status())
		}
		list = append(list, s)
	}
	return list
}

func (m *member) status() TargetStatus {
	s := TargetStatus{Address: m.Address, State: "healthy", Weight: m.weight, Backup: m.backup,
		InFlight: m.inFlight.Load(), Connections: m.conns.Load(), Waiting: m.waiting.Load()}
	if m.state.Load() == targetDrained {
		s.State = "drained"
	}
	if m.name.named() {
		if addrs := m.name.addrs.Load(); addrs != nil {
			for _, a := range *addrs {
				s.Resolved = append(s.Resolved, a.String()+":"+strconv.Itoa(int(m.name.port)))
			}
		}
	}
	return s
}
