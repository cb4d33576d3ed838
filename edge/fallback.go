package edge

// fallback is an answer that the upstream's policy rejected, with its peer. The client gets it when later
// attempts bring no answer at all.
type fallback struct {
	Response // without a peer: none is kept
	trip     Trip
}

// stash keeps the answer in x for useStashed. One that was stashed before is dropped.
func (x *Exchange) stash() {
	x.dropStashed()
	if x.stashed == nil {
		x.stashed = new(fallback)
	}
	a := x.stashed
	x.Response, a.Response = a.Response, x.Response
	x.PoolName, x.TargetName = a.PoolName, a.TargetName
	a.trip, x.Fresh = x.Times.Trip, false
	x.ResetHead()
}

// useStashed makes the stashed answer, if there is one, that of the exchange. It replaces the fault in
// x.Fault, unless that is the client's.
func (x *Exchange) useStashed() {
	a := x.stashed
	if a == nil || a.peer == nil || x.Fault != nil && x.Fault.Side == SideClient {
		x.dropStashed()
		return
	}
	x.Response, a.Response = a.Response, x.Response
	a.Response.reset()
	x.Times.Trip = a.trip
	x.Fault, x.Cause = nil, nil
}

// dropStashed closes the stashed answer and releases its peer.
func (x *Exchange) dropStashed() {
	a := x.stashed
	if a == nil || a.peer == nil {
		return
	}
	x.Response, a.Response = a.Response, x.Response
	x.letGo(nil)
	x.Response, a.Response = a.Response, x.Response
	a.Response.reset()
}
