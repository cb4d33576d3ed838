package bodylimit

import "github.com/penstock-edge/penstock/edge"

// asListener leaves the bound that the front has set.
const asListener = -1

// limit sets the largest body of one route, in bytes. Bodies of unknown length are cut by whoever reads them.
type limit struct{ max int64 }

// Run implements edge.Filter.
func (l *limit) Run(x *edge.Exchange) edge.Verdict {
	if l.max != asListener {
		x.InMax = l.max
	}
	if x.InLen > x.InMax {
		x.Fault = edge.BodyTooLarge
		return edge.Answered
	}
	return edge.Next
}
