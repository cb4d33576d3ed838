package wire

import "bytes"

// Target is the form of a request target (RFC 9112 section 3.2).
type Target uint8

// The forms that are accepted; authority-form belongs to CONNECT, which is refused.
const (
	OriginForm   Target = iota // "/path?query"
	AbsoluteForm               // "http://host/path?query"
	AsteriskForm               // "*", with OPTIONS only
)

// takeTarget splits the request target t, which lies in a request line, into the parts of m.
func (m *Request) takeTarget(t []byte) fault {
	switch {
	case len(t) == 0:
		return faultLine
	case t[0] == '/':
		return m.takeURI(t)
	case len(t) == 1 && t[0] == '*':
		if string(m.Method) != "OPTIONS" {
			return faultAsterisk
		}
		m.Form, m.URI, m.Path = AsteriskForm, t, t
		return faultNone
	}
	return m.takeAbsolute(t)
}

// takeURI splits a path and query that begin with "/". Whether a second "/" may follow is for the canonical
// path to say.
func (m *Request) takeURI(t []byte) fault {
	if bad := targetFault(t); bad != faultNone {
		return bad
	}
	m.URI, m.Path = t, t
	if i := bytes.IndexByte(t, '?'); i >= 0 {
		m.Path, m.Query, m.HasQuery = t[:i], t[i+1:], true
	}
	return faultNone
}

// targetFault refuses controls and "#"; white space has ended t already.
func targetFault(t []byte) fault {
	switch {
	case plainEnd(t, 0) < len(t):
		return faultTarget
	case bytes.IndexByte(t, '#') >= 0:
		return faultFragment
	}
	return faultNone
}

// takeAbsolute splits an absolute-form target (RFC 9112 section 3.2.2).
func (m *Request) takeAbsolute(t []byte) fault {
	colon := bytes.IndexByte(t, ':')
	if colon <= 0 || len(t) < colon+3 || t[colon+1] != '/' || t[colon+2] != '/' {
		if bad := targetFault(t); bad != faultNone {
			return bad
		}
		return faultTargetForm
	}
	m.Form, m.Scheme = AbsoluteForm, t[:colon]
	if !equalFold(m.Scheme, "http") && !equalFold(m.Scheme, "https") {
		return faultScheme
	}
	rest := t[colon+3:]
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if !validHost(rest[:end]) {
		return faultAuthority
	}
	m.Host = withoutEmptyPort(rest[:end])
	switch {
	case end == len(rest):
		slash := t[colon+1 : colon+2] // an empty path means "/" (RFC 9110 section 4.2.3)
		m.URI, m.Path = slash, slash
		return faultNone
	case rest[end] == '/':
		return m.takeURI(rest[end:])
	case rest[end] == '?':
		m.target = append(append(m.target[:0], '/'), rest[end:]...)
		return m.takeURI(m.target)
	}
	return faultFragment
}

const (
	maxHost     = 255 // bytes of a host name (RFC 1035 section 2.3.4)
	maxPort     = 65535
	longestPort = 5
)

// IsHost reports whether h could be the Host of a request.
func IsHost(h []byte) bool { return validHost(h) }

// validHost checks uri-host [ ":" port ] (RFC 9110 section 7.2), a little narrower than the grammar: a name
// has no empty label but for one dot at its end, no percent escape, which would be a second spelling, and no
// ",", which would make two of it where X-Forwarded-Host is read as a list; an IP literal is a plain IPv6
// address; a port is empty, or 1 to 65535 without leading zeros.
func validHost(h []byte) bool {
	if len(h) > 0 && h[0] == '[' {
		end := bytes.IndexByte(h, ']')
		return end > 0 && validIPv6(h[1:end]) && validPort(h[end+1:])
	}
	end := bytes.IndexByte(h, ':')
	if end < 0 {
		return validName(h)
	}
	return validName(h[:end]) && validPort(h[end:])
}

// withoutEmptyPort returns the normal form of a valid host: "a:" is "a" (RFC 3986 section 6.2.3).
func withoutEmptyPort(h []byte) []byte { return bytes.TrimSuffix(h, []byte(":")) }

func validName(h []byte) bool {
	if len(h) == 0 || len(h) > maxHost || h[0] == '.' {
		return false
	}
	dot := false
	for _, c := range h {
		if class[c]&inHost == 0 || dot && c == '.' {
			return false
		}
		dot = c == '.'
	}
	return true
}

// validPort checks "" or ":" and a port.
func validPort(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	if p[0] != ':' {
		return false
	}
	p = p[1:]
	if len(p) == 0 {
		return true // RFC 3986 section 3.2.3
	}
	if len(p) > longestPort || p[0] == '0' {
		return false
	}
	n := 0
	for _, c := range p {
		if !isDigit(c) {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= maxPort
}

// validIPv6 checks the text form of RFC 4291 section 2.2, without a zone.
func validIPv6(a []byte) bool {
	groups, gap := 0, false
	if bytes.HasPrefix(a, []byte("::")) {
		gap, a = true, a[2:]
	}
	for len(a) > 0 {
		end := 0
		for end < len(a) && class[a[end]]&inHex != 0 {
			end++
		}
		if end < len(a) && a[end] == '.' {
			groups += 2
			return validIPv4(a) && fits(groups, gap)
		}
		groups++
		if end == 0 || end > 4 || groups > 8 {
			return false
		}
		if a = a[end:]; len(a) == 0 {
			break
		}
		switch {
		case len(a) > 1 && a[0] == ':' && a[1] == ':':
			if gap {
				return false
			}
			gap, a = true, a[2:]
		case len(a) > 1 && a[0] == ':':
			a = a[1:]
		default:
			return false
		}
	}
	return fits(groups, gap)
}

// fits reports whether an address of so many groups is whole; "::" stands for one group at least.
func fits(groups int, gap bool) bool {
	return gap && groups < 8 || !gap && groups == 8
}

// validIPv4 checks a dotted quad without leading zeros.
func validIPv4(a []byte) bool {
	for part := range 4 {
		end := 0
		n := 0
		for end < len(a) && end < 3 && isDigit(a[end]) {
			n = n*10 + int(a[end]-'0')
			end++
		}
		if end == 0 || n > 255 || end > 1 && a[0] == '0' {
			return false
		}
		a = a[end:]
		if part < 3 {
			if len(a) == 0 || a[0] != '.' {
				return false
			}
			a = a[1:]
		}
	}
	return len(a) == 0
}
