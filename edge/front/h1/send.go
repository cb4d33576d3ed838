package h1

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/splice"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

var clientTooSlow = &edge.Fault{Status: 499, Side: edge.SideClient, Code: "client_too_slow", Close: true,
	Detail: "The client took the answer below the minimum rate."}

// Send implements edge.Sender: the answer leaves as head and body in as few writes as it can.
func (r *request) Send(x *edge.Exchange, wait bool) (edge.Outcome, *edge.Fault) {
	switch {
	case !wait:
		return r.trySend(x)
	case r.tried:
		return edge.Ended, r.sendRest(x)
	}
	return edge.Ended, r.send(x)
}

// send sends the answer, waiting for the client.
func (r *request) send(x *edge.Exchange) *edge.Fault {
	c := r.c
	c.sendMu.Lock()
	r.begun = true
	c.sendMu.Unlock()
	if x.Tunnel != nil {
		return c.runTunnel(r)
	}
	if c.Listener.Draining() || !r.in.reusable() {
		x.Close = true
	}
	framing := r.head(x)
	switch framing {
	case noBody:
		return c.sendFault(x, c.Write(r.out), nil)
	case chunked:
		return r.sendChunked(x)
	}
	if b, ok := x.Out.Whole(); ok {
		return r.sendWhole(x, b)
	}
	first, err := piece(x, false)
	if errors.Is(err, edge.ErrNoPiece) {
		return r.sendStream(x, framing == untilClose)
	}
	return r.sendPieces(x, first, err, framing == untilClose)
}

// trySend is send without waiting, for an answer and a request body that are in memory.
func (r *request) trySend(x *edge.Exchange) (edge.Outcome, *edge.Fault) {
	c := r.c
	if x.Tunnel != nil || x.OutLen < 0 || !r.in.complete() {
		return edge.Blocked, nil
	}
	body, more, fit := atHand(x)
	if !fit {
		return edge.Blocked, nil
	}
	r.begun, r.tried = true, true // no other goroutine can be sending
	if c.Listener.Draining() {
		x.Close = true
	}
	if r.head(x) == noBody {
		body, more = nil, false
	}
	if r.more = more; more {
		return r.tryPieces(x, body)
	}
	x.OutBytes = int64(len(body))
	if len(body) <= joinMax {
		r.out = append(r.out, body...)
		body = nil
	}
	all, err := r.tryWrite(r.out, body)
	return endedIf(all || err != nil), c.sendFault(x, err, nil)
}

// endedIf returns the outcome of sending without waiting: Ended if all was sent.
func endedIf(all bool) edge.Outcome {
	if all {
		return edge.Ended
	}
	return edge.Blocked
}

// loopShare is how many bytes a loop sends on one connection before it serves the others: some hundred
// microseconds. A goroutine sends the rest.
const loopShare = 1 << 20

// requestShare is what a request counts for besides the bytes of its answer, so that a turn has at most 64.
const requestShare = 16 << 10

// joinMax is the size up to which copying a body behind its head is cheaper than a vectored write.
const joinMax = 2 << 10

// atHand returns what a loop may send of the body of x: all of it, or its first piece when there is more. ok
// reports whether a loop may send it at all.
func atHand(x *edge.Exchange) (b []byte, more, ok bool) {
	if x.Out == nil {
		return nil, false, true
	}
	if b, ok = x.Out.Whole(); ok {
		return b, false, len(b) <= loopShare
	}
	if x.OutLen == 0 {
		return nil, false, false
	}
	b, err := piece(x, false)
	return b, true, err == nil
}

// tryPieces sends the head in r.out, first, and the pieces that follow, as long as none has to be waited for.
func (r *request) tryPieces(x *edge.Exchange, first []byte) (edge.Outcome, *edge.Fault) {
	c := r.c
	all, err := r.tryWrite(r.out, first)
	for err == nil && all && x.OutBytes <= loopShare {
		next, berr := piece(x, false)
		if errors.Is(berr, edge.ErrWait) {
			return edge.Blocked, nil
		}
		if berr != nil {
			return edge.Ended, c.sendFault(x, nil, berr)
		}
		all, err = r.tryWrite(nil, next)
	}
	return endedIf(err != nil), c.sendFault(x, err, nil)
}

