package pool

import (
	"strconv"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/values"
	"github.com/penstock-edge/penstock/pool/section"
	"github.com/penstock-edge/penstock/pool/ticket"
)

// sticky ties a client to the target that answered it first, by a signed cookie. The values of all targets
// are made beforehand: a request costs a search and a comparison.
type sticky struct {
	name  []byte
	key   ticket.Key
	tail  string // of the Set-Cookie line
	plain string // the same for clients without TLS
}

// isStuck in edge.Call.Flags: the client has a good cookie already.
const isStuck uint32 = 1 << 16

func newSticky(s *section.Sticky, own []byte) *sticky {
	key := []byte(s.Secret.Reveal())
	if len(key) == 0 {
		key = own
	}
	tail := "; Path=" + s.Path + "; HttpOnly; SameSite=" + s.SameSite
	if s.TTL > 0 {
		tail += "; Max-Age=" + strconv.Itoa(int(s.TTL/time.Second))
	}
	return &sticky{name: []byte(s.Cookie), key: key, tail: tail + "; Secure", plain: tail}
}

// find returns the member that the cookie of x names, when it can be asked.
func (s *sticky) find(x *edge.Exchange, in *set) *member {
	for v, rest, ok := values.NextCookie(x.Cookie, s.name); ok; v, rest, ok = values.NextCookie(rest, s.name) {
		i := in.tickets.Find(v)
		if i < 0 {
			continue
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
	return nil
}

// tickets returns those of all members.
func (s *sticky) tickets(members []*member) ticket.List {
	all := make([]string, len(members))
	for i, m := range members {
		all[i] = s.key.Value(m.pool.Name, m.Address)
	}
	return ticket.NewList(all)
}

// mark notes that the client is to get the cookie of the member that has answered it.
func (s *sticky) mark(x *edge.Exchange, m *member) {
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
	case p.sticky.isTaken(x):
		p.conflicts.Inc(x.Lane)
	case x.Scheme == "https":
		x.Resp.AddBytes("Set-Cookie", m.cookieTLS)
	default:
		x.Resp.AddBytes("Set-Cookie", m.cookie)
	}
	return edge.Next
}

// isTaken reports whether the application has a cookie of the name: the answer sets it, or the client has
// brought one that was not made here.
func (s *sticky) isTaken(x *edge.Exchange) bool {
	for v, rest, ok := values.NextCookie(x.Cookie, s.name); ok; v, rest, ok = values.NextCookie(rest, s.name) {
		if len(v) > 0 && !ticket.Is(v) {
			return true
		}
	}
	return x.SetsCookie(s.name)
}

// equip makes the lines that mark sends.
func (s *sticky) equip(m *member) {
	v := string(s.name) + "=" + s.key.Value(m.pool.Name, m.Address)
	m.cookie, m.cookieTLS = []byte(v+s.plain), []byte(v+s.tail)
}
