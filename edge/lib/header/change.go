package header

import (
	"bytes"
	"unsafe"
)

// A changed line is "Name: value" with the name as it is given. Names are tokens that the program or its
// configuration gives. A value may be anything: a byte that may stand in none is written as a space (RFC 9110
// section 5.5), so that nothing in it can begin another line.

// Set makes value the only one of a field: its first line is written anew where it stands, others vanish; a
// field that is missing is added.
func (f *Fields) Set(name, value string) { f.SetBytes(name, bytesOf(value)) }

// SetBytes is Set with a value in bytes.
func (f *Fields) SetBytes(name string, value []byte) {
	at, end := f.next(name, 0)
	if end == 0 {
		f.AddBytes(name, value)
		return
	}
	b := appendLine(append(f.spare[:0], f.lines[:at]...), name, value)
	for {
		next, after := f.next(name, end)
		if after == 0 {
			break
		}
		b = append(b, f.lines[end:next]...)
		end = after
	}
	f.lines, f.spare = append(b, f.lines[end:]...), f.lines
}

// Add adds a line behind all others.
func (f *Fields) Add(name, value string) { f.AddBytes(name, bytesOf(value)) }

// AddBytes is Add with a value in bytes.
func (f *Fields) AddBytes(name string, value []byte) {
	f.lines = appendLine(f.lines, name, value)
	f.names |= bit(bytesOf(name))
}

// Del takes all lines of a field out.
func (f *Fields) Del(name string) {
	at, end := f.next(name, 0)
	if end == 0 {
		return
	}
	for to := at; ; {
		next, after := f.next(name, end)
		if after == 0 {
			to += copy(f.lines[to:], f.lines[end:])
			f.lines = f.lines[:to]
			return
		}
		to += copy(f.lines[to:], f.lines[end:next])
		end = after
	}
}

// DelFunc takes the lines out whose names drop reports, and returns how many these were.
func (f *Fields) DelFunc(drop func(name []byte) bool) (n int) {
	to := 0
	for at := 0; at < len(f.lines); {
		line := f.lines[at : at+bytes.IndexByte(f.lines[at:], '\n')+1]
		at += len(line)
		if drop(line[:bytes.IndexByte(line, ':')]) {
			n++
			continue
		}
		to += copy(f.lines[to:], line)
	}
	f.lines = f.lines[:to]
	return n
}

// Rename gives all lines of a field another name, where they stand.
func (f *Fields) Rename(from, to string) {
	at, end := f.next(from, 0)
	if end == 0 {
		return
	}
	b, kept := f.spare[:0], 0
	for ; end > 0; at, end = f.next(from, end) {
		b = append(append(b, f.lines[kept:at]...), to...)
		kept = at + len(from)
	}
	f.lines, f.spare = append(b, f.lines[kept:]...), f.lines
	f.names |= bit(bytesOf(to))
}

// AppendWith appends all lines to dst, and in them value as that of a field which stands once: the line keeps
// its place and its spelling, and is the first when there was none.
func (f *Fields) AppendWith(dst []byte, name string, value []byte) []byte {
	at, end := f.next(name, 0)
	if end == 0 {
		return append(appendLine(dst, name, value), f.lines...)
	}
	dst = append(dst, f.lines[:at+len(name)]...)
	return append(appendValue(dst, value), f.lines[end:]...)
}

func appendLine(dst []byte, name string, value []byte) []byte {
	return appendValue(append(dst, name...), value)
}

// appendValue appends what stands behind the name in a line.
func appendValue(dst, value []byte) []byte {
	at := len(dst) + len(": ")
	dst = append(append(dst, ": "...), value...)
	for i, c := range dst[at:] {
		if c < ' ' && c != '\t' || c == 0x7f {
			dst[at+i] = ' '
		}
	}
	return append(dst, "\r\n"...)
}

// bytesOf returns s as bytes without copying it; they are not written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
