package h1

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// codec is what sending a head and taking one in needs for a moment.
type codec struct {
	out   []byte // head toward the target
	clean []byte // head of the answer without hop-by-hop fields
	tidy  []byte // the same as it came, but for what was mended
}

var codecs = sync.Pool{New: func() any { return new(codec) }}

// RoundTrip implements transport.Stream.
func (c *conn) RoundTrip(x *edge.Exchange) *edge.Fault {
	if !c.asked {
		if f := c.ready(x); f != nil {
			return f
		}
		c.begin()
		c.sendRequest(x)
	}
	return c.answer(x)
}

// ready opens the connection, if need be, and looks whether the attempt is still wanted then. One that was
// claimed unseen, and is dead or must not serve x, is replaced.
func (c *conn) ready(x *edge.Exchange) *edge.Fault {
	start := clock.Now()
	if c.nc != nil && !c.checked {
		if !x.Fresh && c.trusted(c.a.Settings) && c.speaksFor(x) && c.alive(x) {
			c.reused, c.checked = true, true
		} else {
			c.close()
		}
	}
	x.Times.Connect = 0
	if c.nc == nil {
		f := c.open(x)
		x.Times.Connect = clock.Now() - start
		if f != nil {
			return f
		}
	}
	return c.calledOff(x, start)
}

// calledOff returns why nothing is to be sent any more: another attempt of a race has won, or the client has
// left while the connection was opened, since start. One that has closed its side at once may only have said
// that it sends nothing more.
func (c *conn) calledOff(x *edge.Exchange, start int64) *edge.Fault {
	if x.Conn.Gone() && (c.a.Raced || clock.Now()-start >= int64(firstSlice)) {
		return edge.ClientGone
	}
	return nil
}

// Release implements transport.Stream.
func (c *conn) Release(f *edge.Fault) {
	keep := true
	if c.asked {
		x := c.a.X
		keep = c.finish(f)
		at := x.Times.Done
		if at == 0 {
			at = clock.Now() // another attempt follows
		}
		c.lastUsed.Store(at)
	} else if c.nc != nil && c.lastUsed.Load() == 0 { // opened, and not needed
		c.lastUsed.Store(clock.Now())
	}
	c.a.X, c.asked = nil, false
	c.t.free(c, keep)
}

// answer waits for the head of the answer, which goes into the exchange, and the body into x.Out.
func (c *conn) answer(x *edge.Exchange) *edge.Fault {
	c.looped = false
	if rest := c.unsent; rest != nil {
		c.unsent = nil
		c.sent(x, c.write(rest))
	}
	if f := c.takeHead(x); f != nil {
		return c.blame(f)
	}
	return nil
}

// Start implements transport.Starter.
func (c *conn) Start(x *edge.Exchange) bool {
	if !c.checked {
		return false
	}
	c.begin()
	c.looped = true
	c.sendRequest(x)
	return c.unsent == nil
}

// Receive implements transport.Starter: it is answer for a loop. A short body of known length is waited for
// as long as it comes without a break, so that it leaves with the head.
func (c *conn) Receive(x *edge.Exchange) (edge.Outcome, *edge.Fault) {
	var f *edge.Fault
	for {
		if f = c.takeHead(x); f != errNothing {
			break
		}
		if c.a.Due > 0 && c.now >= c.a.Due {
			return edge.Blocked, nil
		}
		if f = c.overdue(x); f != nil {
			break
		}
		if c.socket.Await() {
			return edge.Pending, nil
		}
	}
	switch f {
	case nil:
		c.gather()
	default:
		f = c.blame(f)
	}
	c.looped = false
	return edge.Ended, f
}

// overdue returns why the answer is not to be waited for any longer, or sets how long it is.
func (c *conn) overdue(x *edge.Exchange) *edge.Fault {
	x.Loop.Watch(c.socket) // before the client is looked at: it may leave in between
	c.unasked(c.now)
	now, limit := c.now, c.limit()
	gone := x.Times.Sent + int64(firstSlice)
	switch {
	case now >= limit:
		return edge.UpstreamTimeout
	case !x.Conn.Gone():
	case now >= gone:
		return edge.ClientGone
	default:
		limit = min(limit, gone)
	}
	switch {
	case c.a.Due > 0 && c.a.Due < limit:
		limit = c.a.Due
	case limit == forever:
		limit = 0
	default:
		limit = poll.Coarse(limit)
	}
	c.socket.SetDue(limit)
	return nil
}

