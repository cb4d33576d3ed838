package header

import "bytes"

// NextLine cuts the first field off lines as somebody has sent them, each with CRLF at its end. There is no
// white space around the value.
func NextLine(lines []byte) (name, value, rest []byte) {
	line, rest, _ := bytes.Cut(lines, crlf)
	name, value, _ = bytes.Cut(line, colon)
	return name, bytes.Trim(value, " \t"), rest
}

// IsPrefix reports whether name begins with prefix, whatever the case of its letters. prefix is in lower
// case.
func IsPrefix(name []byte, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// Is reports whether a name is that one, whatever the case of its letters. want is in lower case.
func Is(name []byte, want string) bool { return len(name) == len(want) && IsPrefix(name, want) }

var colon = []byte(":")
