package entry

import (
	"bytes"
	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// AppendCodedKey appends to a whole key what makes it that of an encoded form.
func AppendCodedKey(key []byte, one *accept.Coding) []byte {
	return append(append(key, 3), one.Name...)
}

// Coded returns the entry of an encoded form, whose whole key is text, of what has the entry e.
func Coded(e *Entry, text []byte, one *accept.Coding) *Entry {
	form := *e
	form.Key, form.Flags = text, e.Flags&^Encodes
	form.Lines = codedLines(e.Lines, one.Name)
	form.ETag = nil
	if tag, _ := CutField(nil, form.Lines, "etag"); tag != nil {
		_, value, _ := bytes.Cut(tag, []byte{':'})
		form.ETag = bytes.TrimSpace(value)
	}
	return &form
}

// ofBytes are the fields about the bytes of a body that an encoded form does not have.
var ofBytes = []string{"content-md5", "digest", "content-digest", "repr-digest"}

// codedLines returns the lines of an encoded form: what is about the bytes of the body is another, or gone.
func codedLines(lines []byte, name string) (out []byte) {
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n') + 1
		line := lines[:end]
		lines = lines[end:]
		field, value, _ := bytes.Cut(line, []byte{':'})
		switch {
		case isOneOf(field, ofBytes):
			continue
		case header.SameName(field, "etag"):
			if value = bytes.TrimSpace(value); !bytes.HasPrefix(value, []byte("W/")) {
				out = append(append(append(out, "ETag: W/"...), value...), "\r\n"...)
				continue
			}
		}
		out = append(out, line...)
	}
	return append(append(append(out, "Content-Encoding: "...), name...), "\r\n"...)
}
