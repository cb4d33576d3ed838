package pool

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/penstock-edge/penstock/pool/discovery"
	"github.com/penstock-edge/penstock/pool/section"
)

// How long the first answer of a discovery is waited for: with a generation before that serves meanwhile,
// and at the start of the process, where /readyz shows that there is none.
const (
	findWait  = 5 * time.Second
	startWait = time.Second
)

// known returns the last good answer of the pool's discovery; nil: there was none.
func (p *Pool) known() []discovery.Endpoint {
	if p.conf.Source == nil {
		return nil
	}
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	return p.shared.found[p.conf.Source.String()]
}

// findFirst waits so long for the first answer, and takes what was kept when none comes.
func (p *Pool) findFirst(wait time.Duration) {
	defer p.recall()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	p.conf.Source.Run(ctx, func(eps []discovery.Endpoint, err error) {
		if ctx.Err() == nil {
			p.found(eps, err)
		}
		cancel()
	})
}

// found takes in an answer. A failed one changes nothing but the log.
func (p *Pool) found(eps []discovery.Endpoint, err error) {
	s, source := p.shared, p.conf.Source.String()
	s.mu.Lock()
	failing := s.findFailed
	s.findFailed = err
	s.mu.Unlock()
	if err != nil {
		p.findErrors.Inc(0)
		if failing == nil || failing.Error() != err.Error() {
			slog.Warn("cannot discover targets; the last known ones stay in use", "pool", p.Name, "source", source,
				"targets", len(p.set.Load().members), "error", err)
		}
		return
	}
	if failing != nil {
		slog.Info("targets are discovered again", "pool", p.Name, "source", source)
	}
	p.apply(eps) // before they are known, which makes the gateway ready
	s.mu.Lock()
	s.found[source] = eps
	s.foundAt = time.Now()
	delete(s.keptAt, source)
	s.mu.Unlock()
	p.keep()
}

// unready returns why the pool keeps the gateway from being ready; "": it does not.
func (p *Pool) unready() string {
	if p.conf.Source == nil || p.known() != nil {
		return ""
	}
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	why := "no answer yet"
	if err := p.shared.findFailed; err != nil {
		why = err.Error()
	}
	return "pool " + p.Name + " has not found its targets: " + why
}

// apply makes eps, beside the targets of the file, those of the pool.
func (p *Pool) apply(eps []discovery.Endpoint) {
	p.applying.Lock()
	defer p.applying.Unlock()
	if p.closed {
		return
	}
	now, specs := p.set.Load().members, p.specs(eps)
	if slices.EqualFunc(now, specs, func(m *member, spec section.Target) bool { return m.spec == spec }) {
		return // and the round goes on where it is
	}
	left := map[section.Target]*member{} // of those so far, the ones that were not found again
	for _, m := range now {
		left[m.spec] = m
	}
	var members, added []*member
	for _, spec := range specs {
		if m := left[spec]; m != nil {
			delete(left, spec)
			members = append(members, m.again())
			continue
		}
		m := p.newMember(spec, nil, nil)
		members, added = append(members, m), append(added, m)
	}
	next, err := p.newSet(members)
	if err != nil {
		slog.Error("cannot balance over the targets that were discovered; the last known ones stay in use",
			"pool", p.Name, "error", err)
		for _, m := range added {
			m.unhook()
		}
		return
	}
	p.set.Store(next)
	for _, m := range now {
		if left[m.spec] == m {
			m.unhook()
		}
	}
	k := p.shared.renew(p)
	if len(added)+len(left) > 0 {
		slog.Info("targets changed", "pool", p.Name, "targets", len(members),
			"added", len(added), "removed", len(left))
	}
	if k != nil {
		k.follow()
	}
}

// renew looks again at what is known of the targets, as those of p are others now, and returns p's keeper.
func (s *shared) renew(p *Pool) *keeper {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == p {
		s.review()
	}
	s.settle()
	return p.keeper
}

// specs returns the targets of the file and, behind them, those of eps that the file does not have. The
// gateway's own addresses are left out of eps.
func (p *Pool) specs(eps []discovery.Endpoint) []section.Target {
	all := slices.Clone(p.conf.Members)
	have := map[string]bool{}
	for _, spec := range all {
		have[spec.Address] = true
	}
	for _, e := range eps {
		if have[e.Address] {
			continue
		}
		have[e.Address] = true
		if what := p.conf.Own.Find(e.Address); what != "" {
			p.shared.own.LeftOut(e.Address, what)
			continue
		}
		all = append(all, section.Target{Address: e.Address, Weight: e.Weight, Backup: e.Backup, Zone: e.Zone,
			Drain: e.Drain})
	}
	return all
}

// again returns a copy of m for another set: its index there is another one.
func (m *member) again() *member {
	n := *m
	return &n
}
