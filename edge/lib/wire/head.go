// Package wire is the syntax of HTTP/1.1 messages (RFC 9112) on raw bytes: it finds the end of a head,
// checks it strictly in one pass, says what it means for framing and for the connection, and writes it
// anew without its hop-by-hop fields; it reads chunked bodies. What two parsers could read in two ways
// is refused, never repaired. Nothing here allocates in steady state.
package wire

import "bytes"

// MaxFields is how many field lines a head or a trailer section may have.
const MaxFields = 128

// maxEmptyLines is how many empty lines may stand before a request line (RFC 9112 section 2.2).
const maxEmptyLines = 2

// emptyLines returns how many bytes at the start of src are the empty lines that may stand there.
func emptyLines(src []byte) int {
	n := 0
	for n < maxEmptyLines*len(crlf) && bytes.HasPrefix(src[n:], crlf) {
		n += len(crlf)
	}
	return n
}

// Begun reports whether a request has begun in src, which may hold empty lines only: some clients send one
// behind the body of the request before.
func Begun(src []byte) bool { return emptyLines(src) < len(src) }

// HeadEnd returns the length of the complete head of a request at the start of src, its empty line included,
// or 0 when more bytes are needed. searched is how many bytes of src an earlier call has seen. A line that
// ends in LF alone ends the head at once, since no later byte can make it valid; ScanRequest refuses it. The
// empty lines that may stand before a request line are part of the head; a further one ends it, and is
// refused likewise.
func HeadEnd(src []byte, searched int) int {
	first := emptyLines(src)
	if bytes.HasPrefix(src[first:], crlf) {
		return first + len(crlf)
	}
	at := max(min(searched, len(src))-3, first)
	for {
		i := bytes.IndexByte(src[at:], '\n')
		if i < 0 {
			return 0
		}
		at += i + 1
		if at < 2 || src[at-2] != '\r' {
			return at
		}
		if at+2 <= len(src) && src[at] == '\r' && src[at+1] == '\n' {
			return at + 2
		}
	}
}

// AnswerEnd is HeadEnd for the head of an answer, whose lines may end in LF alone: see Mend.
func AnswerEnd(src []byte, searched int) int {
	at := max(min(searched, len(src))-2, 0)
	for {
		i := bytes.IndexByte(src[at:], '\n')
		if i < 0 {
			return 0
		}
		at += i + 1
		switch {
		case at < len(src) && src[at] == '\n':
			return at + 1
		case at+1 < len(src) && src[at] == '\r' && src[at+1] == '\n':
			return at + 2
		}
	}
}

// CheckAnswerStart returns early what is wrong with the beginning of an answer whose head is not complete:
// nil when it may still become valid. What speaks another protocol need not be waited for.
func CheckAnswerStart(src []byte) *Violation {
	const start = "HTTP/1."
	n := min(len(src), len(start))
	switch {
	case string(src[:n]) == start[:n]:
		return nil
	case src[0] == '\r':
		return &responseFaults[faultEmptyLine]
	}
	return &responseFaults[faultLine]
}

// CheckStart returns early what is wrong with the beginning of a request whose head is not complete: nil
// when it may still become valid. It lets a TLS hello sent to a plain port, or a binary protocol, be refused
// at once instead of being waited for.
func CheckStart(src []byte) *Violation {
	src = src[emptyLines(src):]
	if len(src) == 0 || len(src) == 1 && src[0] == '\r' {
		return nil
	}
	for i, c := range src {
		if c == ' ' && i > 0 {
			return nil
		}
		if lower[c] == 0 {
			return &requestFaults[faultMethod]
		}
		if i >= maxMethod {
			return &requestFaults[faultMethodUnknown]
		}
	}
	return nil
}

// Overflow returns how to refuse a request head that is still incomplete when no more bytes of it may be
// held: 414 while the request line has not ended, else 431.
func Overflow(src []byte) *Violation {
	if bytes.IndexByte(src[emptyLines(src):], '\n') < 0 {
		return &requestFaults[faultTargetSize]
	}
	return &requestFaults[faultHeadSize]
}

// OverflowUpstream returns how to refuse an answer's head that does not end within what may be held.
func OverflowUpstream() *Violation { return &responseFaults[faultHeadSize] }

var crlf = []byte("\r\n") // never written

// lineEnd returns where the line that goes on at at ends: src[end:end+2] is CRLF and all bytes before
// it may stand in a field value.
func lineEnd(src []byte, at int) (int, fault) {
	for {
		at = plainEnd(src, at)
		if at >= len(src) {
			return 0, faultIncomplete
		}
		switch src[at] {
		case '\t':
			at++
		case '\r':
			if at+1 == len(src) {
				return 0, faultIncomplete
			}
			if src[at+1] != '\n' {
				return 0, faultBareCR
			}
			return at, faultNone
		case '\n':
			return 0, faultBareLF
		default:
			return 0, faultControl
		}
	}
}
