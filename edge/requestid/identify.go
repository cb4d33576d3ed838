package requestid

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

const name = "X-Request-Id"

// maxID is the longest id in bytes that is taken over.
const maxID = 128

// identify fills Exchange.RequestID. It is an Early filter: refused heads and requests without a route have
// an id too.
type identify struct{ clock *clock.Coarse }

// Run implements edge.Filter.
func (id *identify) Run(x *edge.Exchange) edge.Verdict {
	if given := received(x); given != nil {
		x.RequestID = append(x.RequestID[:0], given...)
		return edge.Next
	}
	id.make(x)
	return edge.Next
}

// received returns the id that a trusted proxy sent; nil when there is none, when it is not well formed, or
// when there are several to choose from.
func received(x *edge.Exchange) []byte {
	if !x.Trusted || x.NoClaims {
		return nil
	}
	if id := x.Req.Get(name); x.Req.Count(name) == 1 && valid(id) {
		return id
	}
	return nil
}

// make writes a new id: a version 7 UUID (RFC 9562 section 5.7) as 32 digits without dashes. Ids sort by the
// millisecond they were made in; 74 bits are random.
func (id *identify) make(x *edge.Exchange) {
	var b [16]byte
	ms := uint64(id.clock.UnixNano(x.Times.Start)) / 1e6
	binary.BigEndian.PutUint64(b[:8], ms<<16|7<<12|chance.Uint64()&0xfff)
	binary.BigEndian.PutUint64(b[8:], 1<<63|chance.Uint64()>>2)
	x.RequestID = hex.AppendEncode(x.RequestID[:0], b[:])
}

// valid takes 1 to 128 letters, digits and bytes of "._~+/=-": what stands for itself in a header, a log line
// and a query.
func valid(id []byte) bool {
	if len(id) == 0 || len(id) > maxID {
		return false
	}
	for _, c := range id {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '~', c == '+', c == '/', c == '=', c == '-':
		default:
			return false
		}
	}
	return true
}
