package split

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync"

	"github.com/penstock-edge/penstock/edge"
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
	binary.NativeEndian.PutUint64(b[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(b[8:], rand.Uint64())
	hex.Encode(id.text[:], b[:])
	return id
}

// setCookie gives a new cookie to the client.
type setCookie struct {
	slots slots
	name  []byte
}

// Run implements edge.Filter. The answer to a failure carries no cookie: nobody is tied to a pool that is
// down.
func (c *setCookie) Run(x *edge.Exchange) edge.Verdict {
	id, ok := x.Slot[c.slots.cookie].(*cookieID)
	if !ok || x.Local {
		return edge.Next
	}
	id.line = append(append(id.line[:0], c.name...), '=')
	id.line = append(append(id.line, id.text[:]...), "; Path=/; HttpOnly; SameSite=Lax"...)
	if x.Scheme == "https" {
		id.line = append(id.line, "; Secure"...)
	}
	x.Resp.AddBytes("Set-Cookie", id.line)
	return edge.Next
}

// forget gives the memory of a new cookie back when the exchange has ended.
type forget struct{ slots slots }

// Run implements edge.Filter.
func (f *forget) Run(x *edge.Exchange) edge.Verdict {
	if id, ok := x.Slot[f.slots.cookie].(*cookieID); ok {
		x.Slot[f.slots.cookie] = nil
		cookieIDs.Put(id)
	}
	return edge.Next
}
