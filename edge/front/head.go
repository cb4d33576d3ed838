package front

import (
	"bytes"
	"errors"
	"os"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/wire"
	"github.com/penstock-edge/penstock/edge/route"
)

// readHead reads and checks one head into w. A head that is refused leaves its fault in the exchange; quiet
// tells that there is nobody to answer.
func (c *conn) readHead(w *work, set *settings) (quiet bool) {
	x := &w.x
	n, f := c.collect(x, set)
	x.Times.Head = clock.Now()
	if n == 0 && f == nil {
		return true
	}
	c.in.reset(c, 0, false)
	if f == nil {
		f = c.take(w, n, set)
	}
	if f != nil {
		x.Fault = f
		x.Close = true
		c.aborted.Store(true) // nothing behind a refused head is read as a request
	}
	return false
}

// collect reads until a whole head is in the buffer and returns its length; 0 and no fault when the client
// left.
func (c *conn) collect(x *edge.Exchange, set *settings) (int, *edge.Fault) {
	until := x.Times.Start + int64(set.headerTimeout)
	for searched := 0; ; {
		b := c.br.Buffered()
		n := wire.HeadEnd(b, searched)
		switch {
		case n > set.maxHead, n == 0 && len(b) >= set.maxHead:
			return 0, refused(x, wire.Overflow(b))
		case n > 0:
			return n, nil
		}
		if v := wire.CheckStart(b); v != nil {
			return 0, refused(x, v)
		}
		searched = len(b)
		if c.rdl != until {
			c.setReadDeadline(until)
		}
		if _, err := c.br.Fill(); err != nil {
			switch {
			case errors.Is(err, wire.ErrFull):
				return 0, refused(x, wire.Overflow(b))
			case errors.Is(err, os.ErrDeadlineExceeded):
				return 0, edge.RequestTimeout
			}
			return 0, nil
		}
	}
}

var foreignScheme = &edge.Fault{Status: 400, Side: edge.SideClient, Code: "bad_request", Close: true,
	Detail: "The scheme of the request's target is not the one of this connection."}

// take checks the head of n bytes in the buffer and fills the exchange from it.
func (c *conn) take(w *work, n int, set *settings) *edge.Fault {
	x, m := &w.x, &w.m
	var v *wire.Violation
	w.clean, v = wire.ScanRequest(w.clean[:0], c.br.Buffered()[:n], m)
	if v != nil {
		return refused(x, v)
	}
	if len(m.Scheme) > 0 && !bytes.EqualFold(m.Scheme, []byte(c.scheme)) {
		return foreignScheme
	}
	var bad *route.PathError
	if m.Form == wire.AsteriskForm {
		x.Path = append(x.Path[:0], '*')
	} else if x.Path, bad = route.Canonical(x.Path[:0], m.Path); bad != nil {
		return x.Refuse(400, edge.SideClient, "bad_request", bad.Reason)
	}
	if err := w.parse(); err != nil {
		x.Cause = err
		return x.Refuse(400, edge.SideClient, "bad_request", "The request's head cannot be read.")
	}
	x.Host = route.NormalHost(x.Host[:0], m.Host)
	x.Authority = append(x.Authority[:0], m.Host...)
	x.KeepRaw(m.Query, m.HasQuery, m.Cookie, m.Upgrade)
	x.Method = x.Req.Method()
	x.Minor, x.TETrailers, x.HeadBytes = m.Minor, m.TETrailers, n
	x.Close = m.Close
	x.InMax = set.maxBody
	c.frame(x, m)
	c.br.Discard(n)
	return nil
}

// frame decides how the request's body ends.
func (c *conn) frame(x *edge.Exchange, m *wire.Request) {
	switch {
	case m.Chunked:
		x.InLen = -1
	case m.ContentLength > 0:
		x.InLen = m.ContentLength
	}
	c.in.reset(c, x.InLen, m.Expect100)
	if x.InLen != 0 {
		c.in.x = x
		x.In = &c.in
		x.Upgrade = nil // an upgrade with a body has no meaning that both sides are sure to share
	}
}

// refused turns a violation into the fault of this exchange.
func refused(x *edge.Exchange, v *wire.Violation) *edge.Fault {
	f := x.Refuse(v.Status, edge.SideClient, v.Code, v.Detail)
	f.Close = true
	return f
}