// piece returns the next piece of the body of x.
func piece(x *edge.Exchange, wait bool) ([]byte, error) {
	b, err := x.Out.Piece(wait)
	if errors.Is(err, io.EOF) && x.OutLen >= 0 && x.OutBytes != x.OutLen {
		err = edge.UpstreamTruncated // a filter changed the length and not the body
	}
	x.OutBytes += int64(len(b))
	return b, err
}

// tryWrite writes what the socket takes and leaves the rest to sendRest.
func (r *request) tryWrite(head, body []byte) (all bool, err error) {
	c := r.c
	n, err := c.TryWriteBoth(head, body)
	ofHead := min(n, len(head))
	r.rest = [2][]byte{head[ofHead:], body[n-ofHead:]}
	return n == len(head)+len(body), err
}

// sendRest continues where trySend stopped.
func (r *request) sendRest(x *edge.Exchange) *edge.Fault {
	for _, b := range r.rest {
		if len(b) == 0 {
			continue
		}
		if err := r.c.Write(b); err != nil {
			return r.c.sendFault(x, err, nil)
		}
	}
	if !r.more {
		return nil
	}
	return r.sendOtherPieces(x, false)
}

type framing uint8

const (
	noBody framing = iota
	byLength
	chunked
	untilClose
)

// head writes the answer's head into r.out and decides how the body is framed (RFC 9112 6).
func (r *request) head(x *edge.Exchange) framing {
	status := x.Status()
	f := byLength
	switch {
	case bytes.Equal(x.Method, methodHead) || status == 204 || status == 304:
		f = noBody
	case x.Out == nil:
		f = noBody
		x.OutLen = max(x.OutLen, 0)
	case x.OutLen < 0 && x.Minor == 0:
		f = untilClose
		x.Close = true
	case x.OutLen < 0:
		f = chunked
	}
	r.out = append(appendStatus(r.begin(), status, x.Reason()), x.Resp.Lines()...)
	if !x.Resp.Has("Date") {
		r.out = append(r.out, "Date: "...)
		r.out = append(r.out, r.c.p.clock.HTTPDateAt(x.Times.First)...)
		r.out = append(r.out, "\r\n"...)
	}
	r.out = appendFraming(r.out, x, f, status)
	return f
}

// begin returns r.out with nothing but the interim answers that go ahead of the final one.
func (r *request) begin() []byte {
	out := append(r.out[:0], r.early...)
	r.early = r.early[:0]
	return out
}

var methodHead = []byte("HEAD")

// appendFraming appends the fields that belong to this connection, and the end of the head.
func appendFraming(dst []byte, x *edge.Exchange, f framing, status int) []byte {
	switch {
	case f == chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case x.OutLen >= 0 && status != 204 && (status != 304 || x.OutLen > 0):
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, x.OutLen, 10)
		dst = append(dst, "\r\n"...)
	}
	upgrade := status == 426 && x.Minor == 1 && hasUpgrade(dst)
	switch {
	case upgrade && x.Close:
		dst = append(dst, "Connection: close, Upgrade\r\n"...)
	case upgrade:
		dst = append(dst, "Connection: Upgrade\r\n"...)
	case x.Close:
		dst = append(dst, "Connection: close\r\n"...)
	case x.Minor == 0:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// hasUpgrade reports whether a head has an Upgrade field, which Connection must then name (RFC 9110 7.8).
// Only a 426 keeps that of the target, which says what it wants; a 101 has its own.
func hasUpgrade(head []byte) bool {
	for line := range bytes.Lines(head) {
		if name, _, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Upgrade")) {
			return true
		}
	}
	return false
}

