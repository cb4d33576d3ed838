package route

import (
	"bytes"
	"math"

	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Key is what a lookup asks for. Lookup keeps Path in the Match and nothing else.
type Key struct {
	Method    []byte
	Host      []byte         // as NormalHost writes it
	Path      []byte         // as Canonical writes it
	RawQuery  []byte         // still encoded, without the question mark
	Header    *header.Fields // nil: there are none
	Authority []byte         // the Host as received, with its port
	Scheme    string         // "http" or "https"
	Listener  string         // its name
	// Hasty is set where others wait for the lookup: one that would take long is left Unsettled.
	Hasty bool

	tested    int  // bytes that a hasty lookup has compared with patterns
	unsettled bool // there were too many of them
}

// Unsettled is the status of a hasty lookup that has to be made again without haste.
const Unsettled = 0

// Match is the result of a lookup. It is about 1 KiB and is meant to be kept and used again: what
// it holds lives until the next lookup with it, and no longer than the path of the key.
type Match struct {
	// Status is 200, or 404 if no rule takes the path, or 405 if rules take all but the method, or Unsettled.
	Status int
	// Rule is the index of the rule; -1 unless the status is 200.
	Rule int
	// Allow has the methods of the Allow field of a 405, such as "GET, HEAD, PUT"; else empty.
	Allow []byte

	path    []byte
	names   []string
	spans   [maxParams]span    // of the rule's parameters
	trial   [maxParams]span    // of the pattern being walked
	ends    [maxSegments]int32 // where the path's segments end
	scratch *[mostDecoded]byte // a decoded value of the query; nil: none was needed yet
}

// mostDecoded is how long a value of the query may be to be decoded without allocating, in bytes.
const mostDecoded = 512

// room returns where a value of the query can be decoded.
func (m *Match) room() []byte {
	if m.scratch == nil {
		m.scratch = new([mostDecoded]byte)
	}
	return m.scratch[:]
}

// Len returns the number of path parameters.
func (m *Match) Len() int { return len(m.names) }

// Param returns the value of a path parameter, nil if the rule has none of that name. Values are
// in canonical form, escapes included; that of a missing optional parameter is empty.
func (m *Match) Param(name string) []byte {
	for i, n := range m.names {
		if n == name {
			return m.ParamAt(i)
		}
	}
	return nil
}

// ParamBytes is Param for a name in bytes.
func (m *Match) ParamBytes(name []byte) []byte {
	for i, n := range m.names {
		if n == string(name) {
			return m.ParamAt(i)
		}
	}
	return nil
}

// ParamAt returns the value of the path parameter number i, which is below Len.
func (m *Match) ParamAt(i int) []byte {
	s := m.spans[:len(m.names)][i]
	return m.path[s.from:s.to:s.to]
}

// none is the rank of no rule.
const none = math.MaxInt32

// search is one lookup under way.
type search struct {
	table    *Table
	key      *Key
	match    *Match
	method   uint64
	listener uint64 // its bit; 0: no rule names it
	port     int    // 0: no rule names one
	allow    uint64 // methods of the rules that refused the method only
	best     int32  // rank of the best rule so far
	winner   int32
	segments int // of the path, at most one more than a pattern has; 0: not counted yet
}

// Lookup finds the rule for k and writes it to m. It allocates nothing, but for the first 405 of
// a Match.
func (t *Table) Lookup(k *Key, m *Match) {
	m.path, m.names, m.Allow = k.Path, nil, m.Allow[:0]
	k.tested, k.unsettled = 0, false
	s := search{table: t, key: k, match: m, method: t.methodBit(k.Method), best: none}
	s.listener = t.listenerBit(k.Listener)
	if t.ported {
		s.port = PortOf(k.Authority, k.Scheme)
	}
	tiers := t.tiers
	if len(k.Path) == 0 || k.Path[0] != '/' {
		tiers = nil // not canonical: nothing takes it
	}
	for i := range tiers {
		found := s.tier(&tiers[i])
		if k.unsettled {
			m.Status, m.Rule = Unsettled, -1
			return
		}
		if found {
			m.Status, m.Rule, m.names = 200, int(s.winner), t.rules[s.winner].names
			return
		}
	}
	m.Status, m.Rule = 404, -1
	if s.allow != 0 {
		m.Status = 405
		m.Allow = t.appendMethods(m.Allow, s.allow)
	}
}

func (t *Table) methodBit(method []byte) uint64 {
	for i := range t.methods {
		if t.methods[i] == string(method) {
			return 1 << i
		}
	}
	return 1 << otherMethod
}

func (t *Table) listenerBit(name string) uint64 {
	for i := range t.listeners {
		if t.listeners[i] == name {
			return 1 << i
		}
	}
	return 0
}

func (t *Table) appendMethods(dst []byte, set uint64) []byte {
	for i, name := range t.methods {
		if set&(1<<i) == 0 {
			continue
		}
		if len(dst) > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, name...)
	}
	return dst
}

