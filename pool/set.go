package pool

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/balance"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/ticket"
	"github.com/penstock-edge/penstock/pool/transport"
)

// set is the targets of a pool at one moment and the choice among them. It never changes: when discovery
// finds other targets, another set takes its place.
type set struct {
	members []*member
	of      map[*Target]*member
	chooser *balance.Chooser // nil: there are no members
	tickets ticket.List      // sticky cookies
}

// newSet builds the choice among members, which it numbers.
func (p *Pool) newSet(members []*member) (*set, error) {
	p.shared.weigh(members)
	s := &set{members: members, of: make(map[*Target]*member, len(members))}
	if p.sticky != nil {
		s.tickets = tickets(p.sticky.Key, members)
	}
	if len(members) == 0 {
		return s, nil
	}
	ts := make([]balance.Target, len(members))
	for i, m := range members {
		m.index = i
		s.of[m.Target] = m
		ts[i] = balance.Target{Name: m.Address, Weight: m.weight, Backup: m.spec.Backup,
			Local: p.zone != "" && m.spec.Zone == p.zone, InFlight: &m.inFlight, State: &m.state,
			Latency: &m.pace, Ramp: &m.ramp}
	}
	var err error
	s.chooser, err = balance.New(p.conf.Balance, ts, p.seed)
	return s, err
}

// choose picks the member for the next attempt of x and claims a place there; nil: there is none to ask, or,
// when full, none that has a free place. What has been tried already is left out as long as there is another,
// except after a connection that was dead before it was used.
func (p *Pool) choose(x *edge.Exchange) (m *member, full bool) {
	s := p.set.Load()
	if s.chooser == nil {
		return nil, false
	}
	if m := p.tied(x, s); m != nil {
		switch m.claimPlace(x) {
		case taken:
			return m, false
		case isFull: // the client waits for it
			return nil, true
		}
	}
	if m, full = p.pick(x, s); m != nil || full {
		return m, full
	}
	return s.search(x)
}

// tied returns the member that the client of x comes back to, when it may be asked; nil: there is none.
func (p *Pool) tied(x *edge.Exchange, s *set) *member {
	if p.sticky == nil {
		return nil
	}
	if m := p.stuck(x, s); m != nil && !tried(x, m) {
		return m
	}
	return nil
}

// pick claims a place at one of the members that the pool's policy of balancing prefers.
func (p *Pool) pick(x *edge.Exchange, s *set) (m *member, full bool) {
	key, avoid := p.key.Of(x), -1
	if x.Attempts > 0 && !x.Fresh {
		avoid = s.lastTried(x)
	}
	for range maxChoices {
		i := s.chooser.Pick(key, avoid)
		if i < 0 || i == avoid {
			break // there is no other
		}
		m := s.members[i]
		if full && (!s.best(x, m) || s.chooser.AtBound(i)) {
			break // no backup for one that is only busy, and no key beyond the bounds of its policy
		}
		if !tried(x, m) {
			switch m.claimPlace(x) {
			case taken:
				return m, false
			case isFull:
				full = true
			}
		}
		avoid = i
	}
	return nil, full
}

// search looks at all members when those that the policy picks have been tried or refuse: for one that has
// not been tried, a backup if need be, and else for any.
func (s *set) search(x *edge.Exchange) (m *member, full bool) {
	for rank := range ranks {
		for _, m := range s.members {
			if m.state.Load() != 0 || rankOf(x, m) != rank {
				continue
			}
			switch m.claimPlace(x) {
			case taken:
				return m, false
			case isFull:
				full = true
			}
		}
		if full {
			return nil, true
		}
	}
	return nil, false
}

// rankOf returns the rank in which a target is asked: after those that have not been tried, and after those
// that are no backups.
func rankOf(x *edge.Exchange, m *member) (rank int) {
	if m.spec.Backup {
		rank++
	}
	if tried(x, m) {
		rank += 2
	}
	return rank
}

const ranks = 4

// best reports whether nobody in the set is to be asked by x before m.
func (s *set) best(x *edge.Exchange, m *member) bool {
	rank := rankOf(x, m)
	if rank == 0 {
		return true
	}
	for _, other := range s.members {
		if other.state.Load() == 0 && rankOf(x, other) < rank {
			return false
		}
	}
	return true
}

// anyUsable reports whether the set has a target that may be asked.
func (s *set) anyUsable() bool {
	for _, m := range s.members {
		if m.state.Load() == 0 {
			return true
		}
	}
	return false
}

// claim is what came of asking a target for a place.
type claim uint8

const (
	taken   claim = iota // x has it
	isFull               // all its places are in use
	refused              // its own breaker lets no request in
)

// welcomes reports whether m serves anybody: all, or the clients that stick to it while it is drained.
func (m *member) welcomes(now int64) bool {
	state := m.state.Load()
	return state == 0 || state == isDrained && m.pool.sticky != nil && now < m.stayUntil.Load()
}

// take claims a place at m for x, if there is one.
func (m *member) claimPlace(x *edge.Exchange) claim {
	a := m.Target.claim(x, &m.pool.conf.Transport)
	if a == nil {
		return isFull
	}
	if !m.permit(x) {
		m.giveBack(a)
		return refused
	}
	x.Held = a
	m.note(x)
	return taken
}

// unclaim gives back what x has claimed at m, if it has not been used.
func (m *member) unclaim(x *edge.Exchange) bool {
	a := held(x)
	if a == nil || a.X != nil {
		return false
	}
	x.Held = nil
	if m.breaker != nil {
		m.breaker.Cancel(breaker.Permit(x.Call.Permits[1]))
	}
	m.giveBack(a)
	return true
}

// giveBack gives up a place of m that has not been used, for a waiter if there is one.
func (m *member) giveBack(a *transport.Attempt) {
	m.Target.release(a, nil)
	m.pool.shared.freed(m.Target)
}

// maxChoices is how often a choice is repeated that fell on a target already tried, on one without a free
// place, or on one whose breaker takes no further probe.
const maxChoices = 4

// note remembers that m is asked.
func (m *member) note(x *edge.Exchange) {
	if x.Attempts < len(x.Call.Tried) {
		x.Call.Tried[x.Attempts] = m
	}
}

// tried reports whether m was asked already. Whoever only had a dead connection was not.
func tried(x *edge.Exchange, m *member) bool {
	n := x.Attempts
	if x.Fresh {
		n--
	}
	for _, t := range x.Call.Tried[:min(max(n, 0), len(x.Call.Tried))] {
		if other, ok := t.(*member); ok && other.Target == m.Target {
			return true
		}
	}
	return false
}

// lastTried returns the index of the target asked last; -1 when it is not in s.
func (s *set) lastTried(x *edge.Exchange) int {
	m, ok := x.Call.Tried[min(x.Attempts, len(x.Call.Tried))-1].(*member)
	if !ok || m.index >= len(s.members) || s.members[m.index].Target != m.Target {
		return -1
	}
	return m.index
}

// permit asks the target's own breaker, if there is one.
func (m *member) permit(x *edge.Exchange) bool {
	if m.breaker == nil {
		return true
	}
	p := m.breaker.Admit(now(x))
	x.Call.Permits[1] = uint64(p)
	return p != breaker.Refused
}

// untried reports whether the set has a target that could be asked and has not been.
func (s *set) untried(x *edge.Exchange) bool {
	for _, m := range s.members {
		if m.state.Load() == 0 && !tried(x, m) {
			return true
		}
	}
	return false
}
