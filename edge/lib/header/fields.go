package header

import (
	"bytes"
	"iter"

	"github.com/penstock-edge/penstock/edge/lib/values"
)

// Fields are the fields of a head as lines, in their order, each as its sender wrote it: the name in its
// case, the value with the white space around it. Whoever passes them on passes on the same bytes. A change
// writes one line anew and leaves the others and their order alone.
//
// Names are given in any case and found in any case. A value that is returned is a part of the lines without
// white space around it: it is valid until the next change, and not to be written to. It may be given to a
// change as it is. The zero value has no lines and is ready; it keeps its memory.
//
// Of several lines with one name all count, as package values says it. Get, Has and Only are for fields of
// one value; List and AppendList for fields that are lists; All for those of which each line stands for
// itself, such as Set-Cookie.
type Fields struct {
	lines []byte // fields, each with CRLF behind it
	spare []byte // what lines was before the last change that wrote it anew; its memory is for the next one
	names uint64 // bits of all names that are there, and of some that were: most that is asked for is not there
}

// Reset takes all lines out.
func (f *Fields) Reset() { f.lines, f.names = f.lines[:0], 0 }

// SetLines replaces the lines of f with those of both parts: checked fields, each followed by CRLF. f copies
// them.
func (f *Fields) SetLines(lines, more []byte) {
	f.lines, f.names = append(append(f.lines[:0], lines...), more...), 0
	for at := 0; at < len(f.lines); at += bytes.IndexByte(f.lines[at:], '\n') + 1 {
		f.names |= bit(f.lines[at : at+bytes.IndexByte(f.lines[at:], ':')])
	}
}

// bit returns the bit of a name, in any case of its letters; 0 of an empty one, which no line has.
func bit(name []byte) uint64 {
	n := len(name)
	if n == 0 {
		return 0
	}
	return 1 << ((uint(n) + 7*uint(name[0]|0x20) + 13*uint(name[n-1]|0x20)) % 64)
}

// CopyTo makes the lines of f those of g.
func (f *Fields) CopyTo(g *Fields) { g.lines, g.names = append(g.lines[:0], f.lines...), f.names }

// Lines returns all lines, each with CRLF behind it. They are valid until the next change.
func (f *Fields) Lines() []byte { return f.lines }

// IsLarge reports whether f holds more memory than is good to keep for another head.
func (f *Fields) IsLarge() bool { return cap(f.lines) > large || cap(f.spare) > large }

const large = 64 << 10

// Get returns the value of a field: of several lines the first that is not empty; nil when there is none.
func (f *Fields) Get(name string) []byte {
	for at, end := f.next(name, 0); end > 0; at, end = f.next(name, end) {
		if v := f.value(at+len(name), end); len(v) > 0 {
			return v
		}
	}
	return nil
}

// Has reports whether any line of a field has a value.
func (f *Fields) Has(name string) bool { return len(f.Get(name)) > 0 }

// Only returns the value of a field that may stand once; nil when it is missing, or when its lines differ.
// Empty ones do not count.
func (f *Fields) Only(name string) []byte {
	var only []byte
	for at, end := f.next(name, 0); end > 0; at, end = f.next(name, end) {
		v := f.value(at+len(name), end)
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

// All returns the values of all lines of a field, empty ones too.
func (f *Fields) All(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for at, end := f.next(name, 0); end > 0; at, end = f.next(name, end) {
			if !yield(f.value(at+len(name), end)) {
				return
			}
		}
	}
}

// Count returns how many lines a field has, empty ones too.
func (f *Fields) Count(name string) (n int) {
	for _, end := f.next(name, 0); end > 0; _, end = f.next(name, end) {
		n++
	}
	return n
}

// List returns the elements of a field whose value is a list, of all its lines (RFC 9110 section 5.3),
// without empty ones and without white space around them. It is for lists whose elements have no quoted
// strings.
func (f *Fields) List(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for at, end := f.next(name, 0); end > 0; at, end = f.next(name, end) {
			for rest := f.value(at+len(name), end); len(rest) > 0; {
				var v []byte
				if v, rest = cutElement(rest); len(v) > 0 && !yield(v) {
					return
				}
			}
		}
	}
}

// Last returns the last element of a list, which is what the nearest sender has added; nil when there is
// none.
func (f *Fields) Last(name string) (last []byte) {
	for v := range f.List(name) {
		last = v
	}
	return last
}

// cutElement cuts the first element off a list.
func cutElement(list []byte) (element, rest []byte) {
	if i := bytes.IndexByte(list, ','); i >= 0 {
		return trim(list[:i]), list[i+1:]
	}
	return trim(list), nil
}

// AppendList appends a field whose value is a list: its lines that are not empty, joined.
func (f *Fields) AppendList(dst []byte, name string) []byte {
	some := false
	for at, end := f.next(name, 0); end > 0; at, end = f.next(name, end) {
		v := f.value(at+len(name), end)
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

// AppendKey appends what a key has of a field: every different value that is not empty, in order, with a line
// feed between two, since no value has one. It appends nothing when there is none.
func (f *Fields) AppendKey(dst []byte, name string) []byte {
	from := len(dst)
	for at, end := f.next(name, 0); end > 0; at, end = f.next(name, end) {
		v := f.value(at+len(name), end)
		if len(v) == 0 || values.HasLine(dst[from:], v) {
			continue
		}
		if len(dst) > from {
			dst = append(dst, '\n')
		}
		dst = append(dst, v...)
	}
	return dst
}

// Each returns names and values of all lines, in their order.
func (f *Fields) Each() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for at := 0; at < len(f.lines); {
			end := at + bytes.IndexByte(f.lines[at:], '\n') + 1
			colon := at + bytes.IndexByte(f.lines[at:end], ':')
			if !yield(f.lines[at:colon:colon], f.value(colon, end)) {
				return
			}
			at = end
		}
	}
}

// next returns where the first line of a field from at on begins and ends; end is 0 when there is none.
func (f *Fields) next(name string, at int) (start, end int) {
	if f.names&bit(bytesOf(name)) == 0 {
		return 0, 0
	}
	for b := f.lines; at < len(b); at = end {
		end = at + bytes.IndexByte(b[at:], '\n') + 1
		if n := at + len(name); n < end && b[n] == ':' && sameName(b[at:n], name) {
			return at, end
		}
	}
	return 0, 0
}

// value returns the value of the line that has its colon at colon and its end at end.
func (f *Fields) value(colon, end int) []byte {
	end -= len("\r\n")
	return trim(f.lines[colon+1 : end : end])
}

// trim cuts the optional white space (RFC 9110 section 5.6.3) off both ends of b.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for n := len(b); n > 0 && (b[n-1] == ' ' || b[n-1] == '\t'); n = len(b) {
		b = b[:n-1]
	}
	return b
}
