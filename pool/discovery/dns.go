package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/penstock-edge/penstock/edge/lib/chance"
)

var bothTypes = []uint16{dns.TypeA, dns.TypeAAAA}

var errNoName = errors.New("there is no such name")

// dnsSource asks name servers as often as the TTL of their answers says.
type dnsSource struct {
	origin
	form   string // as it stands in the file
	srv    bool
	name   string   // absolute if it ends in a dot
	port   uint16   // when not srv
	types  []uint16 // of addresses
	minTTL time.Duration
	maxTTL time.Duration

	servers    []string // host:port; none: those of resolvConf
	resolvConf string   // path
}

func (s *dnsSource) String() string {
	if len(s.servers) > 0 {
		return "dns " + s.form + " at " + strings.Join(s.servers, ", ")
	}
	return "dns " + s.form
}

func (s *dnsSource) Run(ctx context.Context, tell func([]Endpoint, error)) {
	l := &lookup{dnsSource: s, resolver: newResolver(s.servers, s.resolvConf)}
	run(ctx, &teller{tell: tell, origin: &s.origin}, func(ctx context.Context, t *teller) error {
		for {
			a, ttl, err := l.find(ctx)
			if err == nil {
				err = t.set(ctx, a)
			}
			if err != nil || !wait(ctx, s.pause(ttl)) {
				return err
			}
		}
	})
}

// pause is how long an answer is held: as its TTL says, within the bounds, and up to a tenth longer so that
// many gateways do not ask in step.
func (s *dnsSource) pause(ttl time.Duration) time.Duration {
	d := min(max(ttl, s.minTTL), s.maxTTL)
	return d + chance.Duration(d/10+1)
}

// lookup is the state of one Run.
type lookup struct {
	*dnsSource
	resolver *resolver
	// known are the addresses of the last good search, for the names and types that now get no answer.
	known map[question][]netip.Addr
	next  map[question][]netip.Addr // what known will be if this search is good
}

// find asks for the name as it stands, or with each suffix of the search list until one is known. A failure
// ends the search: what stands behind the next suffix may be another service.
func (l *lookup) find(ctx context.Context) (*answer, time.Duration, error) {
	names, err := l.resolver.names(l.name)
	if err != nil {
		return nil, 0, err
	}
	at := l.findHost
	if l.srv {
		at = l.findService
	}
	l.next = map[question][]netip.Addr{}
	for _, name := range names {
		a, ttl, err := at(ctx, name)
		if err != nil {
			return nil, 0, err
		}
		if a != nil {
			l.known = l.next
			return a, ttl, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: %w as %s", errEmpty, errNoName, quote(strings.Join(names, " or ")))
}

// findHost returns the addresses of a host, nil when it has none.
func (l *lookup) findHost(ctx context.Context, name string) (*answer, time.Duration, error) {
	h := l.addresses(ctx, []string{name})[name]
	if h.err != nil || len(h.addrs) == 0 {
		return nil, 0, h.err
	}
	a := &answer{}
	for _, ip := range h.addrs {
		a.add(Endpoint{Address: netip.AddrPortFrom(ip, l.port).String(), Weight: 1})
	}
	return a, h.ttl, nil
}

// findService returns the targets of a service, nil when there is no record of it.
func (l *lookup) findService(ctx context.Context, name string) (*answer, time.Duration, error) {
	m, err := l.resolver.ask(ctx, question{name, dns.TypeSRV})
	if err != nil {
		return nil, 0, err
	}
	records, ttl := services(m, name)
	if len(records) == 0 {
		return nil, 0, nil
	}
	hosts := additional(m, l.types)
	var absent []string
	for _, r := range records {
		if _, ok := hosts[r.host]; !ok {
			hosts[r.host] = host{}
			absent = append(absent, r.host)
		}
	}
	failed := 0
	for name, h := range l.addresses(ctx, absent) {
		hosts[name] = h
		if h.err != nil {
			failed, err = failed+1, h.err
		}
	}
	if failed > 0 && failed == len(hosts) {
		return nil, 0, err
	}
	a := &answer{}
	for _, r := range records {
		h := hosts[r.host]
		ttl = min(ttl, h.ttl)
		r.addTo(a, h)
	}
	return a, ttl, nil
}

func (r *service) addTo(a *answer, h host) {
	if len(h.addrs) == 0 {
		a.drop(fmt.Errorf("no address of %s: %w", quote(r.host), errors.Join(h.err, errNoName)))
	}
	for _, ip := range h.addrs {
		address := netip.AddrPortFrom(ip, r.port).String()
		a.add(Endpoint{Address: address, Weight: int32(r.weight), Backup: r.backup})
	}
}

// host is what is known of the addresses of a name.
type host struct {
	addrs []netip.Addr
	ttl   time.Duration
	fresh bool  // some of addrs are of now, not of before
	err   error // a question without an answer, if nothing is fresh
}

// addresses asks for all addresses of each name, some at the same time. A type that fails gives what it gave
// last. A name has failed when some type has and no other gives an address.
func (l *lookup) addresses(ctx context.Context, names []string) map[string]host {
	var asked []question
	for _, name := range names {
		for _, t := range l.types {
			asked = append(asked, question{name, t})
		}
	}
	hosts := make(map[string]host, len(names))
	for i, r := range l.resolver.askAll(ctx, asked) {
		q := asked[i]
		h, seen := hosts[q.name]
		if !seen {
			h.ttl = l.maxTTL
		}
		if r.err != nil {
			l.next[q] = l.known[q]
			h.ttl, h.err = 0, r.err
		} else {
			addrs, ttl := addressesIn(r.msg, q)
			l.next[q] = addrs
			h.ttl, h.fresh = min(h.ttl, ttl), h.fresh || len(addrs) > 0
		}
		h.addrs = append(h.addrs, l.next[q]...)
		if h.fresh {
			h.err = nil
		}
		hosts[q.name] = h
	}
	return hosts
}