func appendStatus(dst []byte, status int, reason []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	if len(reason) > 0 {
		dst = append(dst, reason...)
	} else {
		dst = append(dst, fasthttp.StatusMessage(status)...)
	}
	return append(dst, "\r\n"...)
}

// sendWhole sends a body in memory together with the head.
func (r *request) sendWhole(x *edge.Exchange, b []byte) *edge.Fault {
	c := r.c
	x.OutBytes = int64(len(b))
	if len(r.out)+len(b) <= client.BufferSize || !c.Plain() {
		r.out = append(r.out, b...)
		return c.sendFault(x, c.Write(r.out), nil)
	}
	err := c.Write(r.out)
	if err == nil {
		err = c.Write(b)
	}
	return c.sendFault(x, err, nil)
}

// sendStream sends a body of known length, or one that ends when the connection closes.
func (r *request) sendStream(x *edge.Exchange, cutByReset bool) *edge.Fault {
	c := r.c
	buf := r.out
	if !x.Out.Ready() { // the head must not wait for the body
		if err := c.Write(buf); err != nil {
			return c.sendFault(x, err, nil)
		}
		buf = buf[:0]
	}
	for {
		if len(buf) == 0 && x.OutLen-x.OutBytes >= spliceMin {
			if moved, f := r.splice(x); moved {
				return f
			}
		}
		room := r.room(buf)
		n, err := x.Out.Read(room)
		buf = r.out[:len(buf)+n]
		x.OutBytes += int64(n)
		if errors.Is(err, io.EOF) && x.OutLen >= 0 && x.OutBytes != x.OutLen {
			err = edge.UpstreamTruncated // a filter changed the body and not its length
		}
		if len(buf) > 0 {
			if werr := c.Write(buf); werr != nil {
				return c.sendFault(x, werr, nil)
			}
		}
		if err != nil {
			return r.cut(x, nil, err, cutByReset)
		}
		buf = r.out[:0]
	}
}

// sendPieces sends the head in r.out and a body in pieces. first and err are its first piece, which leaves
// with the head.
func (r *request) sendPieces(x *edge.Exchange, first []byte, err error, cutByReset bool) *edge.Fault {
	c := r.c
	if err != nil && !errors.Is(err, edge.ErrWait) {
		return r.cut(x, c.Write(r.out), err, cutByReset)
	}
	if c.Plain() {
		_, err = r.tryWrite(r.out, first)
	} else {
		r.rest, err = [2][]byte{r.out, first}, nil
	}
	for _, b := range r.rest {
		if err == nil && len(b) > 0 {
			err = c.Write(b)
		}
	}
	r.rest = [2][]byte{}
	if err != nil {
		return c.sendFault(x, err, nil)
	}
	return r.sendOtherPieces(x, cutByReset)
}

// sendOtherPieces sends the pieces of the body that are left.
func (r *request) sendOtherPieces(x *edge.Exchange, cutByReset bool) *edge.Fault {
	c := r.c
	for {
		b, err := piece(x, true)
		if err != nil {
			return r.cut(x, nil, err, cutByReset)
		}
		if err := c.Write(b); err != nil {
			return c.sendFault(x, err, nil)
		}
	}
}

// cut ends an answer whose body has ended or has broken off. With byReset, one that has broken off is ended
// by a reset, as its client would else take it for whole.
func (r *request) cut(x *edge.Exchange, werr, berr error, byReset bool) *edge.Fault {
	if byReset && !errors.Is(berr, io.EOF) {
		r.c.ending = client.Reset
	}
	return r.c.sendFault(x, werr, berr)
}

// room returns where the next part of a body goes: behind the contents of buf.
func (r *request) room(buf []byte) []byte {
	if cap(r.out)-len(buf) < client.BufferSize/2 {
		grown := make([]byte, len(buf), len(buf)+client.BufferSize)
		copy(grown, buf)
		r.out = grown
	}
	r.out = r.out[:cap(r.out)]
	return r.out[len(buf):]
}

