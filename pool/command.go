package pool

import (
	"log/slog"

	"github.com/penstock-edge/penstock/pool/order"
	"github.com/penstock-edge/penstock/pool/section"
)

// command has f set what the admin API says of the target at address, and sees to it that it holds. It
// returns the target as the pool has it then; nil: there is none.
func (p *Pool) command(address string, f func(o *order.Order, spec *section.Target)) *member {
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
		o = &order.Order{}
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
		if m == nil || o.Settle(&m.spec) {
			slog.Info("what the admin interface had set for a target is over", "pool", s.name, "target", address,
				"why", "its configuration has changed")
		}
		if m == nil || !o.Said() {
			delete(s.orders, address)
		}
	}
	for _, m := range set.members {
		why := s.orders[m.Address].Closes(&m.spec)
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
		m.weight = s.orders[m.Address].Of(&m.spec)
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
		if m.weight != s.orders[m.Address].Of(&m.spec) {
			return true
		}
	}
	return false
}
