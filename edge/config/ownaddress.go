package config

import (
	"net"
	"net/netip"
	"strconv"
)

// Own are the addresses that the gateway itself listens on. A target at one of them would be a loop, or a way
// for clients to the admin API. A nil Own has none. It may be used by several goroutines.
type Own struct{ list []ownAddress }

type ownAddress struct {
	endpoint
	what string // "the admin address", …
}

// Own returns the addresses that the file has the gateway listen on, as far as they can be read.
func (c *Config) Own() *Own {
	o := &Own{}
	o.add(c.Admin.Address, "the admin address")
	for i := range c.Listeners {
		l := &c.Listeners[i]
		o.add(l.Address, "the listener "+lineOf(l.Table, "address"))
	}
	return o
}

func (o *Own) add(address, what string) {
	if e, ok := parseEndpoint(address); ok && (e.unix != "" || e.port != 0) {
		o.list = append(o.list, ownAddress{e, what})
	}
}

// Find returns the own address that host:port or unix:/path leads to; "": none. A name leads to one when the
// listener has it too, or when it is localhost; FindAddr knows where others lead.
func (o *Own) Find(address string) (what string) {
	e, ok := parseEndpoint(address)
	if !ok || o == nil {
		return ""
	}
	for _, own := range o.list {
		if own.reached(e) {
			return own.what
		}
	}
	return ""
}

// FindAddr is Find for an address that a name has led to.
func (o *Own) FindAddr(addr netip.Addr, port uint16) (what string) {
	if o == nil {
		return ""
	}
	return o.Find(net.JoinHostPort(addr.String(), strconv.Itoa(int(port))))
}

// reached reports whether a connection to e ends at own.
func (own *ownAddress) reached(e endpoint) bool {
	switch {
	case own.unix != "" || e.unix != "":
		return own.unix == e.unix
	case own.port != e.port:
		return false
	case own.host == e.host:
		return true
	case e.host == "": // 0.0.0.0 and :: are this machine
		return isLocal(own.host)
	case own.host == "":
		return isLocal(e.host)
	}
	return false
}

// isLocal reports whether host is an address of this machine. The interfaces are asked each time: addresses
// come and go.
func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsLoopback() {
		return true
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range all {
		if network, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(network.IP); ok && ip.Unmap() == addr {
				return true
			}
		}
	}
	return false
}
