// Package header deals with the fields of a message: it tells what is a name, and takes lines out of a head
// without changing the order of the others.
package header

// isTchar marks the bytes that a token is made of (RFC 9110 section 5.6.2); written once, before main.
var isTchar = makeTchars()

func makeTchars() (t [256]bool) {
	const marks = "!#$%&'*+-.^_`|~"
	for i := range len(marks) {
		t[marks[i]] = true
	}
	for c := range 10 {
		t['0'+c] = true
	}
	for c := range 26 {
		t['a'+c], t['A'+c] = true, true
	}
	return t
}

// IsToken tells whether s is a token (RFC 9110 section 5.6.2): the name of a field, a method, or the name
// of a cookie (RFC 6265 section 4.1.1).
func IsToken(s string) bool {
	for i := range len(s) {
		if !isTchar[s[i]] {
			return false
		}
	}
	return s != ""
}
