package edge

// CopyTo makes y an exchange of its own that asks for what x asks for: the head and what is known of the
// client, without body, answer and attempts, and with empty slots. x is untouched and may go on at once. The
// caller gives y its Conn, and a body if it needs one.
func (x *Exchange) CopyTo(y *Exchange) {
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
	y.growSlots(len(x.Slot))
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
