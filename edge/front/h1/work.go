package h1

import (
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// work is everything one request needs; an idle connection holds none of it.
type work struct {
	c     *conn
	x     edge.Exchange
	m     wire.Request
	clean []byte    // the head without hop-by-hop fields
	out   []byte    // the answer's head, and bodies on their way
	begun bool      // the final answer has begun; guarded by conn.sendMu
	tried bool      // the answer has been begun by trySend; sendRest goes on:
	rest  [2][]byte // with what the socket did not take,
	more  bool      // then with the pieces of the body; false: that was all
	early []byte    // of interim answers, what the socket has not taken yet
	in    requestBody
}

var works = sync.Pool{New: func() any {
	return &work{out: make([]byte, 0, headBuffer)}
}}

// headBuffer has room for most heads; a request that waits for its turn holds little more. Longer heads and
// bodies make it grow.
const headBuffer = 2 << 10

func acquireWork() *work { return works.Get().(*work) }

// release gives w back; nothing of it may be used afterwards.
func (w *work) release() {
	w.c = nil
	w.x.Reset()
	w.m = wire.Request{}
	w.begun, w.tried, w.rest, w.more, w.early = false, false, [2][]byte{}, false, w.early[:0]
	large := max(cap(w.out), cap(w.clean)) > 4*client.BufferSize
	if large || w.x.Req.IsLarge() || w.x.Resp.IsLarge() {
		return // a rare giant head must not stay for ever
	}
	works.Put(w)
}
