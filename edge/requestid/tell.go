package requestid

import "github.com/penstock-edge/penstock/edge"

// forward sends the id to the target, in place of all that the client sent.
type forward struct{}

// Run implements edge.Filter.
func (forward) Run(x *edge.Exchange) edge.Verdict {
	x.Req.SetBytes(name, x.RequestID)
	return edge.Next
}

// reply puts the id into the answer, in place of all that the target sent.
type reply struct{ *identify }

// Run implements edge.Filter.
func (r reply) Run(x *edge.Exchange) edge.Verdict {
	if len(x.RequestID) == 0 { // another Early filter answered before identify ran
		r.make(x)
	}
	x.Resp.SetBytes(name, x.RequestID)
	return edge.Next
}
