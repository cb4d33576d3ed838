package pool

import (
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/pool/section"
	"github.com/penstock-edge/penstock/pool/status"
)

func (ps *pools) status() any {
	list := make([]status.Pool, 0, len(ps.list))
	for _, p := range ps.list {
		list = append(list, p.status())
	}
	return list
}

func (p *Pool) status() status.Pool {
	now, sh := clock.Now(), p.shared
	s := status.Pool{Name: p.Name, Balance: p.conf.Balance, Proxy: p.conf.ProxyProtocol,
		Targets: []status.Target{}}
	g := sh.guards.Load()
	if g.Breaker != nil {
		s.Breaker = g.Breaker.Snapshot(now)
	}
	if g.Limiter != nil {
		s.Concurrency = g.Limiter.Snapshot(now)
	}
	if g.Throttle != nil {
		s.Admission = g.Throttle.Snapshot()
	}
	if p.conf.Retry != nil || p.conf.Hedge != nil {
		left := p.budgetLeft(now)
		s.BudgetLeft = &left
	}
	s.HedgeAfter = time.Duration(sh.hedgeDelay.Load()).Seconds()
	set := p.set.Load()
	members := set.members
	s.Waiting = sh.queue.Len()
	breakers := make([]any, len(members)) // first: a breaker that changes takes shared.mu
	for i, m := range members {
		if m.breaker != nil {
			breakers[i] = m.breaker.Snapshot(now)
		}
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.Panic = sh.panicking
	if p.conf.Source != nil {
		s.Discovery = &status.Discovery{Source: p.conf.Source.String(), At: sh.foundAt}
		if sh.findFailed != nil {
			s.Discovery.Error = sh.findFailed.Error()
		}
		if at, kept := sh.keptAt[p.conf.Source.String()]; kept {
			age := time.Since(at).Seconds()
			s.Discovery.KeptAge = &age
		}
	}
	for i, m := range members {
		t := m.status()
		t.Waiting = m.waitingFor(set)
		t.Breaker = breakers[i]
		if t.Usable {
			s.Usable++
		}
		s.Targets = append(s.Targets, t)
	}
	return s
}

func (p *Pool) budgetLeft(now int64) int64 {
	percent := section.DefaultBudget
	if p.conf.Retry != nil {
		percent = p.conf.Retry.BudgetPercent
	}
	return p.shared.budget.Left(now, p.shared.requests.Sum(), percent)
}

// status is called while shared.mu is held.
func (m *member) status() status.Target {
	s := status.Target{Address: m.Address, State: stateName(m.reasons), Since: m.since, Why: m.why,
		Usable: m.Target.state.Load() == 0,
		Weight: m.weight, Share: 1, Backup: m.spec.Backup, Zone: m.spec.Zone,
		InFlight: m.inFlight.Load(), Connections: m.transport.Open(),
		EWMASeconds: m.pace.Value().Seconds(), Ejections: m.ejection.Count()}
	if r := m.ramp.Load(); r > 0 {
		s.Share = float64(r) / 65536
	}
	if until := m.stayUntil.Load(); m.reasons == isDrained && m.pool.sticky != nil && until > clock.Now() {
		at := clock.At(until)
		s.DrainsUntil = &at
	}
	s.Set = m.pool.shared.orders[m.Address].Status(&m.spec)
	if m.reasons&isEjected != 0 {
		until := clock.At(m.ejection.Until())
		s.EjectedTill = &until
	}
	if at, what := m.stumble.Get(); at > 0 {
		when := clock.At(at)
		s.LastError, s.LastErrorAt = what, &when
	}
	if m.pool.conf.Health != nil {
		known := m.known.Snapshot()
		s.Health = &known
		if at := known.LastFailure; !at.IsZero() && (s.LastErrorAt == nil || at.After(*s.LastErrorAt)) {
			s.LastError, s.LastErrorAt = known.LastError, &at
		}
	}
	for _, a := range m.name.Addrs() {
		s.Resolved = append(s.Resolved, a.String())
	}
	return s
}

// gauges registers what is read off the pool when metrics are asked for.
func (p *Pool) gauges(m *metric.Scope) {
	s, conf := p.shared, p.conf
	p.findErrors = m.Counter("penstock_discovery_errors_total", "Answers of discovery that were of no use.",
		"pool", p.Name)
	m.CounterFunc("penstock_pool_own_targets_total",
		"Targets left out because a discovery or a name server gave an address of the gateway itself.",
		func() float64 { return float64(s.own.Found()) }, "pool", p.Name)
	p.store.Errors = m.Counter("penstock_state_errors_total",
		"Last good targets that could not be read from state_dir or written to it.", "pool", p.Name)
	if p.conf.TLS.Renewable() {
		const name = "penstock_upstream_certificate_reloads_total"
		const help = "Changes of the files of TLS toward the targets."
		p.certsRenewed = m.Counter(name, help, "pool", p.Name, "result", "ok")
		p.certsRefused = m.Counter(name, help, "pool", p.Name, "result", "error")
	}
	m.GaugeFunc("penstock_pool_targets_usable", "Targets that may be chosen.", func() float64 {
		n := 0
		for _, b := range p.set.Load().members {
			if b.Target.state.Load() == 0 {
				n++
			}
		}
		return float64(n)
	}, "pool", p.Name)
	m.GaugeFunc("penstock_pool_targets", "Targets that the pool has.", func() float64 {
		return float64(len(p.set.Load().members))
	}, "pool", p.Name)
	m.GaugeFunc("penstock_pool_connection_waiting", "Requests that wait for a free connection.", func() float64 {
		return float64(s.queue.Len())
	}, "pool", p.Name)
	if conf.Breaker != nil {
		m.GaugeFunc("penstock_breaker_state", "0 closed, 1 half open, 2 recovering, 3 open.", func() float64 {
			return s.all.Breaker.State().Gauge()
		}, "pool", p.Name)
	}
	if conf.Retry != nil || conf.Hedge != nil {
		m.GaugeFunc("penstock_retry_budget_left", "Retries and hedges that could be made now.", func() float64 {
			return float64(p.budgetLeft(clock.Now()))
		}, "pool", p.Name)
	}
	if conf.Concurrency != nil {
		l := s.all.Limiter
		m.GaugeFunc("penstock_pool_concurrency_limit", "Requests that may be with the pool at once.",
			func() float64 { return float64(l.Limit()) }, "pool", p.Name)
		m.GaugeFunc("penstock_pool_in_flight", "Requests that hold a place of the limit.",
			func() float64 { return float64(l.InFlight()) }, "pool", p.Name)
		m.GaugeFunc("penstock_pool_waiting", "Requests that wait for a place of the limit.",
			func() float64 { return float64(l.Waiting()) }, "pool", p.Name)
	}
}

// gauges registers what is read off the target when metrics are asked for.
func (m *member) gauges(s *metric.Scope) {
	labels := []string{"pool", m.pool.Name, "target", m.Address}
	s.GaugeFunc("penstock_target_healthy", "1 while the target may be chosen.", func() float64 {
		if m.Target.state.Load() == 0 {
			return 1
		}
		return 0
	}, labels...)
	s.GaugeFunc("penstock_target_in_flight", "Requests that the target is answering.", func() float64 {
		return float64(m.inFlight.Load())
	}, labels...)
	const ewmaHelp = "Peak EWMA of the time to the head of an answer."
	s.GaugeFunc("penstock_target_ewma_seconds", ewmaHelp, func() float64 {
		return m.pace.Value().Seconds()
	}, labels...)
}
