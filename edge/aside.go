package edge

// aside is an answer that the upstream's policy did not like, with its peer. The client gets it when later
// attempts bring no answer at all.
type aside struct {
	Response // without a peer: none is kept
	trip     Trip
}

// putAside keeps the answer in x for resort. An answer put aside before it is dropped.
func (x *Exchange) putAside() {
	x.drop()
	if x.aside == nil {
		x.aside = new(aside)
	}
	a := x.aside
	x.Response, a.Response = a.Response, x.Response
	x.PoolName, x.TargetName = a.PoolName, a.TargetName
	a.trip, x.Fresh = x.Times.Trip, false
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
	x.Response, a.Response = a.Response, x.Response
	a.Response.reset()
	x.Times.Trip = a.trip
	x.Fault, x.Cause = nil, nil
}

// drop lets go of the answer that was put aside.
func (x *Exchange) drop() {
	a := x.aside
	if a == nil || a.peer == nil {
		return
	}
	x.Response, a.Response = a.Response, x.Response
	x.letGo(nil)
	x.Response, a.Response = a.Response, x.Response
	a.Response.reset()
}
