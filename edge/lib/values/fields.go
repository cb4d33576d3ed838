// Package values is the one place that says what a request means that has a field, a cookie or a query
// parameter several times. Every feature reads through it, so that no two of them differ:
//
//   - A value is there when any line has a value that is not empty: an empty line hides nothing.
//   - Cookie lines are one line, joined as RFC 9113 section 8.2.3 has it.
//   - A key is made of every different value, in order. A target may read the first, the last or all of them:
//     requests that could mean different things to it have different keys.
//   - Names and values of a query are compared and keyed as what they stand for, percent-decoded.
package values

import (
	"bytes"
	"unsafe"
)

// Fields is a head to read from: fasthttp.RequestHeader has it. Names are in canonical form (X-Request-Id).
// The result of PeekAll is valid until the next call of either.
type Fields interface {
	PeekCanonical(name []byte) []byte
	PeekAll(name string) [][]byte
}

// Lines returns the values of all lines of a field, empty ones too. They are valid until the next look
// into h.
func Lines(h Fields, name []byte) [][]byte {
	// A conversion would allocate, since what an interface is given escapes. Nobody changes a name.
	return h.PeekAll(unsafe.String(unsafe.SliceData(name), len(name)))
}

// First returns the first value of a field that is not empty; nil when there is none.
func First(h Fields, name []byte) []byte {
	if v := h.PeekCanonical(name); len(v) > 0 {
		return v
	}
	for _, v := range Lines(h, name) {
		if len(v) > 0 {
			return v
		}
	}
	return nil
}

// Only returns the value of a field that may stand once; nil when there is none, or when lines differ.
func Only(h Fields, name []byte) []byte {
	var only []byte
	for _, v := range Lines(h, name) {
		switch {
		case len(v) == 0 || bytes.Equal(v, only):
		case only != nil:
			return nil
		default:
			only = v
		}
	}
	return only
}

// AppendAll appends every different value of a field that is not empty, in order, with a line feed between
// two: no value has one. It appends nothing when there is none.
func AppendAll(dst []byte, h Fields, name []byte) []byte {
	lines := Lines(h, name)
	some := false
	for i, v := range lines {
		if len(v) == 0 || contains(lines[:i], v) {
			continue
		}
		if some {
			dst = append(dst, '\n')
		}
		dst, some = append(dst, v...), true
	}
	return dst
}

// AppendList appends a field whose value is a list: its lines, joined (RFC 9110 section 5.3).
func AppendList(dst []byte, h Fields, name []byte) []byte {
	some := false
	for _, v := range Lines(h, name) {
		if len(v) == 0 {
			continue
		}
		if some {
			dst = append(dst, ", "...)
		}
		dst, some = append(dst, v...), true
	}
	return dst
}

func contains(list [][]byte, v []byte) bool {
	for _, other := range list {
		if bytes.Equal(other, v) {
			return true
		}
	}
	return false
}
