package edge

import (
	"time"

	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// Fork makes y, which is new or has been Reset, a request of the gateway on behalf of x: it asks for what x
// asks for, and has no body, answer, attempts or slots of x. x is untouched and may go on, or end, at once.
// When conn is Gone, the answer of y is not wanted any more; nil: it always is. Until the caller says
// otherwise the plan of y and its Deadline are those of x; a body that it needs is the caller's to give.
// Fetch asks, and Finish ends y; in between x can take the answer over.
func (x *Exchange) Fork(y *Exchange, conn ClientConn) {
	if y.Conn = conn; conn == nil {
		y.Conn = Discard{}
	}
	x.Req.CopyTo(&y.Req)
	y.SetMethod(x.Method)
	y.Host = append(y.Host[:0], x.Host...)
	y.Authority = append(y.Authority[:0], x.Authority...)
	y.Path = append(y.Path[:0], x.Path...)
	y.RequestID = append(y.RequestID[:0], x.RequestID...)
	y.KeepRaw(x.Query, x.HasQuery, x.Cookie, nil)
	y.SetOutPath(x.OutPath)
	if x.OutHost != nil {
		y.SetOutHost(x.OutHost)
	}
	y.Scheme, y.Minor, y.Listener, y.Lane = x.Scheme, 1, x.Listener, x.Lane
	y.Peer, y.Client, y.Trusted, y.Ends = x.Peer, x.Client, x.Trusted, x.Ends
	y.Gen, y.Plan, y.Class, y.Arm = x.Gen, x.Plan, x.Class, x.Arm
	y.Identity = x.Identity
	y.Times.Start, y.Times.Head, y.Deadline = x.Times.Start, x.Times.Head, x.Deadline
	y.MayWait = true
	y.growSlots(len(x.Slot))
}

// Begin makes this moment the one that x began at; it has so much time then; 0: without bound.
func (x *Exchange) Begin(timeout time.Duration) {
	x.Times.Start = clock.Now()
	x.Times.Head, x.Deadline = x.Times.Start, 0
	if timeout > 0 {
		x.Deadline = x.Times.Start + int64(timeout)
	}
}

// Fetch asks the upstream of the plan that x has, with its filters of Admit and Receive and the upstream's
// policy about other attempts. It waits for the head of the answer; the body is in x.Out. Finish has to
// follow in any case.
func Fetch(x *Exchange) *Fault {
	x.enter(Admit)
	advance(x, nil, true)
	return x.Fault
}

// Finish ends an exchange that Fetch was called with; f is how it went.
func (x *Exchange) Finish(f *Fault) {
	x.letGo(f)
	x.End()
}

// Adopt makes the answer that y has got from its peer the answer of x, whose own peer lets go of it. y
// keeps its buffers.
func (x *Exchange) Adopt(y *Exchange) {
	peer := x.peer
	x.takeAnswer(y)
	x.peer = peer
	x.Call.Status, x.Call.Stick = y.Call.Status, y.Call.Stick
}

// TakeOver makes the answer that Fetch has brought into y that of x, with its body, its peer, and what the
// upstream remembers. Finish of y has nothing left to do then.
func (x *Exchange) TakeOver(y *Exchange) {
	x.takeAnswer(y)
	x.Attempts, x.Call, y.Call = y.Attempts, y.Call, Call{}
}

// takeAnswer makes the answer of y that of x. y has none then.
func (x *Exchange) takeAnswer(y *Exchange) {
	x.Response, y.Response = y.Response, x.Response
	x.Times.Trip, x.Cause = y.Times.Trip, y.Cause
	y.Response.reset()
}