// gather takes in what has come of a body that fits in memory.
func (c *conn) gather() {
	for b := &c.body; b.left > int64(len(c.br.Buffered())) && b.left <= gatherMost && !c.socket.Fresh(); {
		if _, err := c.br.Fill(); err != nil {
			return // the next read says it again, or there is only nothing yet
		}
	}
}

// gatherMost is the length of an answer's body up to which it is sent as a whole, in bytes.
const gatherMost = 32 << 10

// Ready implements poll.Handler.
func (c *conn) Ready() { c.resume() }

// Expired implements poll.Handler.
func (c *conn) Expired() { c.resume() }

func (c *conn) resume() {
	loop := c.socket.Loop()
	c.now = loop.Round()
	c.a.X.Loop.Resume(loop)
}

// Hangup implements poll.Handler. Nothing to do: the next user finds the connection dead.
func (c *conn) Hangup() {}

// sendRequest writes the head, and the body with it when it is in memory; another body is sent by upload. A
// target that does not take the head may have answered why before it closed: reading finds out.
func (c *conn) sendRequest(x *edge.Exchange) {
	k := codecs.Get().(*codec)
	defer codecs.Put(k)
	k.out = k.out[:0]
	if c.owes {
		c.owes = false
		k.out = append(k.out, c.header...)
	}
	k.out = x.AppendHead(k.out, c.a.Host)
	body, whole := x.WholeIn()
	if whole && x.In != nil {
		x.InBytes = int64(len(body))
	}
	if c.awaits = !whole && x.Expects && x.Plan.ForwardExpect; c.awaits {
		k.out = append(k.out, "Expect: 100-continue\r\n"...)
	}
	k.out = appendFraming(k.out, x)
	k.out = append(k.out, body...)
	err := c.writeHead(k.out)
	if cap(k.out) > maxAnswer {
		k.out = nil // a rare giant head must not stay for ever
	}
	c.sent(x, err)
	if err == nil && !whole && !c.awaits {
		c.sendBody(x)
	}
}

// sendBody begins to send a body that does not go with the head.
func (c *conn) sendBody(x *edge.Exchange) {
	c.awaits, x.Uploading = false, true
	c.up.start()
}

// askWithin is how long a target has to ask for a body by a 100; one that knows no such thing gets it then
// (RFC 9110 section 10.1.1: a client need not wait for ever either).
const askWithin = time.Second

// unasked sends the body that the target has not asked for in time, and reports whether it did.
func (c *conn) unasked(now int64) bool {
	if !c.awaits || now < c.up.ended.Load()+int64(askWithin) {
		return false
	}
	c.sendBody(c.a.X)
	return true
}

// writeHead writes b. For a loop it does not wait: what the socket does not take becomes c.unsent.
func (c *conn) writeHead(b []byte) error {
	if !c.looped {
		n, err := c.writeSome(b)
		c.unwritten = err != nil && n <= 0
		return err
	}
	n, err := c.socket.TryWrite(b)
	c.unwritten = err != nil && n <= 0
	if err == nil && n < len(b) {
		c.unsent = append([]byte(nil), b[n:]...)
	}
	return err
}

// sent notes that the head has left, or why it has not.
func (c *conn) sent(x *edge.Exchange, err error) {
	if x.Times.Sent = x.Times.Policy; !c.looped { // where nothing waits, it is the same but for one write
		x.Times.Sent = clock.Now()
	}
	c.now = x.Times.Sent
	c.up.ended.Store(x.Times.Sent)
	if err != nil {
		x.Cause = err
		c.up.failed = true
	}
}

