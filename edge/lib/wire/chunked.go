package wire

import (
	"bytes"
	"errors"
	"io"
	"strconv"
)

// Limits on what a chunked body may hold beside its data.
const (
	maxSizeDigits     = 15      // of a chunk size: below 2^60
	maxChunkExtension = 256     // bytes of extensions of one chunk
	maxExtensions     = 4 << 10 // bytes of extensions of one body
)

// directRead is from how many bytes on chunk data is read into the caller's memory, past the buffer.
const directRead = 4 << 10

// keepTrailer is how much memory for trailers outlives a Reset.
const keepTrailer = 1 << 10

type chunkState uint8

const (
	atSize    chunkState = iota // the line with a chunk's size comes next
	inData                      // left bytes of a chunk are to come
	atDataEnd                   // the CRLF behind a chunk comes next
	inTrailer                   // a trailer line or the final CRLF comes next
	atEnd                       // all has been read
)

// Chunked reads a chunked body (RFC 9112 section 7.1), strictly: CRLF line ends only, extensions checked,
// bounded and dropped. Zero value usable after Reset. One goroutine at a time.
type Chunked struct {
	r       *Reader
	err     error // sticky: io.EOF, io.ErrUnexpectedEOF or a *Violation
	left    int64 // bytes of the current chunk not yet read
	state   chunkState
	answer  bool   // a target has sent it, not a client
	ext     int    // bytes of extensions so far
	fields  int    // trailer lines so far
	room    int    // bytes the trailer section may still have
	trailer []byte // lines kept
}

// Reset makes c read a body from r, which stands on its first chunk size. The trailer section may have
// maxTrailerBytes bytes.
func (c *Chunked) Reset(r *Reader, maxTrailerBytes int) {
	trailer := c.trailer[:0]
	if cap(trailer) > keepTrailer {
		trailer = nil
	}
	*c = Chunked{r: r, room: maxTrailerBytes, trailer: trailer}
}

// ResetAnswer is Reset for the body of an answer. White space may end its size lines, and trailers that may
// not stand there are dropped: whoever sends the body on frames it anew.
func (c *Chunked) ResetAnswer(r *Reader, maxTrailerBytes int) {
	c.Reset(r, maxTrailerBytes)
	c.answer = true
}

// Done reports whether the whole body was read, its trailer section and final CRLF included. What r has
// buffered then belongs to the next message.
func (c *Chunked) Done() bool { return c.state == atEnd }

// Ready reports whether Read would return at once: data has come, the body has ended, or it is broken.
func (c *Chunked) Ready() bool {
	for c.err == nil && c.state != inData && c.step() {
		continue // a line of the framing was there
	}
	return c.err != nil || c.state == inData && len(c.r.Buffered()) > 0
}

// Trailer returns the trailer fields as lines "Name: value\r\n", checked; empty when there are none or
// Done is false. Names with "_" are left out, and fields that belong in a head. Valid until Reset.
func (c *Chunked) Trailer() []byte {
	if !c.Done() {
		return nil
	}
	return c.trailer
}

