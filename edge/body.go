package edge

import (
	"errors"
	"io"

	"github.com/penstock-edge/penstock/edge/lib/splice"
)

// Body is the body of a request or of an answer. It is one interface, so that nobody probes a body for what
// else it can do: a body that wraps another answers for all of it. A body that is its own source embeds
// Opaque, one that wraps another embeds Wrapper.
//
//nolint:interfacebloat // see above: a wrapper loses small interfaces in silence
type Body interface {
	// Read implements io.Reader. It returns io.EOF only when the framing was seen to end.
	Read(p []byte) (int, error)
	// Close implements io.Closer: the body is not read any more.
	Close() error
	// Ready reports whether Read would not block, as far as the body knows.
	Ready() bool
	// Whole returns the complete body without consuming it, or false. Peers send such a body together with the
	// head, and can send it again.
	Whole() ([]byte, bool)
	// Piece returns the next bytes where they are in memory, so that sending them on needs no copy; they are
	// valid until the next call. It returns io.EOF after the last ones. With wait it waits for them as Read
	// does; without, it returns ErrWait when it would have to. It returns ErrNoPiece, and always does for
	// this body, when the bytes have to be read.
	Piece(wait bool) ([]byte, error)
	// Splice moves up to limit bytes of the body into the empty pipe p, waiting for the first as Read does.
	// It returns io.EOF with the last bytes of the body. It returns ErrNoSplice before moving anything when
	// bytes must be copied: they are in a buffer already, or encrypted.
	Splice(p *splice.Pipe, limit int64) (int, error)
	// Rewind makes the next Read return the first bytes again; false: they are gone.
	Rewind() bool
	// Gather returns when the body is in memory, or as much of it as a client must have sent before it may
	// occupy a connection of an upstream.
	Gather() *Fault
	// Trailer returns checked lines "Name: value\r\n"… after the body's io.EOF; empty when there are none.
	Trailer() []byte
}

var (
	// ErrWait is returned by Body.Piece in a loop, which may not wait: the next bytes have to come from
	// somewhere else first.
	ErrWait = errors.New("body has to be waited for")
	// ErrNoPiece is returned by Body.Piece when the bytes must be read.
	ErrNoPiece = errors.New("body is not in memory in pieces")
	// ErrNoSplice is returned by Body.Splice when the bytes must be copied.
	ErrNoSplice = errors.New("body cannot be spliced")
)

// Opaque is the base of bodies that are their own source: it can be read, and no more.
type Opaque struct{}

// Close implements Body.
func (Opaque) Close() error { return nil }

// Ready implements Body.
func (Opaque) Ready() bool { return true }

// Whole implements Body.
func (Opaque) Whole() ([]byte, bool) { return nil, false }

// Piece implements Body.
func (Opaque) Piece(bool) ([]byte, error) { return nil, ErrNoPiece }

// Splice implements Body.
func (Opaque) Splice(*splice.Pipe, int64) (int, error) { return 0, ErrNoSplice }

// Rewind implements Body.
func (Opaque) Rewind() bool { return false }

// Gather implements Body.
func (Opaque) Gather() *Fault { return nil }

// Trailer implements Body.
func (Opaque) Trailer() []byte { return nil }

// Wrapper is the base of bodies that wrap another one, In. A type that embeds it implements Read. Questions
// about the body are passed on to In; whatever would hand out bytes past Read is refused. Both are right
// unless the wrapper knows better.
type Wrapper struct{ In Body }

// Close implements Body.
func (w Wrapper) Close() error { return w.In.Close() }

// Ready implements Body.
func (w Wrapper) Ready() bool { return w.In.Ready() }

// Gather implements Body.
func (w Wrapper) Gather() *Fault { return w.In.Gather() }

// Trailer implements Body.
func (w Wrapper) Trailer() []byte { return w.In.Trailer() }

// Whole implements Body.
func (Wrapper) Whole() ([]byte, bool) { return nil, false }

// Piece implements Body.
func (Wrapper) Piece(bool) ([]byte, error) { return nil, ErrNoPiece }

// Splice implements Body.
func (Wrapper) Splice(*splice.Pipe, int64) (int, error) { return 0, ErrNoSplice }

// Rewind implements Body.
func (Wrapper) Rewind() bool { return false }

// BytesBody is a body in memory. The zero value is an empty body.
type BytesBody struct {
	Opaque
	b   []byte
	off int
}

// NewBytesBody returns a body that reads b.
func NewBytesBody(b []byte) *BytesBody { return &BytesBody{b: b} }

// Read implements Body.
func (b *BytesBody) Read(p []byte) (int, error) {
	if b.off == len(b.b) {
		return 0, io.EOF
	}
	n := copy(p, b.b[b.off:])
	b.off += n
	return n, nil
}

// Close implements Body; the body can be read again from its start.
func (b *BytesBody) Close() error {
	b.off = 0
	return nil
}

// Whole implements Body: such a body is always in memory.
func (b *BytesBody) Whole() ([]byte, bool) { return b.b, b.off == 0 }

// Rewind implements Body.
func (b *BytesBody) Rewind() bool {
	b.off = 0
	return true
}

// ReaderBody is a body that is read from R.
type ReaderBody struct {
	Opaque
	R io.Reader
}

// Read implements Body.
func (b ReaderBody) Read(p []byte) (int, error) { return b.R.Read(p) }

// WholeIn returns the body of the request when there is none or it is entirely in memory.
func (x *Exchange) WholeIn() (body []byte, ok bool) {
	if x.In == nil {
		return nil, true
	}
	return x.In.Whole()
}

// Replayable reports whether the request can be sent again: no body, one that nobody has read yet, one that
// is still whole in memory, or one that remembers what was read. No attempt may be under way.
func (x *Exchange) Replayable() bool {
	if x.In == nil || !x.Uploading && x.InBytes == 0 {
		return true
	}
	_, whole := x.In.Whole()
	return whole || x.In.Rewind()
}
