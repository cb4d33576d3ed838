package edge

// aside is an answer that the upstream's policy did not like, with its peer. The client gets it when later
// attempts bring no answer at all.
type aside struct {
	peer         Peer
	held         any
	out          Body
	outLen       int64
	times        Times
	pool, target string

	resp Answer
}

// putAside keeps the answer in x for resort. An answer put aside before it is dropped.
func (x *Exchange) putAside() {
	x.drop()
	if x.aside == nil {
		x.aside = new(aside)
	}
	a := x.aside
	a.peer, a.held, a.out, a.outLen, a.times = x.peer, x.Held, x.Out, x.OutLen, x.Times
	a.pool, a.target = x.PoolName, x.TargetName
	a.resp, x.Resp = x.Resp, a.resp
	x.peer, x.Held, x.Out, x.Fresh = nil, nil, nil, false
	x.ResetHead()
}

// resort makes the answer that was put aside, if there is one, that of the exchange; a fault in x.Fault is
// then no longer what the client hears.
func (x *Exchange) resort() {
	a := x.aside
	if a == nil || a.peer == nil || x.Fault != nil && x.Fault.Side == SideClient {
		x.drop()
		return
	}
	x.peer, x.Held, x.Out, x.OutLen, x.Times = a.peer, a.held, a.out, a.outLen, a.times
	x.PoolName, x.TargetName = a.pool, a.target
	a.resp, x.Resp = x.Resp, a.resp
	a.peer, a.held, a.out = nil, nil, nil
	x.Fault, x.Cause = nil, nil
}

// drop lets go of the answer that was put aside.
func (x *Exchange) drop() {
	a := x.aside
	if a == nil || a.peer == nil {
		return
	}
	peer, held, out := x.peer, x.Held, x.Out
	x.peer, x.Held, x.Out = a.peer, a.held, a.out
	a.peer, a.held, a.out = nil, nil, nil
	x.letGo(nil)
	x.peer, x.Held, x.Out = peer, held, out
}
