package pool

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/balance"
	"github.com/penstock-edge/penstock/pool/breaker"
)

// set is the targets of a pool at one moment and the choice among them. It never changes: when discovery
// finds other targets, another set takes its place.
type set struct {
	members []*member
	chooser *balance.Chooser // nil: there are no members
	tickets []ticket         // sticky cookies, in order
}

// newSet builds the choice among members, which it numbers.
func (p *Pool) newSet(members []*member) (*set, error) {
	p.shared.weigh(members)
	s := &set{members: members}
	if p.sticky != nil {
		s.tickets = p.sticky.tickets(members)
	}
	if len(members) == 0 {
		return s, nil
	}
	ts := make([]balance.Target, len(members))
	for i, m := range members {
		m.index = i
		ts[i] = balance.Target{Name: m.Address, Weight: m.weight, Backup: m.spec.backup,
			Local: p.zone != "" && m.spec.zone == p.zone, InFlight: &m.inFlight, State: &m.state,
			Latency: &m.pace, Ramp: &m.ramp}
	}
	var err error
	s.chooser, err = balance.New(p.conf.Balance, ts, p.seed)
	return s, err
}

// choose picks the member for the next attempt of x; nil: there is none. What has been tried already is left
// out as long as there is another, except after a connection that was dead before it was used.
func (p *Pool) choose(x *edge.Exchange) *member {
	s := p.set.Load()
	if s.chooser == nil {
		return nil
	}
	if p.sticky != nil {
		if m := p.sticky.find(x, s); m != nil && !tried(x, m) && m.permit(x) {
			return m.note(x)
		}
	}
	key, avoid := p.key.of(x), -1
	if x.Attempts > 0 && !x.Fresh {
		avoid = s.lastTried(x)
	}
	var refused *member
	for range maxChoices {
		i := s.chooser.Pick(key, avoid)
		if i < 0 {
			return nil
		}
		m := s.members[i]
		if avoid >= 0 && i == avoid {
			break // there is no other
		}
		if again := tried(x, m); !again && m.permit(x) {
			return m.note(x)
		} else if again {
			refused = m
		}
		avoid = i
	}
	if refused == nil && avoid >= 0 {
		refused = s.members[avoid]
	}
	if refused == nil || !refused.permit(x) {
		return nil
	}
	return refused.note(x)
}

// maxChoices is how often a choice is repeated that fell on a target already tried, or on one whose breaker
// takes no further probe.
const maxChoices = 4

// note remembers that m is asked.
func (m *member) note(x *edge.Exchange) *member {
	if x.Attempts < len(x.Call.Tried) {
		x.Call.Tried[x.Attempts] = m
	}
	return m
}

// tried tells that m was asked already. Whoever only had a dead connection was not.
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

// untried tells that the set has a target that could be asked and has not been.
func (s *set) untried(x *edge.Exchange) bool {
	for _, m := range s.members {
		if m.state.Load() == 0 && !tried(x, m) {
			return true
		}
	}
	return false
}
