package edge

import "bytes"

// Editor changes the fields of an answer.
type Editor interface {
	// EditLines appends to dst what is to stand in the place of lines, each with CRLF at its end.
	EditLines(x *Exchange, dst, lines []byte) []byte
}

// EditFields has e change the fields of the answer's head. It does not parse the head: order and spelling of what
// e leaves alone stay.
func (x *Exchange) EditFields(e Editor) {
	h := &x.head
	if !h.asCame {
		h.unparse()
	}
	h.spare = e.EditLines(x, h.spare[:0], h.lines)
	h.lines, h.spare = h.spare, h.lines
}

// NextField cuts the first field off lines. value is trimmed, line is all of it.
func NextField(lines []byte) (name, value, line, rest []byte) {
	n := bytes.IndexByte(lines, '\n') + 1
	if n == 0 {
		n = len(lines)
	}
	line, rest = lines[:n], lines[n:]
	name, value, _ = bytes.Cut(line, colon)
	return name, bytes.TrimSpace(value), line, rest
}

var colon = []byte(":")

// HasAnswerField reports whether a field is in the head of the answer, without parsing it.
func (x *Exchange) HasAnswerField(name []byte) bool {
	h := &x.head
	if !h.asCame {
		return len(h.form.PeekBytes(name)) > 0
	}
	for lines := h.lines; len(lines) > 0; {
		var n []byte
		n, _, _, lines = NextField(lines)
		if bytes.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// SetsCookie reports whether the answer sets a cookie of the name.
func (x *Exchange) SetsCookie(cookie []byte) bool {
	h := &x.head
	if !h.asCame {
		h.unparse()
	}
	for lines := h.lines; len(lines) > 0; {
		var name, value []byte
		name, value, _, lines = NextField(lines)
		if !bytes.EqualFold(name, setCookieKey) {
			continue
		}
		pair, _, _ := bytes.Cut(value, semicolon)
		n, _, _ := bytes.Cut(pair, equals)
		if bytes.Equal(bytes.TrimSpace(n), cookie) {
			return true
		}
	}
	return false
}

var (
	setCookieKey = []byte("Set-Cookie")
	semicolon    = []byte(";")
	equals       = []byte("=")
)

// unparse makes a head in fasthttp's form lines again. Framing fields are left out, as of any head.
func (h *head) unparse() {
	h.status, h.asCame, h.claims, h.dated = h.form.StatusCode(), true, true, false
	h.reason = append(h.reason[:0], h.form.StatusMessage()...)
	h.lines = h.lines[:0]
	for k, v := range h.form.All() {
		switch string(k) { // names are canonical, the comparison does not allocate
		case "Content-Length", "Connection", "Transfer-Encoding", "Keep-Alive", "Upgrade", "Trailer":
			continue
		case "Date":
			h.dated = true
		}
		h.lines = append(append(append(append(h.lines, k...), ": "...), v...), "\r\n"...)
	}
}
