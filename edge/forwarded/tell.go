package forwarded

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/ip"
)

var (
	forKey   = []byte(forName)
	protoKey = []byte(protoName)
	hostKey  = []byte(hostName)
	viaKey   = []byte(viaName)

	schemeHTTP  = []byte("http")
	schemeHTTPS = []byte("https")
	via11       = []byte("1.1 penstock")
)

// tell writes the fields toward the target. What was received in them is kept when a trusted proxy sent it,
// and vanishes otherwise, however many lines there were.
type tell struct{}

// Run implements edge.Filter.
func (tell) Run(x *edge.Exchange) edge.Verdict {
	s := acquireSheet()
	defer s.release()
	if !x.NoClaims {
		s.survey(&x.Req, x.Trusted)
	}
	host := s.host
	if !validHosts(host) {
		host = x.Authority
	}
	if s.crowded || len(host) == 0 && s.seen[fieldHost] > 0 {
		if err := s.thin(&x.Req, x.Trusted); err != nil {
			x.Fault, x.Cause = edge.Internal, err // better no request than one with fields nobody vouches for
			return edge.Answered
		}
	}
	if x.Peer.IsValid() {
		s.hops = ip.AppendAddr(appendComma(s.hops), x.Peer)
	}
	set(x, forKey, s.hops)
	set(x, protoKey, scheme(x))
	set(x, hostKey, host)
	s.via = appendVia(appendComma(s.via), x.Minor)
	set(x, viaKey, s.via)
	return edge.Next
}

// set writes a field that has one line at most; one without a value is not there.
func set(x *edge.Exchange, key, value []byte) {
	if len(value) > 0 {
		x.Req.SetCanonical(key, value)
	}
}

func scheme(x *edge.Exchange) []byte {
	if x.Scheme == "https" {
		return schemeHTTPS
	}
	return schemeHTTP
}

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

// sign adds this hop to the Via of an upstream's answer.
type sign struct{}

// Run implements edge.Filter.
func (sign) Run(x *edge.Exchange) edge.Verdict {
	x.AddField(viaKey, via11) // one more line is one more element of the list (RFC 9110 section 5.3)
	return edge.Next
}
