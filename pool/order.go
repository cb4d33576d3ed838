package pool

import (
	"log/slog"
	"time"
)

// order is what the admin API has said of one address of a pool. It stands over reloads, until the target
// leaves the pool or its configuration says something new of the same matter.
type order struct {
	drain  said[bool]
	weight said[int32]
}

// said is one value set by the admin API in place of the configured one.
type said[T comparable] struct {
	set   bool
	value T
	over  T // what the configuration said when it was set
	at    time.Time
}

// put sets the value; what is configured anyway is not said.
func (s *said[T]) put(value, configured T) {
	*s = said[T]{value != configured, value, configured, time.Now()}
}

// of returns the value that holds in place of the configured one.
func (s *said[T]) of(configured T) T {
	if s.set && s.over == configured {
		return s.value
	}
	return configured
}

// settle forgets what was said of another configuration; it reports whether it has.
func (s *said[T]) settle(configured T) (forgotten bool) {
	if s.set && s.over != configured {
		*s = said[T]{}
		return true
	}
	return false
}

// settle forgets what was said of another configuration than spec; it reports whether there was any of it.
func (o *order) settle(spec *targetSpec) bool {
	drain, weight := o.drain.settle(spec.drain), o.weight.settle(spec.weight)
	return drain || weight
}

// of returns the weight of a target that is configured by spec. o may be nil.
func (o *order) of(spec *targetSpec) int32 {
	if o == nil {
		return spec.weight
	}
	return o.weight.of(spec.weight)
}

// closes returns why the target that is configured by spec takes no new clients; "": it takes them. o may be
// nil.
func (o *order) closes(spec *targetSpec) string {
	if o == nil {
		o = &order{}
	}
	switch drain, weight := o.drain.of(spec.drain), o.weight.of(spec.weight); {
	case drain && drain != spec.drain:
		return "drained by the admin interface"
	case drain:
		return "its configuration says drain"
	case weight == 0 && weight != spec.weight:
		return "its weight was set to 0 by the admin interface"
	case weight == 0:
		return "its weight is 0"
	}
	return ""
}

// OrderStatus is what the admin API has set for a target, as /status shows it.
type OrderStatus struct {
	Drain  *bool     `json:"drain,omitempty"`
	Weight *int32    `json:"weight,omitempty"`
	Since  time.Time `json:"since"` // of the last of both
}

// status returns nil when nothing is set. o may be nil.
func (o *order) status(spec *targetSpec) *OrderStatus {
	if o == nil {
		return nil
	}
	s := &OrderStatus{}
	if v := o.drain.of(spec.drain); v != spec.drain {
		s.Drain, s.Since = &v, o.drain.at
	}
	if v := o.weight.of(spec.weight); v != spec.weight {
		s.Weight = &v
		if o.weight.at.After(s.Since) {
			s.Since = o.weight.at
		}
	}
	if s.Drain == nil && s.Weight == nil {
		return nil
	}
	return s
}

// command has f set what the admin API says of the target at address, and sees to it that it holds. It
// returns the target as the pool has it then; nil: there is none.
func (p *Pool) command(address string, f func(o *order, spec *targetSpec)) *member {
	s := p.shared
	s.mu.Lock()
	if s.leader != nil {
		p = s.leader // a reload may have come in between
	}
	m := p.set.Load().find(address)
	if m == nil {
		s.mu.Unlock()
		return nil
	}
	o := s.orders[address]
	if o == nil {
		o = &order{}
		s.orders[address] = o
	}
	f(o, &m.spec)
	s.review()
	s.mu.Unlock()
	p.reweigh()
	return m
}

func (s *set) find(address string) *member {
	for _, m := range s.members {
		if m.Address == address {
			return m
		}
	}
	return nil
}

// review forgets orders whose time is over, and takes out the targets of the leader that take no new clients.
// s.mu is held.
func (s *shared) review() {
	if s.leader == nil {
		return
	}
	set := s.leader.set.Load()
	for address, o := range s.orders {
		m := set.find(address)
		if m == nil || o.settle(&m.spec) {
			slog.Info("what the admin interface had set for a target is over", "pool", s.name, "target", address,
				"why", "its configuration has changed")
		}
		if m == nil || !o.drain.set && !o.weight.set {
			delete(s.orders, address)
		}
	}
	for _, m := range set.members {
		why := s.orders[m.Address].closes(&m.spec)
		if why == "" {
			s.marked(m.Target, isDrained, false, "it takes new clients again")
		} else {
			s.marked(m.Target, isDrained, true, why)
		}
	}
}

// weigh gives each member, not in use yet, the weight that it is to have.
func (s *shared) weigh(members []*member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range members {
		m.weight = s.orders[m.Address].of(&m.spec)
	}
}

// reweigh builds the choice anew when the admin API has changed a weight.
func (p *Pool) reweigh() {
	p.applying.Lock()
	defer p.applying.Unlock()
	old := p.set.Load().members
	if p.closed || !p.shared.outweighs(old) {
		return
	}
	members := make([]*member, len(old))
	for i, m := range old {
		members[i] = m.again()
	}
	next, err := p.newSet(members)
	if err != nil {
		slog.Error("cannot balance by the weights that were set; the ones before stay in use", "pool", p.Name,
			"error", err)
		return
	}
	p.set.Store(next)
	p.shared.mu.Lock()
	p.shared.settle()
	p.shared.mu.Unlock()
}

// outweighs reports whether a member has another weight than it is to have.
func (s *shared) outweighs(members []*member) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range members {
		if m.weight != s.orders[m.Address].of(&m.spec) {
			return true
		}
	}
	return false
}
