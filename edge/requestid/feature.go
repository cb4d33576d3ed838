// Package requestid gives every request an id: that of a trusted proxy, or one of its own making.
package requestid

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// Feature names every request, toward the target and in the answer. It has no keys. In the list it stands
// behind the feature that sets Exchange.Trusted, and before all that log or answer.
var Feature = edge.Feature{Name: "requestid", New: build}

func build(*edge.Host) *edge.Instance {
	id := &identify{clock: new(clock.Coarse)}
	return &edge.Instance{
		Early: id,
		Route: func(r *edge.RouteSetup) {
			if !r.Unrouted {
				r.Add(edge.Rewrite, forward{})
			}
			r.Add(edge.Respond, reply{id})
		},
	}
}