// appendFraming ends the head of the request: how its body is framed, and what this hop asks of the next.
func appendFraming(dst []byte, x *edge.Exchange) []byte {
	switch {
	case x.In != nil && x.InLen < 0:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case x.In != nil || expectsBody(x.Method):
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, x.InLen, 10)
		dst = append(dst, "\r\n"...)
	}
	switch {
	case len(x.Upgrade) > 0:
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: "...)
		dst = append(dst, x.Upgrade...)
		dst = append(dst, "\r\n"...)
	case x.TETrailers:
		dst = append(dst, "Connection: TE\r\nTE: trailers\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// expectsBody reports whether an empty body of the method is announced (RFC 9110 8.6).
func expectsBody(method []byte) bool {
	switch string(method) {
	case "POST", "PUT", "PATCH":
		return true
	}
	return false
}

// readHead reads until a whole head is in the buffer.
func (c *conn) readHead(x *edge.Exchange) *edge.Fault {
	for searched := 0; ; {
		b := c.br.Buffered()
		if c.m.Len = wire.AnswerEnd(b, searched); c.m.Len > 0 {
			return nil
		}
		if v := wire.CheckAnswerStart(b); v != nil {
			c.refuse(x, v, b)
			return edge.UpstreamProtocol
		}
		searched = len(b)
		if _, err := c.br.Fill(); err != nil {
			if errors.Is(err, wire.ErrFull) {
				c.refuse(x, wire.OverflowUpstream(), b)
				return answerTooLarge
			}
			if err == error(errNothing) { //nolint:errorlint // never wrapped
				return errNothing
			}
			var f *edge.Fault
			if !errors.As(err, &f) {
				x.Cause = err
				return edge.UpstreamReset
			}
			if len(b) > 0 && f.Code == edge.UpstreamReset.Code {
				return edge.UpstreamTruncated // the head was cut: the request has been seen
			}
			return f
		}
	}
}

// blame finds the fault behind a failed wait for the answer: a broken upload comes first, and a reused
// connection that died in silence may be replaced by a fresh one.
func (c *conn) blame(f *edge.Fault) *edge.Fault {
	if broken := c.up.fault.Load(); broken != nil {
		return broken
	}
	if f.Code == edge.UpstreamReset.Code {
		switch {
		case c.unwritten:
			return edge.UpstreamUnsent
		case c.reused:
			return edge.UpstreamStale
		}
		return edge.UpstreamReset
	}
	return f
}

// accept takes over the checked head in k.clean and prepares the body.
func (c *conn) accept(x *edge.Exchange, k *codec) *edge.Fault {
	x.TakeHead(&c.m, k.clean)
	if x.Times.Answer = c.now; !c.looped {
		x.Times.Answer = clock.Now()
	}
	c.inBody, c.lastByte, c.a.Status = true, x.Times.Answer, c.m.Status
	c.br.SetMax(maxAnswer)
	if c.up.over(answerWaits) {
		x.Uploading = false
	}
	m := &c.m
	if m.Status == 101 {
		c.switched(x)
		return nil
	}
	x.OutLen = m.ContentLength
	left := m.ContentLength
	switch {
	case m.Bodyless || string(x.Method) == "HEAD":
		left = 0
	case m.Chunked:
		left = leftChunked
	case left < 0:
		left = leftClose
	}
	c.body.reset(c, left)
	if left != 0 {
		x.Out = &c.body
	}
	return nil
}

// switched takes a 101, which only a request for an upgrade gets (RFC 9110 15.2.2).
func (c *conn) switched(x *edge.Exchange) {
	x.Upgrade = append(x.Upgrade[:0], c.m.Upgrade...) // the client learns which it is
	x.Tunnel = c
	x.TunnelIdle = c.a.Settings.StreamIdleTimeout
	c.body.reset(c, 0)
}

// offered reports whether the client's list of protocols has the one that the target chose (RFC 9110 7.8).
func offered(list, chosen []byte) bool {
	for member := range bytes.SplitSeq(list, []byte{','}) {
		if len(chosen) > 0 && bytes.EqualFold(bytes.TrimSpace(member), chosen) {
			return true
		}
	}
	return false
}

// NetConn implements edge.Tunnel.
func (c *conn) NetConn() net.Conn { return c.nc }

// Early implements edge.Tunnel.
func (c *conn) Early() []byte { return c.br.Buffered() }

// complete reports whether all of the request was sent, and all of its answer read and nothing beyond.
func (c *conn) complete() bool {
	return !c.awaits && !c.up.failed && c.unsent == nil &&
		c.inBody && c.body.ended && c.body.err == nil && c.body.left != leftClose && len(c.br.Buffered()) == 0
}

// finish ends the exchange on c and reports whether the connection can serve another.
func (c *conn) finish(f *edge.Fault) bool {
	if c.socket != nil {
		c.socket.SetDue(0)
	}
	if c.up.begun {
		c.up.join()
		c.a.X.Times.Done = clock.Now()
		c.a.X.Uploading = false
	}
	keep := f == nil && c.complete() && c.m.Status != 101 && !c.m.Close && !c.mended && c.trusted(c.a.Settings)
	if c.a.Settings.MaxHeadBytes > maxAnswer && len(c.br.Buffered()) == 0 {
		c.br.Reset(c, answerBuffer, maxAnswer) // the room of a rare giant head must not stay for ever
	}
	c.looped = false
	return keep
}
