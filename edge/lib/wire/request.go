package wire

import (
	"bytes"
	"slices"
)

// Request is what the head of a request says. All slices are parts of the scanned bytes, as received, but for
// Cookie, URI, Path and Query, which may be parts of m that live until the next scan.
type Request struct {
	Method []byte
	URI    []byte // path and query in origin-form, "*" in asterisk-form; an empty absolute path is "/"
	Path   []byte // URI before "?"
	Query  []byte // URI after "?"; see HasQuery
	Host   []byte // host[:port] of an absolute target, else of Host; none only in HTTP/1.0 without it
	Scheme []byte // of an absolute target, any case of letters; else nil

	HasQuery bool // URI has a "?", with nothing behind it perhaps
	Form     Target
	Minor    int // of the HTTP version: 0 or 1

	ContentLength int64 // bytes of the body; -1: no Content-Length
	Chunked       bool  // the body is chunked; with ContentLength -1 and not Chunked there is no body

	Close      bool   // the connection ends after this exchange: "close", or HTTP/1.0 without keep-alive
	KeepAlive  bool   // HTTP/1.0 that asks for keep-alive, and so needs it confirmed
	Expect100  bool   // the client may wait for 100 (Continue) before it sends the body
	TETrailers bool   // "TE: trailers": trailers may be passed on, and targets learn that
	NoTrailers bool   // there is a TE, and it does not have trailers
	Upgrade    []byte // Upgrade, when Connection names it, in HTTP/1.1, and it has no h2c; else nil
	Trailer    []byte // first Trailer line: names announced, not checked beyond field syntax; nil: none
	Cookie     []byte // values of Cookie, joined by "; " where there are several; nil: none, or all empty
	Claims     bool   // there is a Via, Forwarded, X-Real-Ip, X-Request-Id, or X-Forwarded-*
	Fields     int    // where the fields begin in the clean block

	Len int // bytes of the head, its empty line included

	// Underscores is what becomes of fields with "_" in their names. The caller sets it; scans leave it.
	Underscores Underscores
	Dropped     int  // fields left out for that
	Odd         bool // a name that stays has a byte that is no letter, digit or "-"

	joined []byte // room for several Cookie lines
	target []byte // room for a path that the target leaves out
}

// Underscores is what happens to fields with "_" in their names, which CGI-like targets take for "-".
type Underscores uint8

// The ways.
const (
	DropUnderscores Underscores = iota
	PassUnderscores
	RefuseUnderscores
)

const maxMethod = 64 // bytes of the longest method accepted

// ScanRequest checks the head at the start of src in one pass and fills m. It appends the clean block
// to dst, which must not overlap src: the request line with URI as its target, Host and the end-to-end
// fields in their order, lines as received, then the empty line; Host comes first and is written anew where
// an absolute target outweighs it. Left out are the hop-by-hop fields, what Connection names (but for fields
// that steer routing, identity, caching or framing), Content-Length (whoever sends the block on writes the
// framing), Expect, and names with "_" as Underscores says. The block says HTTP/1.1; only for an HTTP/1.0
// request without Host it says HTTP/1.0 and has no Host line, since HTTP/1.1 without Host is malformed. When
// v is not nil, the head is refused, the connection must be closed after the answer, clean is dst and m says
// nothing.
func ScanRequest(dst, src []byte, m *Request) (clean []byte, v *Violation) {
	*m = Request{joined: m.joined[:0], target: m.target[:0], Underscores: m.Underscores}
	at, bad := m.takeLine(src)
	if bad != faultNone {
		return dst, &requestFaults[bad]
	}
	clean = slices.Grow(dst, len(src)+len("Host: \r\n"))
	clean = append(clean, m.Method...)
	clean = append(clean, ' ')
	clean = append(clean, m.URI...)
	clean = append(clean, " HTTP/1.1\r\n"...)
	fields := len(clean)
	m.Fields = fields - len(dst)

	s := section{length: -1}
	clean, bad = m.takeFields(clean, src, at, &s)
	if bad == faultNone {
		bad = m.settle(&s)
	}
	if bad != faultNone {
		return dst, &requestFaults[bad]
	}
	clean = s.removeNamed(clean, src, fields)
	clean = m.insertHost(clean, fields)
	return append(clean, crlf...), nil
}

// takeLine reads the request line (RFC 9112 section 3) and returns where the fields begin.
func (m *Request) takeLine(src []byte) (int, fault) {
	at := emptyLines(src)
	if bytes.HasPrefix(src[at:], crlf) {
		return 0, faultEmptyLine
	}
	sp := bytes.IndexByte(src[at:], ' ')
	if sp < 0 {
		return 0, lineFault(src, at)
	}
	m.Method = src[at : at+sp]
	at += sp + 1
	sp = bytes.IndexByte(src[at:], ' ')
	if sp < 0 {
		return 0, lineFault(src, at)
	}
	target := src[at : at+sp]
	at += sp + 1
	minor, bad := version(src[at:])
	if bad != faultNone {
		return 0, bad
	}
	at += len("HTTP/1.1")
	if !bytes.HasPrefix(src[at:], crlf) {
		return 0, lineFault(src, at)
	}
	m.Minor = minor
	if bad := m.checkMethod(); bad != faultNone {
		return 0, bad
	}
	return at + 2, m.takeTarget(target)
}

// lineFault returns why the first line, which must end or have a space in src[at:], is malformed.
func lineFault(src []byte, at int) fault {
	if _, bad := lineEnd(src, at); bad != faultNone {
		return bad
	}
	return faultLine
}

