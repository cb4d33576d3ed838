package pool

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/cookie"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/values"
)

// Sticky is [pool.NAME.sticky].
type Sticky struct {
	Cookie string `toml:"cookie" default:"penstock"` // name of the cookie
	// Signs the cookie; gateways that share clients share it.
	Secret config.Secret `toml:"secret" unset:"one of the process's own"`
	// How long the cookie lasts; 0s: until the browser ends.
	TTL  time.Duration `toml:"ttl" default:"0s" max:"8760h"`
	Path string        `toml:"path" default:"/"` // of the cookie
	// Of the cookie; or Strict, None.
	SameSite string `toml:"same_site" default:"Lax" enum:"Lax|Strict|None"`

	Table *config.Table `toml:"-"`
}

func (s *Sticky) check() {
	if !header.IsToken(s.Cookie) {
		s.Table.Errorf("cookie", "%q is not the name of a cookie", s.Cookie)
	}
	if cookie.IsLikely(s.Cookie) {
		s.Table.Warnf("cookie", "%s is what applications call their session: one that sets it itself keeps it, "+
			"and its clients stick to no target", s.Cookie)
	}
	_, why := header.Given("Set-Cookie", s.Path)
	if why != "" || strings.Contains(s.Path, ";") || !strings.HasPrefix(s.Path, "/") {
		s.Table.Errorf("path", "must begin with / and may not hold ; or control characters, is %q", s.Path)
	}
	if s.TTL > 0 && s.TTL < time.Second {
		s.Table.Errorf("ttl", "must be 1s or more, as cookies count seconds, or 0s, is %q", s.TTL)
	}
}

// sticky ties a client to the target that answered it first, by a signed cookie. The values of all targets
// are made beforehand: a request costs a search and a comparison.
type sticky struct {
	name  []byte
	key   []byte
	tail  string // of the Set-Cookie line
	plain string // the same for clients without TLS
}

// isStuck in edge.Call.Flags: the client has a good cookie already.
const isStuck uint32 = 1 << 16

func newSticky(s *Sticky, own []byte) *sticky {
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

// value returns the cookie that stands for the target of this name in the pool: an id and what proves that it
// was made here.
func (s *sticky) value(pool, address string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(pool + "\x00" + address))
	return ticketMark + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:24])
}

// ticketMark begins each value, of which applications do not make any: who brings another has it from the
// application.
const ticketMark = "~"

// ticket is the cookie of one member.
type ticket struct {
	value []byte
	m     *member
}

// tickets returns those of all members, in order.
func (s *sticky) tickets(members []*member) []ticket {
	all := make([]ticket, len(members))
	for i, m := range members {
		all[i] = ticket{[]byte(s.value(m.pool.Name, m.Address)), m}
	}
	slices.SortFunc(all, func(a, b ticket) int { return bytes.Compare(a.value, b.value) })
	return all
}

// find returns the member that the cookie of x names, when it can be asked.
func (s *sticky) find(x *edge.Exchange, in *set) *member {
	for v, rest, ok := values.NextCookie(x.Cookie, s.name); ok; v, rest, ok = values.NextCookie(rest, s.name) {
		m := in.ticketOf(v)
		if m == nil {
			continue
		}
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

// ticketOf returns the member that a cookie stands for; nil: none.
func (s *set) ticketOf(v []byte) *member {
	// A search by the first bytes tells a guesser no more than the others do: all must be equal.
	i, _ := slices.BinarySearchFunc(s.tickets, v, func(t ticket, v []byte) int {
		return bytes.Compare(t.value[:ticketPrefix], v[:min(ticketPrefix, len(v))])
	})
	if i == len(s.tickets) || subtle.ConstantTimeCompare(s.tickets[i].value, v) != 1 {
		return nil
	}
	return s.tickets[i].m
}

// ticketPrefix is how many characters of a ticket it is found by.
const ticketPrefix = 8

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
		if len(v) > 0 && !bytes.HasPrefix(v, []byte(ticketMark)) {
			return true
		}
	}
	return x.SetsCookie(s.name)
}

// equip makes the lines that mark sends.
func (s *sticky) equip(m *member) {
	v := string(s.name) + "=" + s.value(m.pool.Name, m.Address)
	m.cookie, m.cookieTLS = []byte(v+s.plain), []byte(v+s.tail)
}
