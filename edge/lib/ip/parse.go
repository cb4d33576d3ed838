package ip

import (
	"bytes"
	"net/netip"
)

// Parse reads an address as proxies write them: "192.0.2.1", "192.0.2.1:80",
// "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:80". The port is checked and left
// out. A zone is refused: it means nothing on another machine. Nothing is allocated,
// for bad input neither, which is why netip.ParseAddr does not do it.
func Parse(b []byte) (a netip.Addr, ok bool) {
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 || !isPort(b[end+1:]) {
			return a, false
		}
		return parse6(b[1:end])
	}
	colon := bytes.IndexByte(b, ':')
	switch {
	case colon < 0:
		return parse4(b)
	case bytes.IndexByte(b[colon+1:], ':') < 0:
		if !isPort(b[colon:]) {
			return a, false
		}
		return parse4(b[:colon])
	}
	return parse6(b)
}

// isPort takes nothing, or a colon and a number up to 65535.
func isPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	n := 0
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return false
		}
		if n = 10*n + int(c-'0'); n > 65535 {
			return false
		}
	}
	return b[0] == ':' && len(b) > 1
}

func parse4(b []byte) (netip.Addr, bool) {
	a, ok := quad(b)
	if !ok {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4(a), true
}

// quad reads a dotted quad. A leading zero is refused: some read it as octal.
func quad(b []byte) (a [4]byte, ok bool) {
	field, n, digits := 0, 0, 0
	for _, c := range b {
		switch {
		case c == '.':
			if digits == 0 || field == 3 {
				return a, false
			}
			a[field] = byte(n)
			field, n, digits = field+1, 0, 0
		case c < '0' || c > '9' || digits > 0 && n == 0:
			return a, false
		default:
			digits++
			if n = 10*n + int(c-'0'); n > 255 {
				return a, false
			}
		}
	}
	a[field] = byte(n)
	return a, field == 3 && digits > 0
}

// parse6 reads the text of an IPv6 address, RFC 4291 section 2.2.
func parse6(b []byte) (netip.Addr, bool) {
	var a [16]byte
	at := 0   // bytes of a that are filled
	gap := -1 // where "::" stands, -1 without one
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, b = 0, b[2:]
	}
	for len(b) > 0 {
		v, n := group(b)
		if n == 0 || at > 14 {
			return netip.Addr{}, false
		}
		if n < len(b) && b[n] == '.' {
			q, ok := quad(b)
			if !ok || at > 12 {
				return netip.Addr{}, false
			}
			at += copy(a[at:], q[:])
			break
		}
		a[at], a[at+1] = byte(v>>8), byte(v)
		at, b = at+2, b[n:]
		if len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return netip.Addr{}, false
		}
		b = b[1:]
		if b[0] == ':' {
			if gap >= 0 {
				return netip.Addr{}, false
			}
			gap, b = at, b[1:]
		}
	}
	return spread(a, at, gap)
}

// group reads up to four hexadecimal digits and says how many there were.
func group(b []byte) (v, n int) {
	for n < len(b) && n < 4 {
		c := b[n]
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = v<<4 | int(c|0x20-'a'+10)
		default:
			return v, n
		}
		n++
	}
	return v, n
}

// spread moves what followed "::" to the end; "::" stands for one group or more.
func spread(a [16]byte, at, gap int) (netip.Addr, bool) {
	if (at == 16) == (gap >= 0) {
		return netip.Addr{}, false
	}
	if gap < 0 {
		return netip.AddrFrom16(a).Unmap(), true
	}
	tail := at - gap
	copy(a[16-tail:], a[gap:at])
	clear(a[gap : 16-tail])
	return netip.AddrFrom16(a).Unmap(), true
}
