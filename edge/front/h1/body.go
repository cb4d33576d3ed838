package h1

import (
	"errors"
	"io"
	"os"
	"sync/atomic"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/splice"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// requestBody is the body of the request being served, read from the connection's buffer. A goroutine other
// than the connection's may read it, but never two at once.
type requestBody struct {
	edge.Opaque
	c       *conn
	x       *edge.Exchange
	left    int64 // bytes still to come; -1: chunked
	chunks  wire.Chunked
	expect  bool // the client waits for 100 before it sends
	seen    int64
	ended   atomic.Bool // the framing was seen to end
	err     error
	trailer []byte

	recvRate client.Rate // at which the client sends
	reading  bool        // the reads of the connection are for the body and subject to recvRate
	until    int64       // when gathering gives up, in clock nanoseconds; 0: never
}

func (b *requestBody) reset(c *conn, length int64, expect bool) {
	b.c, b.x, b.left, b.expect = c, nil, length, expect
	b.seen, b.err, b.trailer = 0, nil, nil
	b.recvRate, b.reading, b.until = client.Rate{}, false, 0
	b.ended.Store(length == 0)
	if length < 0 {
		b.chunks.Reset(&c.br, maxTrailer)
	}
}

// maxTrailer bounds the trailer section of a chunked request, in bytes.
const maxTrailer = 8 << 10

// Read implements edge.Body. Errors other than io.EOF are *edge.Fault values.
func (b *requestBody) Read(p []byte) (int, error) {
	switch {
	case b.ended.Load():
		return 0, io.EOF
	case b.err != nil:
		return 0, b.err
	case b.expect:
		b.expect = false
		if err := b.c.sendContinue(); err != nil {
			return 0, b.fail(err)
		}
	}
	b.reading = true
	n, err := b.pull(p)
	b.reading = false
	b.seen += int64(n)
	b.x.InBytes = b.seen
	if b.seen > b.x.InMax {
		b.err = edge.BodyTooLarge
		return 0, b.err
	}
	switch {
	case errors.Is(err, io.EOF) && b.ended.Load():
		return n, io.EOF
	case err != nil:
		return n, b.fail(err)
	}
	return n, nil
}

// Ready implements edge.Body.
func (b *requestBody) Ready() bool {
	switch {
	case b.ended.Load() || b.err != nil:
		return true
	case b.left < 0:
		return b.chunks.Ready()
	}
	return len(b.c.br.Buffered()) > 0
}

// gatherMost is the length up to which a body must be there before an upstream is asked, in bytes.
const gatherMost = 16 << 10

// Gather implements edge.Body. Clients that send short bodies slowly wait here and not on connections to a
// target, of which there are fewer. Longer bodies are not waited for, as the target may refuse them before
// they are sent, and chunked ones neither, as they may be streams.
func (b *requestBody) Gather() *edge.Fault {
	want := int(b.left)
	if b.left < 0 || b.left > min(gatherMost, b.x.InMax) || len(b.c.br.Buffered()) >= want {
		return nil
	}
	if b.expect && b.x.Plan.ForwardExpect {
		return nil // the upstream decides whether the client is to send it
	}
	if b.expect {
		b.expect = false
		if err := b.c.sendContinue(); err != nil {
			return b.fault(err)
		}
	}
	b.c.br.SetMax(gatherMost)
	b.reading, b.until = true, b.x.Deadline
	defer func() { b.reading, b.until = false, 0 }()
	for len(b.c.br.Buffered()) < want {
		if _, err := b.c.br.Fill(); err != nil {
			f := b.fault(err)
			if f == edge.BodyTooSlow && b.until > 0 && clock.Now() >= b.until {
				f = edge.RequestTimeout
			}
			return f
		}
	}
	return nil
}

// fault is fail for callers that want a *edge.Fault.
func (b *requestBody) fault(err error) *edge.Fault {
	var f *edge.Fault
	errors.As(b.fail(err), &f) // fail returns nothing else
	return f
}

func (b *requestBody) pull(p []byte) (int, error) {
	if b.left < 0 {
		n, err := b.chunks.Read(p)
		if err == nil && b.chunks.Done() {
			err = io.EOF
		}
		if errors.Is(err, io.EOF) {
			b.ended.Store(true)
			b.trailer = b.chunks.Trailer()
		}
		return n, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.c.br.Read(p)
	if b.left -= int64(n); b.left == 0 {
		b.ended.Store(true)
		return n, io.EOF
	}
	return n, err
}

// fail turns a read error into a fault, which names the side that failed.
func (b *requestBody) fail(err error) error {
	var v *wire.Violation
	switch {
	case errors.As(err, &v):
		f := b.x.Refuse(v.Status, edge.SideClient, "bad_body", v.Detail)
		f.Close = true
		b.err = f
	case errors.Is(err, os.ErrDeadlineExceeded) && !b.c.aborted.Load():
		b.err = edge.BodyTooSlow
	default:
		b.err = edge.ClientGone
	}
	return b.err
}

// Close implements edge.Body. The connection drains or cuts what the client still sends.
func (b *requestBody) Close() error { return nil }

// Whole implements edge.Body: a short body of known length is often there together with the head.
func (b *requestBody) Whole() ([]byte, bool) {
	buf := b.c.br.Buffered()
	if b.left < 0 || b.seen > 0 || b.err != nil || int64(len(buf)) < b.left || b.left > b.x.InMax {
		return nil, false
	}
	return buf[:b.left], true
}

// Trailer implements edge.Body.
func (b *requestBody) Trailer() []byte { return b.trailer }

// Splice implements edge.Body for plain bodies of known length.
func (b *requestBody) Splice(p *splice.Pipe, limit int64) (int, error) {
	if !b.c.Plain() || b.left <= 0 || b.expect || b.err != nil || len(b.c.br.Buffered()) > 0 {
		return 0, edge.ErrNoSplice
	}
	n, err := b.fill(p, min(limit, b.left))
	b.seen += int64(n)
	b.x.InBytes = b.seen
	b.left -= int64(n)
	switch {
	case b.seen > b.x.InMax:
		b.err = edge.BodyTooLarge
		return 0, b.err
	case b.left == 0:
		b.ended.Store(true)
		return n, io.EOF
	case err != nil:
		return n, b.fail(err)
	}
	return n, nil
}

// fill moves up to n bytes from the client's socket into p, and enforces the minimum rate.
func (b *requestBody) fill(p *splice.Pipe, n int64) (int, error) {
	c := b.c
	now := clock.Now()
	allowed := b.recvRate.Allowed(c.Settings().MinReceive)
	if allowed <= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	c.moveReadDeadline(now, allowed)
	if c.aborted.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	raw, _ := c.Socket.SyscallConn() // never fails
	moved, err := p.Fill(raw, n)
	b.recvRate.Add(int64(moved), clock.Now()-now)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return moved, err
}

// reusable reports whether the connection can stay open: the body has ended, or the rest of it will be
// drained.
func (b *requestBody) reusable() bool {
	if b.ended.Load() {
		return true
	}
	if b.x.Uploading { // another goroutine reads the body
		return false
	}
	_, whole := b.Whole()
	return whole || (b.err == nil && !b.expect && b.left > 0 && b.left <= drainBytes)
}

// complete reports whether all of the body has been received.
func (b *requestBody) complete() bool {
	if b.ended.Load() {
		return true
	}
	_, whole := b.Whole()
	return whole
}

func (b *requestBody) failed() bool   { return b.err != nil }
func (b *requestBody) finished() bool { return b.ended.Load() && b.err == nil }

// drain reads the unread rest of the body if it has been received or is short. It returns false when the
// connection must end instead. A client that still waits for 100 is not asked to send.
func (b *requestBody) drain() bool {
	if b.ended.Load() {
		return true
	}
	if r, ok := b.Whole(); ok {
		b.c.br.Discard(len(r))
		b.ended.Store(true)
		return true
	}
	if b.expect || b.left > drainBytes {
		return false
	}
	buf := client.AcquireBuffer()
	defer client.ReleaseBuffer(buf)
	for total := 0; total < drainBytes; {
		n, err := b.Read(buf[:])
		total += n
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return false
		}
	}
	return false
}

// drainBytes is how much of an unwanted body is read to keep the connection.
const drainBytes = 64 << 10
