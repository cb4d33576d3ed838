package header

import (
	"bufio"
	"bytes"
)

// Reader is a head that can be read from text; those of fasthttp can.
type Reader interface {
	Read(r *bufio.Reader) error
}

// Text is a head as text. fasthttp's own way to remove fields changes the order of repeated other ones, which
// has a meaning (RFC 9110 section 5.3): to keep it, a head is written as text and read again without the
// lines that are to go. The zero value is ready; use it again to use its memory again.
type Text struct {
	// Bytes are the start line and the fields, each with CRLF at its end, and an empty line. Names are
	// canonical and one ": " stands behind them, as fasthttp writes it.
	Bytes []byte

	thinned []byte
	src     bytes.Reader
	rd      *bufio.Reader
}

const (
	smallText = 4 << 10
	largeText = 64 << 10
)

var (
	crlf       = []byte("\r\n")
	colonSpace = []byte(": ")
)

// IsLarge tells that t holds more memory than is good to keep for another head.
func (t *Text) IsLarge() bool {
	return cap(t.Bytes) > largeText || cap(t.thinned) > largeText || t.rd != nil && t.rd.Size() > largeText
}

// Fields returns the text behind the start line, for NextField.
func (t *Text) Fields() []byte {
	_, fields, _ := bytes.Cut(t.Bytes, crlf)
	return fields
}

// NextField cuts the first field off fields; the name is empty when none is left.
func NextField(fields []byte) (name, value, rest []byte) {
	line, rest, _ := bytes.Cut(fields, crlf)
	name, value, _ = bytes.Cut(line, colonSpace)
	return name, value, rest
}

// ReadWithout reads t into h without the lines of the fields that drop names. The order of what stays does
// not change. The error is that of h, which is then in the state that a failed Read leaves it in.
func (t *Text) ReadWithout(h Reader, drop func(name []byte) bool) error {
	fields := t.Fields()
	t.thinned = append(t.thinned[:0], t.Bytes[:len(t.Bytes)-len(fields)]...)
	for {
		name, _, rest := NextField(fields)
		if len(name) == 0 {
			break
		}
		if !drop(name) {
			t.thinned = append(t.thinned, fields[:len(fields)-len(rest)]...)
		}
		fields = rest
	}
	return t.read(h)
}

// ReadFields reads the start line of t with other fields into h.
func (t *Text) ReadFields(h Reader, fields []byte) error {
	t.thinned = append(t.thinned[:0], t.Bytes[:len(t.Bytes)-len(t.Fields())]...)
	t.thinned = append(t.thinned, fields...)
	return t.read(h)
}

func (t *Text) read(h Reader) error {
	t.thinned = append(t.thinned, crlf...)
	if t.rd == nil || t.rd.Size() < len(t.thinned) {
		t.rd = bufio.NewReaderSize(nil, max(smallText, len(t.thinned)))
	}
	t.src.Reset(t.thinned)
	t.rd.Reset(&t.src)
	return h.Read(t.rd)
}
