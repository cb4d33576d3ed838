package split

import (
	"math/bits"

	"github.com/zeebo/xxh3"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/chance"
)

// splitter is the upstream of a route: one pool among several.
type splitter struct {
	slot  int // of the *cookieID, when the client gets one with the answer
	arms  []arm
	by    by
	field string // by header: its name
	name  []byte // by cookie: its name
	seed  uint64 // of the hash, from the route's name: routes do not share their unlucky clients
}

// arm is one pool and its share of the hashes: from the end of the arm before it up to its own.
type arm struct {
	pool  edge.Upstream // nil: another feature answers
	end   uint64        // first hash behind the share; the last arm takes all that are left
	entry int           // in the file, from 1: Exchange.Arm
}

// threshold returns the first hash behind the first part/whole of all 64-bit hashes; part is below whole.
// Moving weight from one of two neighbours to the other moves only the clients of that share.
func threshold(part, whole int) uint64 {
	end, _ := bits.Div64(uint64(part), 0, uint64(whole))
	return end
}

type by uint8

const (
	byNothing by = iota
	byIP
	byHeader
	byCookie
)

// Pick implements edge.Upstream. All attempts of one exchange go to the same pool.
func (s *splitter) Pick(x *edge.Exchange) (edge.Peer, *edge.Fault) {
	if x.Arm == 0 {
		s.choose(x)
	}
	return s.arm(x).pool.Pick(x)
}

// choose decides which arm takes x.
func (s *splitter) choose(x *edge.Exchange) { x.Arm = s.arms[s.armOf(s.hash(x))].entry }

// arm returns the arm that takes x.
func (s *splitter) arm(x *edge.Exchange) *arm {
	for i := range s.arms {
		if s.arms[i].entry == x.Arm {
			return &s.arms[i]
		}
	}
	panic("BUG: an exchange without an arm of its split")
}

// choose decides early, for filters that look at Exchange.Arm before an upstream is asked.
type choose struct{ up *splitter }

// Run implements edge.Filter.
func (c *choose) Run(x *edge.Exchange) edge.Verdict {
	c.up.choose(x)
	return edge.Next
}

func (s *splitter) armOf(hash uint64) int {
	n := 0
	for n < len(s.arms)-1 && hash >= s.arms[n].end {
		n++
	}
	return n
}

// hash returns what decides about x: always the same for the same client, or random.
func (s *splitter) hash(x *edge.Exchange) uint64 {
	var room [128]byte
	switch s.by {
	case byIP:
		a := x.Client.As16()
		return xxh3.HashSeed(a[:], s.seed)
	case byHeader:
		if v := x.Req.AppendKey(room[:0], s.field); len(v) > 0 {
			return xxh3.HashSeed(v, s.seed)
		}
	case byCookie:
		v := x.AppendCookie(room[:0], s.name)
		if len(v) == 0 {
			id := newCookieID()
			x.Slot[s.slot] = id
			v = id.text[:]
		}
		return xxh3.HashSeed(v, s.seed)
	}
	return chance.Uint64()
}
