// Package values decides what a request means that has a cookie or a query parameter several times;
// header.Fields says the same of fields. Every feature reads through these two, so that no two of them
// differ:
//
//   - A value is there when any line has a value that is not empty: an empty line hides nothing.
//   - Cookie lines are one line, joined as RFC 9113 section 8.2.3 has it.
//   - A key is made of every different value, in order. A target may read the first, the last or all of them:
//     requests that could mean different things to it have different keys.
//   - Names and values of a query are compared and keyed as what they stand for, percent-decoded.
package values

import "bytes"

// NextCookie finds the next cookie called name in a Cookie field's value. It returns its value as received,
// quotes included, and what follows it; ok is false when there is none any more.
func NextCookie(cookie, name []byte) (value, rest []byte, ok bool) {
	for len(cookie) > 0 {
		pair := cookie
		if i := bytes.IndexByte(cookie, ';'); i >= 0 {
			pair, cookie = cookie[:i], cookie[i+1:]
		} else {
			cookie = nil
		}
		i := bytes.IndexByte(pair, '=')
		if i >= 0 && bytes.Equal(trim(pair[:i]), name) {
			return trim(pair[i+1:]), cookie, true
		}
	}
	return nil, nil, false
}

// trim takes white space away as targets do.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for n := len(b); n > 0 && (b[n-1] == ' ' || b[n-1] == '\t'); n = len(b) {
		b = b[:n-1]
	}
	return b
}

// Cookie returns the first value of a cookie that is not empty; nil when there is none.
func Cookie(cookie, name []byte) []byte {
	for v, rest, ok := NextCookie(cookie, name); ok; v, rest, ok = NextCookie(rest, name) {
		if len(v) > 0 {
			return v
		}
	}
	return nil
}

// AppendCookie appends every different value of a cookie that is not empty, in order, with a line feed
// between two. It appends nothing when there is none.
func AppendCookie(dst, cookie, name []byte) []byte {
	at := len(dst)
	for v, rest, ok := NextCookie(cookie, name); ok; v, rest, ok = NextCookie(rest, name) {
		if len(v) == 0 || HasLine(dst[at:], v) {
			continue
		}
		if len(dst) > at {
			dst = append(dst, '\n')
		}
		dst = append(dst, v...)
	}
	return dst
}

// HasLine reports whether v is one of the lines of b.
func HasLine(b, v []byte) bool {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if bytes.Equal(line, v) {
			return true
		}
	}
	return false
}
