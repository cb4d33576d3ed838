package h1

import (
	"bytes"
	"errors"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/wire"
	"github.com/penstock-edge/penstock/edge/route"
)

// collect reads until a whole head is in the buffer and returns its length, or what is wrong with it.
func (c *conn) collect(set *client.Settings) (int, *wire.Violation, error) {
	c.br.SetMax(set.HeadBuffer)
	for searched := 0; ; {
		b := c.br.Buffered()
		if c.started == 0 && len(b) > 0 {
			c.started = c.now()
			c.Busy()
		}
		n := wire.HeadEnd(b, searched)
		switch {
		case n > set.MaxHead, n == 0 && len(b) >= set.MaxHead:
			return 0, wire.Overflow(b), nil
		case n > 0:
			return n, nil, nil
		}
		if v := wire.CheckStart(b); v != nil {
			return 0, v, nil
		}
		searched = len(b)
		if c.state == blocking {
			c.headDeadline(set)
		}
		if _, err := c.br.Fill(); err != nil {
			if errors.Is(err, wire.ErrFull) {
				return 0, wire.Overflow(b), nil
			}
			return 0, nil, err
		}
	}
}

// headDeadline bounds the next read of a goroutine: by the time for a head that has begun, else by how long
// the goroutine is worth keeping before the loop gets the connection.
func (c *conn) headDeadline(set *client.Settings) {
	at := c.started + int64(set.HeaderTimeout)
	if c.started == 0 {
		at = clock.Now() + int64(min(parkAfter, set.HeaderTimeout, set.IdleTimeout))
		c.Idle(c.now())
	}
	c.setReadDeadline(at)
	if c.started == 0 && c.Listener.Draining() {
		c.LastCall()
	}
}

// parkAfter is how long a goroutine waits for the next request under TLS before the loop does, without its
// stack and the buffer.
const parkAfter = time.Second

// startRequest makes the head of n bytes in the buffer the next request, or v or f, what is wrong with it.
func (c *conn) startRequest(n int, v *wire.Violation, f *edge.Fault) {
	r := acquireRequest()
	r.c, c.request = c, r
	x := &r.x
	set := c.Settings()
	x.Times.Start, x.Times.Head = c.started, c.now()
	c.started = 0
	c.NewAnswer()
	x.Lane, x.Peer, x.Client, x.Listener, x.Scheme = c.Lane, c.Peer, c.Peer, set.Name, c.Scheme()
	x.Conn, x.Loop, x.Ends = c, c, c.Conn
	r.in.reset(c, 0, false)
	switch {
	case v != nil:
		f = refused(x, v)
	case f == nil:
		f = c.parse(r, n, set)
	}
	if f != nil {
		x.Fault = f
		x.Close = true
		c.aborted.Store(true) // nothing behind a refused head is read as a request
	}
}

var foreignScheme = &edge.Fault{Status: 400, Side: edge.SideClient, Code: "bad_request", Close: true,
	Detail: "The scheme of the request's target is not the one of this connection."}

var misdirected = &edge.Fault{Status: 421, Side: edge.SideClient, Code: "misdirected_request", Close: true,
	Detail: "This connection was not made with the client certificate that this host asks for, if any. " +
		"Make another one, with the name of the host."}

// parse checks the head of n bytes in the buffer and fills the exchange from it.
func (c *conn) parse(r *request, n int, set *client.Settings) *edge.Fault {
	x, m := &r.x, &r.m
	var v *wire.Violation
	m.Underscores = set.Underscores
	r.clean, v = wire.ScanRequest(r.clean[:0], c.br.Buffered()[:n], m)
	if v != nil {
		return refused(x, v)
	}
	if len(m.Scheme) > 0 && !bytes.EqualFold(m.Scheme, []byte(x.Scheme)) {
		return foreignScheme
	}
	if set.MergeSlashes {
		m.Path = route.MergeSlashes(m.Path)
	}
	var bad *route.PathError
	if m.Form == wire.AsteriskForm {
		x.Path = append(x.Path[:0], '*')
	} else if x.Path, bad = route.Canonical(x.Path[:0], m.Path); bad != nil {
		return x.Refuse(400, edge.SideClient, "bad_request", bad.Reason)
	}
	if alike := x.TakeRequest(m, r.clean); alike > 0 {
		set.Alike.Add(c.Lane, uint64(alike))
	}
	if m.Dropped > 0 {
		set.Underscored.Add(c.Lane, uint64(m.Dropped))
	}
	x.Host = route.NormalHost(x.Host[:0], m.Host)
	if set.ClientAuth != nil && !set.ClientAuth.Allows(c.Auth, x.Host) {
		return misdirected
	}
	x.Close, x.InMax = m.Close, set.MaxBody
	r.frame(m)
	c.br.Discard(n)
	return nil
}

// frame decides how the request's body ends.
func (r *request) frame(m *wire.Request) {
	x := &r.x
	switch {
	case m.Chunked:
		x.InLen = -1
	case m.ContentLength > 0:
		x.InLen = m.ContentLength
	}
	r.in.reset(r.c, x.InLen, m.Expect100)
	if x.InLen != 0 {
		r.in.x = x
		x.Expects = m.Expect100
		x.In = &r.in
		x.Upgrade = nil // both sides may not agree on what an upgrade with a body means
	}
}

// refused turns a violation into the fault of this exchange.
func refused(x *edge.Exchange, v *wire.Violation) *edge.Fault {
	f := x.Refuse(v.Status, edge.SideClient, v.Code, v.Detail)
	f.Close = true
	return f
}
