package pool

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/pool/ticket"
)

// A sticky pool ties a client to the target that answered it first, by a signed cookie. The values of all
// targets are made beforehand: a request costs a search and a comparison.

// stuck returns the member that the cookie of x names, when it can be asked; nil: none.
func (p *Pool) stuck(x *edge.Exchange, in *set) *member {
	i := p.sticky.Find(x.Cookie, in.tickets)
	if i < 0 {
		return nil
	}
	m := in.members[i]
	if m.state.Load()&isDrained == 0 {
		x.Call.Flags |= isStuck // another one may answer: the client comes back when this one does
	}
	if !m.welcomes(now(x)) {
		return nil // to one that is drained no longer: the client sticks to the other one then
	}
	x.Call.Flags |= isStuck
	return m
}

// tickets returns those of all members.
func tickets(key ticket.Key, members []*member) ticket.List {
	all := make([]string, len(members))
	for i, m := range members {
		all[i] = key.Value(m.pool.Name, m.Address)
	}
	return ticket.NewList(all)
}

// mark notes that the client is to get the cookie of the member that has answered it.
func (m *member) mark(x *edge.Exchange) {
	if x.Call.Flags&isStuck == 0 && x.Call.Status < 500 && len(m.cookie) > 0 {
		x.Call.Stick = m
	}
}

// stick gives clients the cookies that pools have noted. It stands in Respond: what is stored of an
// answer has none.
type stick struct{}

// Run implements edge.Filter.
func (stick) Run(x *edge.Exchange) edge.Verdict {
	m, ok := x.Call.Stick.(*member)
	if !ok || x.Local {
		return edge.Next
	}
	p := m.pool
	switch {
	case p.sticky.IsTaken(x):
		p.conflicts.Inc(x.Lane)
	case x.Scheme == "https":
		x.Resp.AddBytes("Set-Cookie", m.cookieTLS)
	default:
		x.Resp.AddBytes("Set-Cookie", m.cookie)
	}
	return edge.Next
}