// spliceMin is the size from which moving bytes from socket to socket is cheaper than copying them.
const spliceMin = 64 << 10

// splice moves the rest of the body without copying it; moved is false when it cannot be done.
func (r *request) splice(x *edge.Exchange) (moved bool, f *edge.Fault) {
	c := r.c
	if !c.Plain() {
		return false, nil
	}
	p, err := splice.Acquire()
	if err != nil {
		return false, nil // out of descriptors: copying needs none
	}
	defer p.Release()
	for {
		_, err := x.Out.Splice(p, x.OutLen-x.OutBytes)
		if errors.Is(err, edge.ErrNoSplice) {
			return moved, nil
		}
		moved = true
		if werr := c.DrainPipe(p, &x.OutBytes); werr != nil {
			return true, c.sendFault(x, werr, nil)
		}
		if err != nil {
			return true, c.sendFault(x, nil, err)
		}
	}
}

// sendChunked sends a body of unknown length to an HTTP/1.1 client, one chunk for each read, and the
// trailers.
func (r *request) sendChunked(x *edge.Exchange) *edge.Fault {
	c := r.c
	buf := r.out
	if !x.Out.Ready() { // the head must not wait for the body
		if err := c.Write(buf); err != nil {
			return c.sendFault(x, err, nil)
		}
		buf = buf[:0]
	}
	for {
		start := len(buf)
		room := r.room(buf)
		n, err := x.Out.Read(room[chunkHead : len(room)-chunkTail])
		x.OutBytes += int64(n)
		buf = r.out[:start]
		if n > 0 {
			buf = appendChunk(buf, room[chunkHead:chunkHead+n])
		}
		if errors.Is(err, io.EOF) {
			buf = append(buf, "0\r\n"...)
			buf = append(buf, trailer(x)...)
			buf = append(buf, "\r\n"...)
		}
		if len(buf) > 0 {
			if werr := c.Write(buf); werr != nil {
				return c.sendFault(x, werr, nil)
			}
		}
		if err != nil {
			return c.sendFault(x, nil, err)
		}
		buf = r.out[:0]
	}
}

// Room kept around a chunk's data for its size line, and for CRLF and the last chunk.
const (
	chunkHead = 10
	chunkTail = 8
)

// appendChunk frames data, which lies chunkHead bytes behind dst's end in the same array.
func appendChunk(dst, data []byte) []byte {
	dst = wire.AppendChunkHeader(dst, len(data))
	dst = append(dst, data...) // moves the data by a few bytes; the regions may overlap
	return append(dst, "\r\n"...)
}

// trailer returns the trailer lines of the answer, or none if the client has said that it does not accept
// them. Any client that reads chunks can at least skip them (RFC 9112 7.1.2).
func trailer(x *edge.Exchange) []byte {
	if x.NoTrailers {
		return nil
	}
	return x.Out.Trailer()
}

// sendFault returns the fault of an answer that was not sent whole, or nil. werr is the error of the client's
// side, berr that of the body.
func (c *conn) sendFault(x *edge.Exchange, werr, berr error) *edge.Fault {
	if werr == nil && (berr == nil || errors.Is(berr, io.EOF)) {
		return nil
	}
	f := c.faultOf(x, werr, berr)
	c.aborted.Store(true)
	if f.Side == edge.SideClient {
		c.ending = client.Reset // the client cannot be reached any more
	}
	return f
}

// faultOf returns the fault that stands for werr and berr, of which one is set.
func (c *conn) faultOf(x *edge.Exchange, werr, berr error) *edge.Fault {
	var f *edge.Fault
	switch {
	case errors.As(berr, &f):
		return f
	case berr != nil:
		x.Cause = berr
		return edge.UpstreamTruncated
	case errors.Is(werr, os.ErrDeadlineExceeded):
		return clientTooSlow
	}
	x.Cause = werr
	return edge.ClientGone
}
