package wire

import (
	"bytes"
	"slices"
)

// Response is what the head of an answer says. All slices are parts of the scanned bytes, as received.
type Response struct {
	Status int // 100 to 599
	Minor  int // of the HTTP version: 0 or 1
	Reason []byte

	ContentLength int64 // -1: none. The answer to HEAD and a 304 have no body whatever it says
	Chunked       bool  // false when Bodyless
	Bodyless      bool  // 1xx, 204 or 304: no body, whatever the fields say

	Close     bool   // not to be used again: "close", HTTP/1.0 without keep-alive, or a doubtful end
	KeepAlive bool   // HTTP/1.0 that grants keep-alive
	Upgrade   []byte // Upgrade, when Connection names it, in HTTP/1.1, and it has no h2c; else nil
	Trailer   []byte // first Trailer line: names announced, not checked beyond field syntax; nil: none
	Fields    int    // where the fields begin in the clean block

	Len int // bytes of the head, its empty line included
}

// Mendable reports whether an answer that was refused for v may be good once Mend has written it anew.
func (v *Violation) Mendable() bool {
	return v == &responseFaults[faultBareLF] || v == &responseFaults[faultFold]
}

// ScanResponse checks the head of a target's answer at the start of src in one pass and fills m. It appends
// the clean block to dst, which must not overlap src: the status line as HTTP/1.1, the end-to-end fields in
// their order, lines as received but for Content-Length, which is in normal form (and left out of 1xx and
// 204, RFC 9110 section 8.6), then the empty line. A 426 keeps Upgrade, by which it says what it wants (RFC
// 9110 section 15.5.22). With ContentLength -1, neither Chunked nor Bodyless, the body lasts until the
// connection closes (RFC 9112 section 6.3). The head may have maxFields field lines. When v is not nil, the
// answer is refused with 502, the connection is of no further use, clean is dst and m says nothing.
func ScanResponse(dst, src []byte, m *Response, maxFields int) (clean []byte, v *Violation) {
	*m = Response{}
	at, bad := m.takeLine(src)
	if bad != faultNone {
		return dst, &responseFaults[bad]
	}
	clean = slices.Grow(dst, len(src)+len("HTTP/1.1 200 \r\n")+len("Content-Length: "))
	clean = append(clean, "HTTP/1.1 "...)
	clean = append(clean, byte('0'+m.Status/100), byte('0'+m.Status/10%10), byte('0'+m.Status%10), ' ')
	clean = append(clean, m.Reason...)
	clean = append(clean, crlf...)
	fields := len(clean)
	m.Fields = fields - len(dst)

	s := section{length: -1}
	clean, bad = m.takeFields(clean, src, at, &s, maxFields)
	if bad == faultNone {
		bad = m.settle(&s)
	}
	if bad != faultNone {
		return dst, &responseFaults[bad]
	}
	clean = s.removeNamed(clean, src, fields)
	return append(clean, crlf...), nil
}

// takeLine reads the status line (RFC 9112 section 4) and returns where the fields begin. The space
// before an empty reason is wanted by the grammar and missing in practice; without it nothing is unclear.
func (m *Response) takeLine(src []byte) (int, fault) {
	if bytes.HasPrefix(src, crlf) {
		return 0, faultEmptyLine
	}
	minor, bad := version(src)
	if bad != faultNone {
		return 0, bad
	}
	end, bad := lineEnd(src, 0)
	if bad != faultNone {
		return 0, bad
	}
	rest := src[len("HTTP/1.1"):end]
	if len(rest) < 4 || rest[0] != ' ' || len(rest) > 4 && rest[4] != ' ' {
		return 0, faultStatus
	}
	for _, c := range rest[1:4] {
		if !isDigit(c) {
			return 0, faultStatus
		}
		m.Status = m.Status*10 + int(c-'0')
	}
	if m.Status < 100 || m.Status > 599 {
		return 0, faultStatus
	}
	if len(rest) > 5 {
		m.Reason = rest[5:]
	}
	m.Minor = minor
	m.Bodyless = m.Status < 200 || m.Status == 204 || m.Status == 304
	return end + 2, faultNone
}

// takeFields reads the field lines from src[at:] on and appends those that stay to dst, in runs as long
// as no line is dropped or changed.
func (m *Response) takeFields(dst, src []byte, at int, s *section, most int) ([]byte, fault) {
	keep := at
	for n := 0; ; n++ {
		if at+1 < len(src) && src[at] == '\r' && src[at+1] == '\n' {
			m.Len = at + 2
			return append(dst, src[keep:at]...), faultNone
		}
		if n == most {
			return dst, faultTooMany
		}
		if bad := s.f.scan(src, at); bad != faultNone {
			return dst, bad
		}
		if !s.f.maybeKnown {
			at = s.f.next
			continue
		}
		k := classify(s.f.name(src))
		drop, bad := m.takeField(src, s, k)
		if bad != faultNone {
			return dst, bad
		}
		if drop {
			dst = append(dst, src[keep:at]...)
			keep = s.f.next
		}
		if k == kindContentLength && (!m.Bodyless || m.Status == 304) {
			dst = appendLength(dst, s.length)
		}
		at = s.f.next
	}
}

func (m *Response) takeField(src []byte, s *section, k kind) (drop bool, bad fault) {
	switch k {
	case kindOther, kindHost, kindExpect, kindCookie, kindClaim:
		return false, faultNone
	}
	drop, bad = s.common(src, k)
	return drop && (k != kindUpgrade || m.Status != 426), bad
}

// settle draws the conclusions that need all fields.
func (m *Response) settle(s *section) (bad fault) {
	if bad = s.framing(m.Minor); bad != faultNone {
		return bad
	}
	m.ContentLength, m.Chunked = s.length, s.coded && !m.Bodyless
	m.KeepAlive = m.Minor == 0 && s.keepAlive && !s.closing
	m.Close = s.closing || m.Minor == 0 && !m.KeepAlive
	if m.Bodyless && (s.coded || s.length > 0 && m.Status != 304) {
		m.Close = true // RFC 9112 section 6.1, RFC 9110 section 8.6: a body may follow all the same
	}
	if m.Bodyless && m.Status != 304 {
		m.ContentLength = -1
	}
	m.Trailer = s.trailer
	m.Upgrade, bad = s.upgradeTo(m.Minor)
	return bad
}
