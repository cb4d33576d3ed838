package forwarded

import (
	"bytes"
	"net/netip"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/ip"
)

const (
	forName   = "X-Forwarded-For"
	protoName = "X-Forwarded-Proto"
	hostName  = "X-Forwarded-Host"
	viaName   = "Via"
)

// trustForwarded sets Trusted, and Client and Scheme from what a trusted proxy sent.
type trustForwarded struct{ trusted *ip.Set }

// Run implements edge.Filter. A peer without address is the other end of a Unix socket, which file
// permissions guard, so it is trusted.
func (b *trustForwarded) Run(x *edge.Exchange) edge.Verdict {
	x.Trusted = !x.Peer.IsValid() || b.trusted.Contains(x.Peer)
	if !x.Trusted {
		return edge.Next
	}
	x.Client = b.client(x)
	switch proto := x.Req.Last(protoName); {
	case bytes.EqualFold(proto, []byte("https")):
		x.Scheme = "https"
	case bytes.EqualFold(proto, []byte("http")):
		x.Scheme = "http"
	}
	return edge.Next
}

// client walks X-Forwarded-For from its end, as far as the hops are trusted.
func (b *trustForwarded) client(x *edge.Exchange) netip.Addr {
	if x.NoClaims {
		return x.Peer
	}
	var room [512]byte
	hops, at := x.Req.AppendList(room[:0], forName), x.Peer
	if !at.IsValid() { // behind a Unix socket: its word is the first hop
		var hop []byte
		var ok bool
		hops, hop = cutLast(hops)
		if at, ok = ip.Parse(hop); !ok {
			return x.Peer
		}
	}
	return ip.RealClient(at, hops, b.trusted)
}

// cutLast cuts the last element that is not empty off a comma-separated list (RFC 9110 section 5.6.1).
func cutLast(list []byte) (rest, element []byte) {
	for len(list) > 0 {
		comma := bytes.LastIndexByte(list, ',')
		element = bytes.Trim(list[comma+1:], " \t")
		list = list[:max(comma, 0)]
		if len(element) > 0 {
			return list, element
		}
	}
	return nil, nil
}
