package front

import (
	"bytes"
	"errors"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/wire"
	"github.com/penstock-edge/penstock/edge/route"
)

// collect reads until a whole head is in the buffer and returns its length, or what is wrong with it.
func (c *conn) collect(set *settings) (int, *wire.Violation, error) {
	c.br.SetMax(set.headBuffer)
	for searched := 0; ; {
		b := c.br.Buffered()
		if c.started == 0 && len(b) > 0 {
			c.started = c.now()
			c.busy()
		}
		n := wire.HeadEnd(b, searched)
		switch {
		case n > set.maxHead, n == 0 && len(b) >= set.maxHead:
			return 0, wire.Overflow(b), nil
		case n > 0:
			return n, nil, nil
		}
		if v := wire.CheckStart(b); v != nil {
			return 0, v, nil
		}
		searched = len(b)
		if !c.looped {
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

// headDeadline bounds the next read of a goroutine: by the time for a head that has begun; else by how long
// it is worth to keep the goroutine instead of giving the connection to the loop.
func (c *conn) headDeadline(set *settings) {
	at := c.started + int64(set.headerTimeout)
	if c.started == 0 {
		at = clock.Now() + int64(min(restAfter, set.headerTimeout, set.idleTimeout))
		c.idle()
	}
	c.setReadDeadline(at)
	if c.started == 0 && c.l.draining() {
		c.lastCall()
	}
}

// restAfter is how long a goroutine waits for the next request under TLS before it gives the connection, its
// stack and its buffer back.
const restAfter = time.Second

// take makes the head of n bytes in the buffer, or what is wrong with it, the request that is served next.
func (c *conn) take(n int, v *wire.Violation, f *edge.Fault) {
	w := acquireWork()
	w.c, c.work = c, w
	x := &w.x
	set := c.l.settings.Load()
	x.Times.Start, x.Times.Head = c.started, c.now()
	c.started, c.begun = 0, false
	c.pace, c.outflo = pace{}, pace{}
	x.Lane, x.Peer, x.Client, x.Listener, x.Scheme = c.lane, c.peer, c.peer, set.name, c.scheme
	x.Conn, x.Loop, x.Ends = c, c, c
	w.in.reset(c, 0, false)
	switch {
	case v != nil:
		f = refused(x, v)
	case f == nil:
		f = c.parse(w, n, set)
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
func (c *conn) parse(w *work, n int, set *settings) *edge.Fault {
	x, m := &w.x, &w.m
	var v *wire.Violation
	m.Underscores = set.underscores
	w.clean, v = wire.ScanRequest(w.clean[:0], c.br.Buffered()[:n], m)
	if v != nil {
		return refused(x, v)
	}
	if len(m.Scheme) > 0 && !bytes.EqualFold(m.Scheme, []byte(c.scheme)) {
		return foreignScheme
	}
	if set.mergeSlashes {
		m.Path = route.MergeSlashes(m.Path)
	}
	var bad *route.PathError
	if m.Form == wire.AsteriskForm {
		x.Path = append(x.Path[:0], '*')
	} else if x.Path, bad = route.Canonical(x.Path[:0], m.Path); bad != nil {
		return x.Refuse(400, edge.SideClient, "bad_request", bad.Reason)
	}
	if alike := x.TakeRequest(m, w.clean); alike > 0 {
		set.alike.Add(c.lane, uint64(alike))
	}
	if m.Dropped > 0 {
		set.underscored.Add(c.lane, uint64(m.Dropped))
	}
	x.Host = route.NormalHost(x.Host[:0], m.Host)
	if set.clients != nil && !set.clients.Allows(c.client, x.Host) {
		return misdirected
	}
	x.Close, x.InMax = m.Close, set.maxBody
	w.frame(m)
	c.br.Discard(n)
	return nil
}

// frame decides how the request's body ends.
func (w *work) frame(m *wire.Request) {
	x := &w.x
	switch {
	case m.Chunked:
		x.InLen = -1
	case m.ContentLength > 0:
		x.InLen = m.ContentLength
	}
	w.in.reset(w.c, x.InLen, m.Expect100)
	if x.InLen != 0 {
		w.in.x = x
		x.Expects = m.Expect100
		x.In = &w.in
		x.Upgrade = nil // an upgrade with a body has no meaning that both sides are sure to share
	}
}

// refused turns a violation into the fault of this exchange.
func refused(x *edge.Exchange, v *wire.Violation) *edge.Fault {
	f := x.Refuse(v.Status, edge.SideClient, v.Code, v.Detail)
	f.Close = true
	return f
}
