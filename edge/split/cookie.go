package split

import (
	"encoding/binary"
	"encoding/hex"
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// cookieID is the value of a cookie made for a client that had none. Its hash has chosen the pool, so it will
// again.
type cookieID struct {
	text [32]byte
	line []byte // room for the Set-Cookie field
}

var cookieIDs = sync.Pool{New: func() any { return new(cookieID) }}

func newCookieID() *cookieID {
	id := cookieIDs.Get().(*cookieID)
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], chance.Uint64())
	binary.NativeEndian.PutUint64(b[8:], chance.Uint64())
	hex.Encode(id.text[:], b[:])
	return id
}

// setCookie gives a new cookie to the client.
type setCookie struct {
	up        *splitter
	conflicts *lanes.Counter
}

// Run implements edge.Filter. The answer to a failure carries no cookie: nobody is tied to a pool that is
// down. An application's own cookie of the name is never replaced.
func (c *setCookie) Run(x *edge.Exchange) edge.Verdict {
	id, ok := x.Slot[c.up.slot].(*cookieID)
	if !ok || x.Local && c.up.arm(x).pool != nil {
		return edge.Next
	}
	if x.SetsCookie(c.up.name) {
		c.conflicts.Inc(x.Lane)
		return edge.Next
	}
	id.line = append(append(id.line[:0], c.up.name...), '=')
	id.line = append(append(id.line, id.text[:]...), "; Path=/; HttpOnly; SameSite=Lax"...)
	if x.Scheme == "https" {
		id.line = append(id.line, "; Secure"...)
	}
	x.Resp.AddBytes("Set-Cookie", id.line)
	return edge.Next
}

// forget gives the memory of a new cookie back when the exchange has ended.
type forget struct{ slot int }

// Run implements edge.Filter.
func (f *forget) Run(x *edge.Exchange) edge.Verdict {
	if id, ok := x.Slot[f.slot].(*cookieID); ok {
		x.Slot[f.slot] = nil
		cookieIDs.Put(id)
	}
	return edge.Next
}
