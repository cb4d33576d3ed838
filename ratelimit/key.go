package ratelimit

import (
	"net/netip"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// part is one of the things that a key is made of.
type part struct {
	kind partKind
	name []byte // of the field, the cookie or the parameter
	// fault is that of a request which lacks it.
	fault *edge.Fault
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

// String returns the part as it is written in the file.
func (p *part) String() string {
	if p.kind >= byHeader {
		return partNames[p.kind] + ":" + string(p.name)
	}
	return partNames[p.kind]
}

// appendKey appends what the key of x is made of. Each part has its length before it, so that no two keys
// with different parts are the same. lacks is a field, cookie or parameter that the request does not have,
// nil when it has all: that part is empty, so that all such requests share a key, or the address.
func (c *Config) appendKey(dst []byte, x *edge.Exchange, route string) (key []byte, lacks *part) {
	for i := range c.parts {
		p := &c.parts[i]
		at := len(dst)
		dst = p.append(append(dst, 0, 0, 0, 0), x, c, route)
		mark := byte(0)
		if len(dst) == at+4 && p.kind >= byHeader {
			lacks = p
			if c.Missing == "ip" {
				dst, mark = appendNetwork(dst, x.Client, c.IPv4Prefix, c.IPv6Prefix), substitute
			}
		}
		putLength(dst[at:], mark)
	}
	return dst, lacks
}

// substitute marks a part that stands for one which is missing: no value is the same.
const substitute = 0x80

// putLength writes the length of a part before it.
func putLength(part []byte, mark byte) {
	n := len(part) - 4
	part[0], part[1], part[2], part[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)|mark
}

// nextPart cuts the first part off a key; that of a part which is missing is empty.
func nextPart(key []byte) (value, rest []byte) {
	n := int(key[0]) | int(key[1])<<8 | int(key[2])<<16 | int(key[3]&^substitute)<<24
	if value = key[4 : 4+n]; key[3]&substitute != 0 {
		value = nil
	}
	return value, key[4+n:]
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
		return x.Req.AppendKey(dst, header.View(p.name))
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
