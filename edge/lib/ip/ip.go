// Package ip finds out which address a request came from: sets of trusted prefixes,
// addresses out of header bytes, and the walk through X-Forwarded-For.
//
// Addresses leave this package without zone, and an IPv4 address always as IPv4,
// never mapped into IPv6: one client has one address.
package ip

import (
	"bytes"
	"net/netip"

	"github.com/gaissmai/bart"
)

// Set is a set of addresses given by prefixes. It does not change once made and may
// be shared. A nil Set is empty.
type Set struct{ table bart.Lite }

// NewSet returns the set of all addresses within the prefixes. A prefix of IPv4
// addresses mapped into IPv6 (::ffff:10.0.0.0/104) is the IPv4 prefix it stands for;
// an IPv6 prefix wider than that holds no IPv4 address; an invalid one is left out.
func NewSet(prefixes []netip.Prefix) *Set {
	s := new(Set)
	for _, p := range prefixes {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		if p.IsValid() {
			s.table.Insert(p.Masked())
		}
	}
	return s
}

// Contains reports whether a is in the set. The zone of a does not count.
func (s *Set) Contains(a netip.Addr) bool {
	return s != nil && a.IsValid() && s.table.Contains(plain(a))
}

// plain is the one form that an address has here.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// AppendAddr appends a as text, IPv4 where it is IPv4, without zone. An invalid
// address (the peer of a Unix socket) appends nothing.
func AppendAddr(dst []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return dst
	}
	return plain(a).AppendTo(dst)
}

// RealClient returns the address of the client of a request that came from peer with
// this X-Forwarded-For. A peer that is not trusted is the client. A trusted one is
// believed about the hop before it, and so on from the right: the client is the first
// hop that is not trusted, or the last one understood when a hop is no address
// ("unknown", a name). Empty list elements do not count (RFC 9110 section 5.6.1).
func RealClient(peer netip.Addr, xff []byte, trusted *Set) netip.Addr {
	a, _ := Walk(peer, xff, trusted)
	return a
}

// Walk is RealClient for a header of several lines: call it with the last line first,
// each time with the address the call before returned, as long as more is true.
func Walk(from netip.Addr, xff []byte, trusted *Set) (client netip.Addr, more bool) {
	client = plain(from)
	for trusted.Contains(client) {
		if len(xff) == 0 {
			return client, true
		}
		comma := bytes.LastIndexByte(xff, ',')
		hop := trim(xff[comma+1:])
		xff = xff[:max(comma, 0)]
		if len(hop) == 0 {
			continue
		}
		a, ok := Parse(hop)
		if !ok {
			return client, false
		}
		client = a
	}
	return client, false
}

// trim cuts optional white space off, RFC 9110 section 5.6.3.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
