package h1

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
)

// With proxy_protocol, a connection to a target begins with a header that names a client. It serves requests
// that would get the very same header and no others: one client's address never stands for another's.

// appendHeader appends the header of a connection to t on which x is sent.
func (t *Target) appendHeader(b []byte, x *edge.Exchange) []byte {
	src, dst := x.ClientEnds()
	return t.proxy.Append(b, src, dst)
}

// headerFor is appendHeader for a connection to keep it; empty for targets that want none.
func (t *Target) headerFor(x *edge.Exchange) string {
	if t.proxy == proxyproto.None {
		return ""
	}
	return string(t.appendHeader(nil, x))
}

// pop takes an idle connection that may be used for x, alive or not.
func (t *Target) pop(x *edge.Exchange) *conn {
	if t.proxy == proxyproto.None {
		return t.idle.pop(home(x))
	}
	var room [proxyproto.Max]byte
	return t.idle.popOf(home(x), t.appendHeader(room[:0], x))
}

// speaksFor reports whether c began with the header that x needs.
func (c *conn) speaksFor(x *edge.Exchange) bool {
	if c.t.proxy == proxyproto.None {
		return true
	}
	var room [proxyproto.Max]byte
	return c.header == string(c.t.appendHeader(room[:0], x))
}

// evict closes an idle connection, which is another client's, and leaves its place to the caller; false:
// there is none.
func (t *Target) evict() bool {
	c := t.idle.pop(0)
	if c != nil {
		c.close()
	}
	return c != nil
}
