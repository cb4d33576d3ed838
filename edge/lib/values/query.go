package values

import "bytes"

// NextParam finds the next parameter of a raw query whose decoded name is name. It returns its value as
// received and what follows it; ok is false when there is none any more. A pair without a name is none.
func NextParam(query, name []byte) (value, rest []byte, ok bool) {
	for len(query) > 0 {
		pair := query
		if i := bytes.IndexByte(query, '&'); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			query = nil
		}
		key := pair
		value = pair[len(pair):]
		if i := bytes.IndexByte(pair, '='); i >= 0 {
			key, value = pair[:i], pair[i+1:]
		}
		if len(key) > 0 && EqualDecoded(key, name) {
			return value, query, true
		}
	}
	return nil, nil, false
}

// AppendParam appends every different decoded value of a query's parameter that is not empty, in order, with
// a line feed between two. It appends nothing when there is none.
func AppendParam(dst, query, name []byte) []byte {
	at := len(dst)
	for v, rest, ok := NextParam(query, name); ok; v, rest, ok = NextParam(rest, name) {
		if len(v) == 0 {
			continue
		}
		before, from := len(dst), len(dst)
		if before > at {
			dst = append(dst, '\n')
			from++
		}
		dst = appendDecoded(dst, v)
		if HasLine(dst[at:before], dst[from:]) {
			dst = dst[:before]
		}
	}
	return dst
}

// AppendFirstParam appends the first value of a query's parameter that is not empty, decoded. It appends
// nothing when there is none.
func AppendFirstParam(dst, query, name []byte) []byte {
	for v, rest, ok := NextParam(query, name); ok; v, rest, ok = NextParam(rest, name) {
		if len(v) > 0 {
			return appendDecoded(dst, v)
		}
	}
	return dst
}

func appendDecoded(dst, encoded []byte) []byte {
	for len(encoded) > 0 {
		c, n := decodeByte(encoded)
		dst, encoded = append(dst, c), encoded[n:]
	}
	return dst
}

// EqualDecoded reports whether encoded stands for want.
func EqualDecoded(encoded, want []byte) bool {
	for len(encoded) > 0 {
		c, n := decodeByte(encoded)
		if len(want) == 0 || want[0] != c {
			return false
		}
		encoded, want = encoded[n:], want[1:]
	}
	return len(want) == 0
}

// CompareDecoded compares what a and b stand for, as bytes.Compare does.
func CompareDecoded(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 {
		c, n := decodeByte(a)
		d, m := decodeByte(b)
		if c != d {
			return int(c) - int(d)
		}
		a, b = a[n:], b[m:]
	}
	return len(a) - len(b)
}

// Decoded returns what encoded stands for: encoded itself if it can, else a part of scratch. ok is
// false if scratch is too short.
func Decoded(encoded, scratch []byte) (plain []byte, ok bool) {
	if bytes.IndexByte(encoded, '%') < 0 && bytes.IndexByte(encoded, '+') < 0 {
		return encoded, true
	}
	size := 0
	for len(encoded) > 0 {
		if size == len(scratch) {
			return nil, false
		}
		c, n := decodeByte(encoded)
		scratch[size] = c
		size++
		encoded = encoded[n:]
	}
	return scratch[:size], true
}

// decodeByte decodes the first byte of a query and returns how many bytes it took.
func decodeByte(b []byte) (c byte, n int) {
	switch b[0] {
	case '+':
		return ' ', 1
	case '%':
		if v, ok := Unescape(b); ok {
			return v, 3
		}
	}
	return b[0], 1
}

// Unescape decodes the escape at the start of b.
func Unescape(b []byte) (c byte, ok bool) {
	if len(b) < 3 {
		return 0, false
	}
	hi, lo := nibble(b[1]), nibble(b[2])
	return hi<<4 | lo, hi < 16 && lo < 16
}

// nibble returns the value of a hexadecimal digit, 16 for what is none.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
