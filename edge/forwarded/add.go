package forwarded

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/ip"
)

var (
	schemeHTTP  = []byte("http")
	schemeHTTPS = []byte("https")
)

// addForwarded writes the fields toward the target. Their received content is kept when a trusted proxy sent
// it, and dropped otherwise, however many lines there were.
type addForwarded struct{}

// Run implements edge.Filter.
func (addForwarded) Run(x *edge.Exchange) edge.Verdict {
	var hopsRoom, viaRoom, hostRoom [512]byte
	hops, via, host := hopsRoom[:0], viaRoom[:0], x.Authority
	switch {
	case x.NoClaims:
	case x.Trusted:
		hops, via = x.Req.AppendList(hops, forName), x.Req.AppendList(via, viaName)
		if said := x.Req.AppendList(hostRoom[:0], hostName); validHosts(said) {
			host = said
		}
	default:
		x.Req.DelFunc(isClaim)
	}
	if x.Peer.IsValid() {
		hops = ip.AppendAddr(appendComma(hops), x.Peer)
	}
	put(x, forName, hops)
	put(x, protoName, scheme(x))
	put(x, hostName, host)
	put(x, viaName, appendVia(appendComma(via), x.Minor))
	return edge.Next
}

// put makes value the only one of a field; one without a value is not there.
func put(x *edge.Exchange, name string, value []byte) {
	switch {
	case len(value) == 0:
		x.Req.Del(name)
	case x.NoClaims:
		x.Req.AddBytes(name, value) // there is none
	default:
		x.Req.SetBytes(name, value)
	}
}

// isClaim reports whether a field is one by which a proxy vouches for something. It must be dropped when its
// sender is not trusted.
func isClaim(name []byte) bool {
	switch name[0] | 0x20 {
	case 'v':
		return header.SameName(name, viaName)
	case 'f':
		return header.SameName(name, "Forwarded")
	case 'x':
		return header.HasPrefix(name, forwardedPrefix) || header.SameName(name, "X-Real-Ip")
	}
	return false
}

// forwardedPrefix stands before -Port, -Prefix, -Server, -Ssl, …: frameworks believe them all.
const forwardedPrefix = "X-Forwarded-"

func scheme(x *edge.Exchange) []byte {
	if x.Scheme == "https" {
		return schemeHTTPS
	}
	return schemeHTTP
}

const via11 = "1.1 penstock"

// appendVia adds this hop (RFC 9110 section 7.6.3): the version is that of the message received.
func appendVia(dst []byte, minor int) []byte {
	if minor == 0 {
		return append(dst, "1.0 penstock"...)
	}
	return append(dst, via11...)
}

func appendComma(dst []byte) []byte {
	if len(dst) > 0 {
		return append(dst, ", "...)
	}
	return dst
}

// validHosts takes a host with or without port, or a list of these: several proxies in a row make one.
func validHosts(hosts []byte) bool {
	for _, c := range hosts {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == '_', c == '~', c == ':', c == '[', c == ']', c == ',', c == ' ':
		default:
			return false
		}
	}
	return len(hosts) > 0
}

// addVia adds this hop to the Via of an upstream's answer.
type addVia struct{}

// Run implements edge.Filter.
func (addVia) Run(x *edge.Exchange) edge.Verdict {
	x.Resp.Add(viaName, via11) // one more line is one more element of the list (RFC 9110 section 5.3)
	return edge.Next
}
