package edge

import "bytes"

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

// SetsCookie reports whether the answer sets a cookie of the name.
func (x *Exchange) SetsCookie(cookie []byte) bool {
	for value := range x.Resp.All("Set-Cookie") {
		pair, _, _ := bytes.Cut(value, semicolon)
		if name, _, _ := bytes.Cut(pair, equals); bytes.Equal(bytes.TrimSpace(name), cookie) {
			return true
		}
	}
	return false
}

var (
	colon     = []byte(":")
	semicolon = []byte(";")
	equals    = []byte("=")
)
