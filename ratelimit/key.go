package ratelimit

import (
	"net/netip"

	"github.com/penstock-edge/penstock/edge"
)

// part is one of the things that a key is made of.
type part struct {
	kind partKind
	name []byte // of the field, the cookie or the parameter
}

type partKind uint8

const (
	byIP partKind = iota
	byRoute
	byHost
	byMethod
	byPath
	byGlobal
	byHeader // from here on with a name
	byCookie
	byQuery
)

var partNames = [...]string{"ip", "route", "host", "method", "path", "global", "header", "cookie", "query"}

// appendKey appends what the key of x is made of. Each part has its length before it, so that no two keys
// with different parts are the same. A part that the request does not have is empty: all such requests
// share one key.
func (c *Config) appendKey(dst []byte, x *edge.Exchange, route string) []byte {
	for i := range c.parts {
		at := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		dst = c.parts[i].append(dst, x, c, route)
		n := len(dst) - at - 4
		dst[at], dst[at+1], dst[at+2], dst[at+3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	}
	return dst
}

func (p *part) append(dst []byte, x *edge.Exchange, c *Config, route string) []byte {
	switch p.kind {
	case byIP:
		return appendNetwork(dst, x.Client, c.IPv4Prefix, c.IPv6Prefix)
	case byRoute:
		return append(dst, route...)
	case byHost:
		return append(dst, x.Host...)
	case byMethod:
		return append(dst, x.Method...)
	case byPath:
		return append(dst, x.Path...)
	case byHeader:
		return x.AppendField(dst, p.name)
	case byCookie:
		return x.AppendCookie(dst, p.name)
	case byQuery:
		return x.AppendParam(dst, p.name)
	}
	return dst
}

// appendNetwork appends the network of an address.
func appendNetwork(dst []byte, a netip.Addr, v4, v6 int) []byte {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return append(dst, masked(b[:], v4)...)
	}
	b := a.As16()
	return append(dst, masked(b[:], v6)...)
}

func masked(b []byte, bits int) []byte {
	for i := range b {
		switch {
		case bits >= 8:
			bits -= 8
		default:
			b[i] &= ^byte(0xff >> bits)
			bits = 0
		}
	}
	return b
}
