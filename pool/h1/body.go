package h1

import (
	"errors"
	"io"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/splice"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// body is the body of an answer. It ends with io.EOF only when its framing was seen to end; errors are
// *edge.Fault values.
type body struct {
	edge.Opaque
	c      *conn
	left   int64 // bytes to come; see the constants below
	chunks wire.Chunked
	ended  bool
	err    error
}

const (
	leftChunked = -1
	leftClose   = -2
)

// maxTrailer bounds the trailer section of an answer, in bytes.
const maxTrailer = 16 << 10

func (b *body) reset(c *conn, left int64) {
	*b = body{c: c, left: left, chunks: b.chunks, ended: left == 0}
	if left == leftChunked {
		b.chunks.ResetAnswer(&c.br, maxTrailer)
	}
}

// Read implements edge.Body. It returns what is there rather than wait to fill p.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.ended:
		return 0, io.EOF
	case b.left == leftChunked:
		return b.readChunked(p)
	}
	return b.readPlain(p)
}

func (b *body) readPlain(p []byte) (int, error) {
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.c.br.Read(p)
	if b.left > 0 {
		if b.left -= int64(n); b.left == 0 {
			b.ended = true
			return n, io.EOF
		}
	}
	if b.left == leftClose && errors.Is(err, errEnded) {
		b.ended = true
		return n, io.EOF
	}
	if err != nil {
		return n, b.fail(err)
	}
	return n, nil
}

func (b *body) readChunked(p []byte) (int, error) {
	n, err := b.chunks.Read(p)
	switch {
	case errors.Is(err, io.EOF), err == nil && b.chunks.Done():
		b.ended = true
		return n, io.EOF
	case err != nil:
		err = b.fail(err)
	}
	return n, err
}

// fail remembers why the body cannot be complete.
func (b *body) fail(err error) error {
	var v *wire.Violation
	var f *edge.Fault
	switch {
	case errors.As(err, &v):
		b.c.refuse(b.c.a.X, v, b.c.br.Buffered())
		f = edge.UpstreamProtocol
	case !errors.As(err, &f), f.Code == edge.UpstreamReset.Code:
		f = edge.UpstreamTruncated
	}
	b.err = f
	return f
}

// Ready reports whether Read would return at once.
func (b *body) Ready() bool {
	if b.left == leftChunked {
		return b.ended || b.err != nil || b.chunks.Ready()
	}
	return b.ended || b.err != nil || len(b.c.br.Buffered()) > 0
}

// Whole implements edge.Body: a short body of known length has often come together with the head.
func (b *body) Whole() ([]byte, bool) {
	buf := b.c.br.Buffered()
	if b.left <= 0 || b.err != nil || int64(len(buf)) < b.left {
		return nil, false
	}
	return buf[:b.left], true
}

// Close implements edge.Body. A body that is whole in memory is done with; for others Release decides what
// becomes of the connection.
func (b *body) Close() error {
	if rest, ok := b.Whole(); ok {
		b.c.br.Discard(len(rest))
		b.left, b.ended = 0, true
	}
	return nil
}

// Trailer implements edge.Body.
func (b *body) Trailer() []byte {
	if b.left == leftChunked && b.ended {
		return b.chunks.Trailer()
	}
	return nil
}

// Splice implements edge.Body for plain bodies of known length.
func (b *body) Splice(p *splice.Pipe, limit int64) (int, error) {
	c := b.c
	if !c.plain || b.left <= 0 || b.err != nil || len(c.br.Buffered()) > 0 {
		return 0, edge.ErrNoSplice
	}
	c.pipe, c.pipeMax = p, min(limit, b.left)
	n, err := c.wait(nil)
	c.pipe = nil
	if b.left -= int64(n); b.left == 0 {
		b.ended = true
		return n, io.EOF
	}
	if err != nil {
		return n, b.fail(err)
	}
	return n, nil
}
