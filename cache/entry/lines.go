package entry

import (
	"bytes"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"strconv"
)

// inNotModified are the fields that a 304 has (RFC 9110 section 15.4.5).
var inNotModified = []string{"cache-control", "content-location", "date", "etag", "expires", "vary",
	"last-modified"}

// isOneOf reports whether a field has one of the names in a list, which are in lower case.
func isOneOf(field []byte, list []string) bool {
	for _, name := range list {
		if header.SameName(field, name) {
			return true
		}
	}
	return false
}

// AppendNotModified appends those of lines that a 304 has.
func AppendNotModified(dst, lines []byte) []byte {
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n') + 1
		name, _, _ := bytes.Cut(lines[:end], []byte{':'})
		if isOneOf(name, inNotModified) {
			dst = append(dst, lines[:end]...)
		}
		lines = lines[end:]
	}
	return dst
}

// CutField returns the line of a field, and appends all other lines to dst.
func CutField(dst, lines []byte, name string) (line, rest []byte) {
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n') + 1
		if field, _, _ := bytes.Cut(lines[:end], []byte{':'}); header.SameName(field, name) {
			line = lines[:end]
		} else {
			dst = append(dst, lines[:end]...)
		}
		lines = lines[end:]
	}
	return line, dst
}

// Merge replaces lines by those of a 304, but what is about the bytes of the body stays (RFC 9111 section
// 3.2).
func Merge(old, lines []byte) []byte {
	out := bytes.Clone(old)
	var added []byte
	for rest := lines; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		line := rest[:end]
		rest = rest[end:]
		name, _, _ := bytes.Cut(line, []byte{':'})
		switch name = bytes.ToLower(name); string(name) {
		case "content-length", "content-encoding", "content-range":
		default:
			_, out = CutField(nil, out, string(name))
			added = append(added, line...)
		}
	}
	return append(out, added...)
}

// AppendContentRange appends the value of Content-Range for a part of a body of a length.
func AppendContentRange(dst []byte, s fresh.Span, length int64) []byte {
	dst = strconv.AppendInt(append(dst, "bytes "...), s.From, 10)
	dst = strconv.AppendInt(append(dst, '-'), s.To-1, 10)
	return strconv.AppendInt(append(dst, '/'), length, 10)
}
