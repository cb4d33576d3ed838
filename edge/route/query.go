package route

import "bytes"

// queryValue returns the encoded value of the first parameter of raw whose decoded name is name.
func queryValue(raw, name []byte) (value []byte, ok bool) {
	for len(raw) > 0 {
		pair := raw
		if i := bytes.IndexByte(raw, '&'); i >= 0 {
			pair, raw = raw[:i], raw[i+1:]
		} else {
			raw = nil
		}
		key := pair
		value = pair[len(pair):]
		if i := bytes.IndexByte(pair, '='); i >= 0 {
			key, value = pair[:i], pair[i+1:]
		}
		if len(key) > 0 && equalDecoded(key, name) {
			return value, true
		}
	}
	return nil, false
}

// equalDecoded reports whether encoded stands for want.
func equalDecoded(encoded, want []byte) bool {
	for len(encoded) > 0 {
		c, n := decodeByte(encoded)
		if len(want) == 0 || want[0] != c {
			return false
		}
		encoded, want = encoded[n:], want[1:]
	}
	return len(want) == 0
}

// decoded returns what encoded stands for: encoded itself if it can, else a part of scratch. ok is
// false if scratch is too short.
func decoded(encoded, scratch []byte) (plain []byte, ok bool) {
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

// decodeByte decodes the first byte of a query and tells how many bytes it took.
func decodeByte(b []byte) (c byte, n int) {
	switch b[0] {
	case '+':
		return ' ', 1
	case '%':
		if v, ok := unescape(b); ok {
			return v, 3
		}
	}
	return b[0], 1
}
