// Package h1 is the transport over HTTP/1.1: connections to a target, each of which carries one exchange at a
// time, and what is sent and received on them. It knows nothing of pools and their policies.
package h1

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/proxyproto"
	"github.com/penstock-edge/penstock/pool/resolve"
	"github.com/penstock-edge/penstock/pool/transport"
)

// Common is what the targets of one pool have in common, over all generations.
type Common struct {
	Pool  string // its name, for the log
	Files *descriptors.Budget
	// CloseIdle closes the idle connections to all targets: descriptors are short.
	CloseIdle func()
	// Lacks logs that there was no descriptor or memory for something.
	Lacks func(what string, err error)

	refusals refusals
}

// Target is the connections to one target. It implements transport.Transport.
type Target struct {
	address string // as configured
	name    *resolve.Name
	common  *Common
	proxy   proxyproto.Version // of the header that begins its connections
	conns   atomic.Int64       // connections open or being opened
	idle    idleLists
}

// New returns the way to the target at an address with that name, of which idle connections are kept.
func New(c *Common, address string, name *resolve.Name, proxy proxyproto.Version, idle int) *Target {
	return &Target{address: address, name: name, common: c, proxy: proxy, idle: newIdleLists(idle, loops())}
}

// loops is how many loops of its own the process runs: one for each of its processors but one. Another number
// would cost some time, no more.
func loops() int { return max(runtime.GOMAXPROCS(0)-1, 1) }

// Claim implements transport.Transport: a place is an idle connection, or room to open one. The connection is
// alive when it is claimed for an exchange; for whoever waits that is seen when it is used.
func (t *Target) Claim(x *edge.Exchange, s *transport.Settings) *transport.Attempt {
	c := t.acquireConn(x, s)
	if c == nil {
		return nil
	}
	c.a.Settings = s
	return &c.a
}

func (t *Target) acquireConn(x *edge.Exchange, s *transport.Settings) *conn {
	if x == nil {
		if c := t.idle.pop(0); c != nil {
			c.checked = false
			return c
		}
	} else if c := t.reuse(x, s); c != nil {
		return c
	}
	if t.reserve(s.MaxPlaces) || x != nil && t.proxy != proxyproto.None && t.evict() {
		return t.blank()
	}
	return nil
}

// reserve counts a connection that is going to be opened; false: there are as many as there may be.
func (t *Target) reserve(most int) bool {
	for {
		n := t.conns.Load()
		if n >= int64(most) {
			return false
		}
		if t.conns.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// blanks are connections that were never opened.
var blanks = sync.Pool{New: func() any {
	c := &conn{}
	c.a.Stream = c
	return c
}}

// blank returns a connection that is to be opened. The caller has reserved it.
func (t *Target) blank() *conn {
	c := blanks.Get().(*conn)
	c.t = t
	return c
}

// reuse returns an idle connection that is alive. When x must have a new one it only makes room for that.
func (t *Target) reuse(x *edge.Exchange, s *transport.Settings) *conn {
	for {
		c := t.pop(x)
		if c == nil {
			return nil
		}
		if !x.Fresh && c.trusted(s) && c.alive(x) {
			c.reused, c.checked = true, true
			return c
		}
		c.close()
		t.conns.Add(-1)
		if x.Fresh {
			return nil
		}
	}
}

// free takes back c, which no exchange uses any more. keep reports whether it may serve another.
func (t *Target) free(c *conn, keep bool) {
	if c.nc == nil { // room for a connection that was not opened
		blanks.Put(c)
		t.conns.Add(-1)
		return
	}
	c.br.Release() // an idle connection holds no buffer
	if !keep || t.common.Files.Targets.Over() || !t.idle.push(c) {
		c.close()
		t.conns.Add(-1)
	}
}

// Retire implements transport.Transport.
func (t *Target) Retire(before int64) {
	for i := range t.idle {
		for j := range t.idle[i].slots {
			slot := &t.idle[i].slots[j]
			c := slot.Load()
			if c == nil || c.lastUsed.Load() > before || !slot.CompareAndSwap(c, nil) {
				continue
			}
			c.close()
			t.conns.Add(-1)
		}
	}
}

// Open implements transport.Transport.
func (t *Target) Open() int64 { return t.conns.Load() }
