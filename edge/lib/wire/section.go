package wire

import (
	"bytes"
	"strconv"
)

// maxOptions is how many fields Connection may name beside the ones known here.
const maxOptions = 16

// span is a part of src.
type span struct{ start, end int }

func (p span) of(src []byte) []byte { return src[p.start:p.end] }

// trim cuts the optional white space off both ends of p.
func (p span) trim(src []byte) span {
	for p.start < p.end && (src[p.start] == ' ' || src[p.start] == '\t') {
		p.start++
	}
	for p.start < p.end && (src[p.end-1] == ' ' || src[p.end-1] == '\t') {
		p.end--
	}
	return p
}

// section collects what the fields of one head say about framing and the connection.
type section struct {
	f      field
	length int64 // of Content-Length; -1 while it was not seen

	coded      bool // Transfer-Encoding: chunked was seen
	closing    bool // Connection has close
	keepAlive  bool // Connection has keep-alive
	upgrading  bool // Connection has upgrade
	hasTE      bool // TE was seen
	trailersOK bool // TE has trailers
	hosted     bool // Host was seen
	upgrade    []byte
	trailer    []byte

	named  [maxOptions]span // options of Connection that name other fields
	nNamed int
}

// common takes in the field s.f when it is of a kind that requests and answers share. drop means that
// the line does not go into the clean block.
func (s *section) common(src []byte, k kind) (drop bool, bad fault) {
	v := s.f.value(src)
	switch k {
	case kindContentLength:
		return true, s.takeLength(v)
	case kindTransferEncoding:
		return true, s.takeCoding(v)
	case kindConnection:
		return true, s.takeOptions(src)
	case kindUpgrade:
		if s.upgrade != nil {
			return true, faultUpgrade
		}
		s.upgrade = v
		return true, faultNone
	case kindTE:
		s.hasTE, s.trailersOK = true, s.trailersOK || takesTrailers(v)
		return true, faultNone
	case kindTrailer:
		if s.trailer == nil {
			s.trailer = v
		}
		return true, faultNone
	case kindHop:
		return true, faultNone
	}
	return false, faultNone
}

func (s *section) takeLength(v []byte) fault {
	if s.length >= 0 {
		return faultLengthRepeated
	}
	n, ok := parseLength(v)
	if !ok {
		return faultLength
	}
	s.length = n
	return faultNone
}

// maxDigits keeps a length below 2^63.
const maxDigits = 18

// parseLength reads 1*DIGIT (RFC 9110 section 8.6), at most maxDigits of them.
func parseLength(v []byte) (n int64, ok bool) {
	if len(v) == 0 || len(v) > maxDigits {
		return 0, false
	}
	for _, c := range v {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func (s *section) takeCoding(v []byte) fault {
	switch {
	case s.coded:
		return faultCodingRepeated
	case equalFold(v, "chunked"):
		s.coded = true
		return faultNone
	case len(v) == 0 || equalFold(v, "identity"):
		return faultCodingNone
	}
	return faultCodingUnknown
}

// takeOptions reads the options of the Connection line s.f (RFC 9110 section 7.6.1).
func (s *section) takeOptions(src []byte) fault {
	if string(s.f.value(src)) == "keep-alive" { // by far the most common line
		s.keepAlive = true
		return faultNone
	}
	for at, end := s.f.valueStart, s.f.valueEnd; at < end; {
		option := span{at, end}
		if i := bytes.IndexByte(src[at:end], ','); i >= 0 {
			option.end = at + i
		}
		at = option.end + 1
		option = option.trim(src)
		if option.start == option.end {
			continue // RFC 9110 section 5.6.1.2
		}
		if !isToken(option.of(src)) {
			return faultConnection
		}
		if bad := s.takeOption(src, option); bad != faultNone {
			return bad
		}
	}
	return faultNone
}

func (s *section) takeOption(src []byte, option span) fault {
	var buf [longestName]byte
	low := lowerInto(&buf, option.of(src))
	switch string(low) {
	case "close":
		s.closing = true
		return faultNone
	case "keep-alive":
		s.keepAlive = true
		return faultNone
	case "upgrade":
		s.upgrading = true
		return faultNone
	case "te": // which belongs to this hop, whether it is named or not
		return faultNone
	}
	if guarded(low) {
		return faultNone
	}
	if s.nNamed == maxOptions {
		return faultOptions
	}
	s.named[s.nNamed] = option
	s.nNamed++
	return faultNone
}

// framing checks that the fields agree on where the body ends, in a message of HTTP/1.minor.
func (s *section) framing(minor int) fault {
	switch {
	case s.coded && minor == 0:
		return faultCodingOld
	case s.coded && s.length >= 0:
		return faultBothLengths
	}
	return faultNone
}

// upgradeTo returns the protocols to change to: nil unless Connection names Upgrade in HTTP/1.1. The
// way to HTTP/2 by Upgrade is gone (RFC 9113 section 3.1) and a known way around proxies: a list with
// h2c in it counts as absent.
func (s *section) upgradeTo(minor int) ([]byte, fault) {
	if s.upgrade == nil || !s.upgrading || minor == 0 {
		return nil, faultNone
	}
	if len(s.upgrade) == 0 || !allIn(s.upgrade, inUpgrade) {
		return nil, faultUpgrade
	}
	if hasMember(s.upgrade, "h2c") {
		return nil, faultNone
	}
	return s.upgrade, faultNone
}

// removeNamed takes the lines of dst[at:] out whose names Connection has named.
func (s *section) removeNamed(dst, src []byte, at int) []byte {
	if s.nNamed == 0 {
		return dst
	}
	to := at
	for at < len(dst) {
		next := at + bytes.IndexByte(dst[at:], '\n') + 1
		name := dst[at : at+bytes.IndexByte(dst[at:], ':')]
		if !s.isNamed(src, name) {
			to += copy(dst[to:], dst[at:next])
		}
		at = next
	}
	return dst[:to]
}

func (s *section) isNamed(src, name []byte) bool {
	for _, n := range s.named[:s.nNamed] {
		if sameName(n.of(src), name) {
			return true
		}
	}
	return false
}

// hasMember reports whether the comma-separated list v has word, in any case of letters.
func hasMember(v []byte, word string) bool {
	for len(v) > 0 {
		member := v
		if i := bytes.IndexByte(v, ','); i >= 0 {
			member, v = v[:i], v[i+1:]
		} else {
			v = nil
		}
		if equalFold(trim(member), word) {
			return true
		}
	}
	return false
}

// takesTrailers reports whether a TE has the member trailers, with a weight that is not 0 if it has one (RFC
// 9110 section 10.1.4).
func takesTrailers(te []byte) bool {
	for len(te) > 0 {
		member := te
		if i := bytes.IndexByte(te, ','); i >= 0 {
			member, te = te[:i], te[i+1:]
		} else {
			te = nil
		}
		name, weight, _ := bytes.Cut(member, semicolon)
		if equalFold(trim(name), "trailers") && !isZero(trim(weight)) {
			return true
		}
	}
	return false
}

var semicolon = []byte(";") // never written

// isZero reports whether weight is "q=0" (RFC 9110 section 12.4.2).
func isZero(weight []byte) bool {
	if len(weight) < 3 || weight[0]|0x20 != 'q' || weight[1] != '=' || weight[2] != '0' {
		return false
	}
	return len(bytes.Trim(weight[3:], ".0")) == 0
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, crlf...)
}