// Read reads body data into p, of as many chunks as have come; it waits only while it has none. It is
// io.EOF only after the last chunk, the trailer section and its final CRLF: a connection that closes
// before is io.ErrUnexpectedEOF, and what breaks the syntax is a *Violation. After other errors of the
// source, such as a deadline, Read may go on.
func (c *Chunked) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && c.err == nil {
		if c.state == inData && (len(c.r.Buffered()) > 0 || n == 0) {
			k, err := c.readData(p[n:])
			if err != nil {
				return 0, err // n is 0: with bytes buffered nothing fails
			}
			n += k
			continue
		}
		if c.state != inData && c.step() {
			continue
		}
		if n > 0 {
			return n, nil
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, c.err
}

// readData reads data of the current chunk into p; 0 bytes and no error mean that the buffer was filled.
func (c *Chunked) readData(p []byte) (int, error) {
	want := int(min(int64(len(p)), c.left))
	if len(c.r.Buffered()) == 0 && want < directRead {
		return 0, c.fill()
	}
	n, err := c.r.Read(p[:want])
	c.left -= int64(n)
	if c.left == 0 {
		c.state = atDataEnd
	}
	if n > 0 {
		return n, nil // an error will come again
	}
	return 0, c.cut(err)
}

// fill waits for more bytes.
func (c *Chunked) fill() error {
	_, err := c.r.Fill()
	if errors.Is(err, ErrFull) { // only lines can grow that long
		return c.fail(c.tooLong())
	}
	return c.cut(err)
}

// cut makes an end of the source before the end of the body what it is.
func (c *Chunked) cut(err error) error {
	if errors.Is(err, io.EOF) {
		c.err = io.ErrUnexpectedEOF
		return c.err
	}
	return err
}

func (c *Chunked) tooLong() fault {
	if c.state == inTrailer {
		return faultTrailerSize
	}
	return faultChunkSize
}

func (c *Chunked) fail(bad fault) error {
	c.err = &requestFaults[bad]
	if c.answer {
		c.err = &responseFaults[bad]
	}
	return c.err
}

// step reads one line of the framing; false means that it has not come whole.
func (c *Chunked) step() bool {
	b := c.r.Buffered()
	if len(b) == 0 {
		return false
	}
	var n int
	var bad fault
	switch c.state {
	case atSize:
		n, bad = c.takeSize(b)
	case atDataEnd:
		if n, bad = takeCRLF(b, faultChunkEnd); n > 0 {
			c.state = atSize
		}
	default:
		n, bad = c.takeTrailer(b)
	}
	if bad != faultNone {
		_ = c.fail(bad) // Read returns it
		return true
	}
	c.r.Discard(n)
	return n > 0
}

// takeCRLF reads CRLF at the start of b: 2, or 0 while only its CR has come.
func takeCRLF(b []byte, otherwise fault) (int, fault) {
	switch {
	case b[0] != '\r' || len(b) > 1 && b[1] != '\n':
		return 0, otherwise
	case len(b) == 1:
		return 0, faultNone
	}
	return 2, faultNone
}

// takeSize reads chunk-size [ chunk-ext ] CRLF and returns its length, 0 while it has not come whole.
func (c *Chunked) takeSize(b []byte) (int, fault) {
	var size int64
	at := 0
	for at < len(b) && class[b[at]]&inHex != 0 {
		if at == maxSizeDigits {
			return 0, faultChunkSize
		}
		size = size<<4 | hexValue(b[at])
		at++
	}
	if at == len(b) {
		return 0, faultNone
	}
	if at == 0 {
		return 0, faultChunkSize
	}
	ext, whole, bad := extensions(b[at:], c.answer)
	switch {
	case bad != faultNone:
		return 0, bad
	case ext > maxChunkExtension || c.ext+ext > maxExtensions:
		return 0, faultChunkExtension
	case !whole:
		return 0, faultNone
	}
	at += ext
	n, bad := takeCRLF(b[at:], sizeLineFault(ext > 0))
	if n == 0 {
		return 0, bad
	}
	c.ext += ext
	c.left, c.state = size, inData
	if size == 0 {
		c.state = inTrailer
	}
	return at + n, faultNone
}

func hexValue(c byte) int64 {
	if isDigit(c) {
		return int64(c - '0')
	}
	return int64(c|0x20-'a') + 10
}

// takeTrailer reads a trailer line or the final CRLF and returns its length, 0 while it has not come
// whole (RFC 9112 section 7.1.2).
func (c *Chunked) takeTrailer(b []byte) (int, fault) {
	if b[0] == '\r' {
		n, bad := takeCRLF(b, faultBareCR)
		if n > 0 {
			c.state, c.err = atEnd, io.EOF
		}
		return n, bad
	}
	end := bytes.IndexByte(b, '\n') + 1
	if end > c.room || end == 0 && len(b) > c.room {
		return 0, faultTrailerSize
	}
	if end == 0 {
		return 0, faultNone
	}
	if c.fields == MaxFields {
		return 0, faultTooMany
	}
	var f field
	if bad := f.scan(b[:end], 0); bad != faultNone {
		return 0, bad
	}
	var room [longestName]byte
	low := lowerInto(&room, f.name(b))
	if !c.answer && decides(low) {
		return 0, faultTrailer
	}
	c.fields++
	c.room -= end
	if !f.underscore && !forbiddenInTrailer(low) {
		c.keep(f.name(b), f.value(b))
	}
	return end, faultNone
}

func (c *Chunked) keep(name, value []byte) {
	c.trailer = append(c.trailer, name...)
	c.trailer = append(c.trailer, ": "...)
	c.trailer = append(c.trailer, value...)
	c.trailer = append(c.trailer, crlf...)
}

// AppendChunkHeader appends the size line of a chunk of n bytes. With n 0 it is the line of the last
// chunk, which the trailer section must follow. n below 0 is a bug.
func AppendChunkHeader(dst []byte, n int) []byte {
	if n < 0 {
		panic("BUG: chunk of negative size")
	}
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, crlf...)
}
