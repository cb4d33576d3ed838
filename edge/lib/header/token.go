// Package header deals with the fields of a message: it keeps them as lines, knows what a name is, and which
// names are the same to which software.
package header

import "unsafe"

// class maps a byte that a token is made of (RFC 9110 section 5.6.2) to its lower case, and every other byte
// to 0; written once, before main.
var class = makeClass()

func makeClass() (t [256]byte) {
	const marks = "!#$%&'*+-.^_`|~"
	for i := range len(marks) {
		t[marks[i]] = marks[i]
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = c
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = c, c
	}
	return t
}

// IsToken reports whether s is a token (RFC 9110 section 5.6.2): the name of a field, a method, or the name
// of a cookie (RFC 6265 section 4.1.1).
func IsToken(s string) bool {
	for i := range len(s) {
		if class[s[i]] == 0 {
			return false
		}
	}
	return s != ""
}

// SameName reports whether two names are those of one field: case makes no difference.
func SameName(a []byte, b string) bool { return len(a) == len(b) && sameName(a, b) }

// HasPrefix reports whether a name begins with prefix, in any case.
func HasPrefix(name []byte, prefix string) bool {
	return len(name) >= len(prefix) && sameName(name[:len(prefix)], prefix)
}

// sameName compares tokens of the same length.
func sameName(a []byte, b string) bool {
	if string(a) == b {
		return true
	}
	for i := range a {
		if a[i] != b[i] && class[a[i]] != class[b[i]] {
			return false
		}
	}
	return true
}

// AppendLower appends a name in lower case, for maps of names.
func AppendLower(dst, name []byte) []byte {
	for _, c := range name {
		dst = append(dst, class[c])
	}
	return dst
}

// Canonical returns a name as most spell it: a capital at its start and behind each hyphen, small letters
// else.
func Canonical(name string) string {
	b := []byte(name)
	upper := true
	for i, c := range b {
		switch {
		case upper && 'a' <= c && c <= 'z':
			b[i] = c - 'a' + 'A'
		case !upper && 'A' <= c && c <= 'Z':
			b[i] = c - 'A' + 'a'
		}
		upper = c == '-'
	}
	return string(b)
}

// View returns name as a string without copying it. It is valid as long as name is not written to.
func View(name []byte) string { return unsafe.String(unsafe.SliceData(name), len(name)) }
