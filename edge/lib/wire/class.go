package wire

import (
	"encoding/binary"
	"math/bits"
)

// Byte classes. A byte belongs to a class when its bit is set in class.
const (
	inHost    uint8 = 1 << iota // may stand in a registered name or an IPv4 address; see validHost
	inHex                       // HEXDIG
	inUpgrade                   // may stand in the value of Upgrade: tchar "/" "," SP HTAB
	inValue                     // may stand in a field value: HTAB, SP, VCHAR, obs-text
)

// class maps a byte to its classes; written once, before main.
var class = makeClasses()

// isOdd marks in lower what is no letter, digit or "-": no token byte has its top bit set.
const isOdd = 0x80

// lower maps a token byte (RFC 9110 section 5.6.2) to its lower case and every other byte to 0.
// What is no letter, digit or "-" carries isOdd too. Written once, before main.
var lower = makeLower()

const tokenMarks = "!#$%&'*+-.^_`|~" // tchar that is neither letter nor digit

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isAlnum(c byte) bool  { return isLetter(c) || isDigit(c) }

func isMark(c byte) bool {
	for i := range len(tokenMarks) {
		if tokenMarks[i] == c {
			return true
		}
	}
	return false
}

// isSubDelim follows RFC 3986 section 2.2.
func isSubDelim(c byte) bool {
	switch c {
	case '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=':
		return true
	}
	return false
}

func makeClasses() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		t[i] |= classIf(isAlnum(c) || c == '-' || c == '.' || c == '_' || c == '~', inHost)
		t[i] |= classIf(isSubDelim(c) && c != ',', inHost)
		t[i] |= classIf(isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f', inHex)
		t[i] |= classIf(isAlnum(c) || isMark(c), inUpgrade)
		t[i] |= classIf(c == '/' || c == ',' || c == ' ' || c == '\t', inUpgrade)
		t[i] |= classIf(c == '\t' || c >= ' ' && c != 0x7f, inValue)
	}
	return t
}

func classIf(member bool, bit uint8) uint8 {
	if member {
		return bit
	}
	return 0
}

func makeLower() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		switch {
		case isLetter(c):
			t[i] = c | 0x20
		case isDigit(c) || c == '-':
			t[i] = c
		case isMark(c):
			t[i] = c | isOdd
		}
	}
	return t
}

// allIn reports whether b holds bytes of one class only.
func allIn(b []byte, bit uint8) bool {
	for _, c := range b {
		if class[c]&bit == 0 {
			return false
		}
	}
	return true
}

// isToken reports whether b is a token: at least one tchar and nothing else.
func isToken(b []byte) bool {
	for _, c := range b {
		if lower[c] == 0 {
			return false
		}
	}
	return len(b) > 0
}

const (
	eachByte = 0x0101010101010101
	topBits  = 0x8080808080808080
)

// special marks the control bytes and DELs among the eight bytes of x by their top bits. A borrow of the
// subtractions can only spoil bytes above the first hit, so the lowest mark is exact.
func special(x uint64) uint64 {
	del := x ^ 0x7f*eachByte
	return ((x-0x20*eachByte)&^x | (del-eachByte)&^del) & topBits
}

// plainEnd returns the first place at or after at where src holds a control byte or DEL, len(src) if
// none does. The first test is cheap and lets eight bytes of printable ASCII pass, no others.
func plainEnd(src []byte, at int) int {
	for at+8 <= len(src) {
		x := binary.LittleEndian.Uint64(src[at:])
		if (x|(x+eachByte)|(x-0x20*eachByte))&topBits != 0 {
			if hit := special(x); hit != 0 {
				return at + bits.TrailingZeros64(hit)>>3
			}
		}
		at += 8
	}
	for at < len(src) && src[at] >= 0x20 && src[at] != 0x7f {
		at++
	}
	return at
}

// trim cuts the optional white space (RFC 9110 section 5.6.3) off both ends of b.
func trim(b []byte) []byte { return span{0, len(b)}.trim(b).of(b) }

// equalFold reports whether b is word, whatever the case of its letters; word is in lower case.
func equalFold(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// sameName reports whether two tokens are the same field name.
func sameName(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower[a[i]] != lower[b[i]] {
			return false
		}
	}
	return true
}