// version reads HTTP-version (RFC 9112 section 2.3) at the start of b. A later minor version is understood as
// the latest known one (RFC 9110 section 2.5).
func version(b []byte) (minor int, bad fault) {
	if len(b) < 8 || string(b[:5]) != "HTTP/" || !isDigit(b[5]) || b[6] != '.' || !isDigit(b[7]) {
		return 0, faultLine
	}
	minor = int(b[7] - '0')
	if b[5] != '1' {
		return 0, faultVersion
	}
	return min(minor, 1), faultNone
}

func (m *Request) checkMethod() fault {
	switch string(m.Method) {
	case "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH":
		return faultNone
	}
	switch {
	case !isToken(m.Method):
		return faultMethod
	case len(m.Method) > maxMethod:
		return faultMethodUnknown
	case equalFold(m.Method, "connect") || equalFold(m.Method, "trace"): // targets may not tell case apart
		return faultMethodRefused
	}
	return faultNone
}

// takeFields reads the field lines from src[at:] on and appends those that stay to dst, in runs as long
// as no line is dropped.
func (m *Request) takeFields(dst, src []byte, at int, s *section) (out []byte, bad fault) {
	keep := at
	for n := 0; ; n++ {
		if at+1 < len(src) && src[at] == '\r' && src[at+1] == '\n' {
			m.Len = at + 2
			return append(dst, src[keep:at]...), faultNone
		}
		if n == MaxFields {
			return dst, faultTooMany
		}
		if bad = s.f.scan(src, at); bad != faultNone {
			return dst, bad
		}
		drop := false
		if s.f.odd {
			drop, bad = m.takeOdd(&s.f)
		}
		if s.f.maybeKnown && !drop && bad == faultNone {
			drop, bad = m.takeField(src, s)
		}
		if bad != faultNone {
			return dst, bad
		}
		if drop {
			dst = append(dst, src[keep:at]...)
			keep = s.f.next
		}
		at = s.f.next
	}
}

// takeOdd decides about a field whose name has other bytes than letters, digits and "-".
func (m *Request) takeOdd(f *field) (drop bool, bad fault) {
	if f.underscore {
		switch m.Underscores {
		case RefuseUnderscores:
			return false, faultUnderscore
		case DropUnderscores:
			m.Dropped++
			return true, faultNone
		}
	}
	m.Odd = true
	return false, faultNone
}

func (m *Request) takeField(src []byte, s *section) (drop bool, bad fault) {
	k := classify(s.f.name(src))
	switch k {
	case kindOther:
		return false, faultNone
	case kindClaim:
		m.Claims = true
		return false, faultNone
	case kindHost:
		return m.Form == AbsoluteForm, m.takeHost(src, s)
	case kindExpect:
		return true, m.takeExpect(s.f.value(src))
	case kindCookie:
		m.addCookie(s.f.value(src))
		return false, faultNone
	}
	return s.common(src, k)
}

// addCookie joins the values of Cookie (RFC 9113 section 8.2.3).
func (m *Request) addCookie(v []byte) {
	switch {
	case len(v) == 0:
	case m.Cookie == nil:
		m.Cookie = v
	default:
		if len(m.joined) == 0 {
			m.joined = append(m.joined, m.Cookie...)
		}
		m.joined = append(append(m.joined, "; "...), v...)
		m.Cookie = m.joined
	}
}

// takeHost checks the Host line; an absolute target outweighs a valid one (RFC 9112 section 3.2.2).
func (m *Request) takeHost(src []byte, s *section) fault {
	if s.hosted {
		return faultHostRepeated
	}
	s.hosted = true
	host := s.f.value(src)
	if !validHost(host) {
		return faultHost
	}
	if m.Form != AbsoluteForm {
		m.Host = withoutEmptyPort(host)
	}
	return faultNone
}

func (m *Request) takeExpect(v []byte) fault {
	if m.Expect100 || !equalFold(v, "100-continue") {
		return faultExpect
	}
	m.Expect100 = true
	return faultNone
}

// settle draws the conclusions that need all fields.
func (m *Request) settle(s *section) (bad fault) {
	if m.Minor == 1 && !s.hosted {
		return faultHostMissing
	}
	if bad = s.framing(m.Minor); bad != faultNone {
		return bad
	}
	m.ContentLength, m.Chunked = s.length, s.coded
	m.KeepAlive = m.Minor == 0 && s.keepAlive && !s.closing
	m.Close = s.closing || m.Minor == 0 && !m.KeepAlive
	m.Expect100 = m.Expect100 && m.Minor == 1 // RFC 9110 section 10.1.1
	m.TETrailers, m.NoTrailers = s.trailersOK, s.hasTE && !s.trailersOK
	m.Trailer = s.trailer
	m.Upgrade, bad = s.upgradeTo(m.Minor)
	return bad
}

// insertHost puts the Host line of an absolute target before the fields of the clean block, which begin at
// at.
func (m *Request) insertHost(clean []byte, at int) []byte {
	switch {
	case len(m.Host) == 0:
		clean[at-3] = '0' // of "HTTP/1.1\r\n"
		return clean
	case m.Form != AbsoluteForm:
		return clean
	}
	n := len("Host: ") + len(m.Host) + len(crlf)
	end := len(clean)
	clean = slices.Grow(clean, n)[:end+n]
	copy(clean[at+n:], clean[at:end])
	line := append(clean[:at], "Host: "...)
	line = append(line, m.Host...)
	_ = append(line, crlf...)
	return clean
}
