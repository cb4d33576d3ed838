package discovery

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// maxAliases is how many CNAME records in a row are followed.
const maxAliases = 16

// longTTL stands for no bound yet.
const longTTL = time.Duration(1<<31-1) * time.Second

// service is one SRV record, RFC 2782.
type service struct {
	host     string
	port     uint16
	priority uint16
	weight   uint16
	backup   bool // there are records of a lower, that is better, priority
}

// services returns the SRV records of name, or of what it is an alias for, and the least TTL among them.
func services(m *dns.Msg, name string) ([]service, time.Duration) {
	owner, ttl := follow(m, name)
	var list []service
	for _, rr := range m.Answer {
		srv, ok := rr.(*dns.SRV)
		if !ok || dns.CanonicalName(srv.Hdr.Name) != owner {
			continue
		}
		ttl = min(ttl, ttlOf(rr))
		host := dns.CanonicalName(srv.Target)
		if host == "." { // the service is decidedly not here
			continue
		}
		list = append(list, service{host: host, port: srv.Port, priority: srv.Priority, weight: srv.Weight})
	}
	if len(list) == 0 {
		return nil, ttl
	}
	weighAlike(list)
	best := slices.MinFunc(list, func(a, b service) int { return cmp.Compare(a.priority, b.priority) }).priority
	for i := range list {
		list[i].backup = list[i].priority != best
	}
	return list, ttl
}

// weighAlike gives records a weight where none of their priority has one: RFC 2782 has administrators write 0
// when there is nothing to choose. Beside greater weights 0 means that the target gets no new clients.
func weighAlike(list []service) {
	weighed := map[uint16]bool{} // by priority
	for i := range list {
		weighed[list[i].priority] = weighed[list[i].priority] || list[i].weight > 0
	}
	for i := range list {
		if !weighed[list[i].priority] {
			list[i].weight = 1
		}
	}
}

// additional returns the addresses that came along with the answer.
func additional(m *dns.Msg, types []uint16) map[string]host {
	hosts := map[string]host{}
	for _, rr := range m.Extra {
		ip, ok := addressOf(rr)
		if !ok || !slices.Contains(types, rr.Header().Rrtype) {
			continue
		}
		name := dns.CanonicalName(rr.Header().Name)
		h, seen := hosts[name]
		if !seen {
			h.ttl = longTTL
		}
		h.addrs, h.ttl = append(h.addrs, ip), min(h.ttl, ttlOf(rr))
		hosts[name] = h
	}
	return hosts
}

// addressesIn returns the addresses that an answer to q gives, and how long they hold. That there are none
// bounds nothing: the addresses of the other type do.
func addressesIn(m *dns.Msg, q question) ([]netip.Addr, time.Duration) {
	owner, ttl := follow(m, q.name)
	var addrs []netip.Addr
	for _, rr := range m.Answer {
		ip, ok := addressOf(rr)
		if !ok || rr.Header().Rrtype != q.kind || dns.CanonicalName(rr.Header().Name) != owner {
			continue
		}
		addrs = append(addrs, ip)
		ttl = min(ttl, ttlOf(rr))
	}
	if len(addrs) == 0 {
		return nil, longTTL
	}
	return addrs, ttl
}

// follow returns what name is an alias for by the answer, itself if for nothing, and the least TTL on
// the way.
func follow(m *dns.Msg, name string) (owner string, ttl time.Duration) {
	owner, ttl = dns.CanonicalName(name), longTTL
	aliases := map[string]*dns.CNAME{}
	for _, rr := range m.Answer {
		if alias, ok := rr.(*dns.CNAME); ok {
			aliases[dns.CanonicalName(alias.Hdr.Name)] = alias
		}
	}
	for range maxAliases {
		alias := aliases[owner]
		if alias == nil {
			break
		}
		owner, ttl = dns.CanonicalName(alias.Target), min(ttl, ttlOf(alias))
	}
	return owner, ttl
}

func addressOf(rr dns.RR) (netip.Addr, bool) {
	switch r := rr.(type) {
	case *dns.A:
		ip, ok := netip.AddrFromSlice(r.A)
		return ip.Unmap(), ok && ip.Unmap().Is4()
	case *dns.AAAA:
		ip, ok := netip.AddrFromSlice(r.AAAA)
		return ip.Unmap(), ok
	}
	return netip.Addr{}, false
}

// ttlOf reads a TTL with its highest bit set as 0, as RFC 2181 section 8 has it.
func ttlOf(rr dns.RR) time.Duration {
	ttl := rr.Header().Ttl
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