// tier tries the sites of the host in match order.
func (s *search) tier(t *tier) bool {
	host := s.key.Host
	var ported *hosts // nil: no rule names the port
	longest := t.longest
	if s.port != 0 {
		if ported = t.ports[s.port]; ported != nil {
			longest = max(longest, ported.longest)
		}
	}
	if ported != nil && s.site(ported.exact[string(host)]) || s.site(t.exact[string(host)]) {
		return true
	}
	// The first byte is skipped, for "*" takes at least one. So is what is longer than any suffix:
	// the work does not grow with the square of the host.
	for i := max(1, len(host)-longest); i < len(host) && longest > 0; i++ {
		if host[i] != '.' {
			continue
		}
		if ported != nil && s.site(ported.wild[string(host[i:])]) || s.site(t.wild[string(host[i:])]) {
			return true
		}
	}
	return ported != nil && s.site(ported.any) || s.site(t.any)
}

func (s *search) site(at *site) bool {
	if at == nil {
		return false
	}
	if at.exact != nil && s.try(at.exact[string(s.key.Path)]) {
		return true
	}
	if at.patterns != nil {
		s.split()
		s.walk(at.patterns, 0, 0)
		if s.best != none {
			return true
		}
	}
	if at.prefixes != nil {
		for sl := at.prefixes.longest(s.key.Path); sl != nil; sl = sl.up {
			if s.try(sl) {
				return true
			}
		}
	}
	return false
}

// try makes the first rule of a slot that takes the request the winner, if it is better than the
// winner so far.
func (s *search) try(at *slot) bool {
	if at == nil {
		return false
	}
	for _, i := range at.rules {
		r := &s.table.rules[i]
		if r.rank >= s.best {
			return false
		}
		if s.accepts(at, r) {
			s.best, s.winner = r.rank, i
			return true
		}
	}
	return false
}

func (s *search) accepts(at *slot, r *rule) bool {
	if r.methods&s.method == 0 {
		if r.methods&^s.allow != 0 && s.meets(r) {
			s.allow |= r.methods
		}
		return false
	}
	if r.viaGet && s.method == headBit && s.headTaken(at) {
		return false
	}
	return s.meets(r)
}

// headTaken reports whether a rule of the slot that lists HEAD takes the request.
func (s *search) headTaken(at *slot) bool {
	for _, i := range at.heads {
		if s.meets(&s.table.rules[i]) {
			return true
		}
	}
	return false
}

func (s *search) meets(r *rule) bool {
	if r.listeners != 0 && r.listeners&s.listener == 0 || r.scheme != "" && r.scheme != s.key.Scheme {
		return false
	}
	for i := range r.predicates {
		if !r.predicates[i].holds(s.key, s.match) {
			return false
		}
	}
	return true
}

// split finds the segments of the path, once a lookup and no more of them than a pattern can have.
func (s *search) split() {
	path, at := s.key.Path, 0
	if s.segments > 0 {
		return
	}
	for ; at < len(path) && s.segments < maxSegments; s.segments++ {
		at = segmentEnd(path, at+1)
		s.match.ends[s.segments] = int32(at)
	}
	if at < len(path) {
		s.segments++
	}
}

// walk visits the patterns below n that match the path from segment d on, and leaves out what
// cannot hold a better rule than the winner so far. p is the number of parameters on the way to n.
func (s *search) walk(n *node, d, p int) {
	if d == s.segments {
		if s.try(n.leaf) {
			s.keep(p)
		}
		return
	}
	if d == maxSegments {
		return
	}
	path, lo, hi := s.key.Path, 1, int(s.match.ends[d])
	if d > 0 {
		lo = int(s.match.ends[d-1]) + 1
	}
	if to := n.fixed.get(path[lo:hi]); to != nil && to.min < s.best {
		s.walk(to, d+1, p)
	}
	if n.mixed != nil {
		s.mixed(n.mixed, d, p, lo, hi)
	}
	if n.free != nil && lo < hi && n.free.min < s.best {
		s.match.trial[p] = span{int32(lo), int32(hi)}
		s.walk(n.free, d+1, p+1)
	}
	if n.catch != nil {
		s.match.trial[p] = span{int32(lo), int32(len(path))}
		if s.try(n.catch) {
			s.keep(p + 1)
		}
	}
}

// mixed visits what lies behind the mixed segments that can match path[lo:hi].
func (s *search) mixed(x *mixture, d, p, lo, hi int) {
	seg := s.key.Path[lo:hi]
	for _, size := range x.heads.lengths {
		if size < len(seg) {
			s.edges(x.heads.edges[string(seg[:size])], d, p, lo, hi)
		}
	}
	for _, size := range x.tails.lengths {
		if size < len(seg) {
			s.edges(x.tails.edges[string(seg[len(seg)-size:])], d, p, lo, hi)
		}
	}
	s.edges(x.loose, d, p, lo, hi)
}

func (s *search) edges(list []*edge, d, p, lo, hi int) {
	for _, e := range list {
		if e.to.min >= s.best {
			return // the list is in match order
		}
		if e.matcher.match(s.key, lo, hi, s.match.trial[p:]) {
			s.walk(e.to, d+1, p+len(e.matcher.params))
		}
	}
}

// keep makes the first p values of the pattern being walked those of the match, and the others,
// of optional parameters that are missing, empty.
func (s *search) keep(p int) {
	spans := &s.match.spans
	copy(spans[:p], s.match.trial[:p])
	clear(spans[p:])
}

// under reports whether the prefix takes path.
func under(path, prefix []byte) bool {
	return bytes.HasPrefix(path, prefix) &&
		(len(path) == len(prefix) || prefix[len(prefix)-1] == '/' || path[len(prefix)] == '/')
}
