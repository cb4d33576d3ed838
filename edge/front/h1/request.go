package h1

import (
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// request is what one request needs. An idle connection has none.
type request struct {
	c     *conn
	x     edge.Exchange
	m     wire.Request
	clean []byte    // the head without hop-by-hop fields
	out   []byte    // the answer's head, and bodies on their way
	begun bool      // the final answer has begun; guarded by conn.sendMu
	tried bool      // trySend has begun the answer; sendRest goes on:
	rest  [2][]byte // with what the socket did not take,
	more  bool      // then with the pieces of the body; false: that was all
	early []byte    // interim answers that the socket has not taken yet
	in    requestBody
}

var requests = sync.Pool{New: func() any {
	return &request{out: make([]byte, 0, headBuffer)}
}}

// headBuffer is the first size of request.out: enough for most heads. Longer heads and bodies make it grow.
const headBuffer = 2 << 10

func acquireRequest() *request { return requests.Get().(*request) }

// release gives r back. Nothing of it may be used afterwards.
func (r *request) release() {
	r.c = nil
	r.x.Reset()
	r.m = wire.Request{}
	r.begun, r.tried, r.rest, r.more, r.early = false, false, [2][]byte{}, false, r.early[:0]
	large := max(cap(r.out), cap(r.clean)) > 4*client.BufferSize
	if large || r.x.Req.IsLarge() || r.x.Resp.IsLarge() {
		return // memory of a rare giant head must not stay
	}
	requests.Put(r)
}
