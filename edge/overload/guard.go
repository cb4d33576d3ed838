package overload

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// guard gives the requests of a route their class, and refuses some of them while the gateway is overloaded.
type guard struct {
	class edge.Class
	key   string // empty: no field names the class
	gauge *gauge // nil: nothing is refused
	shed  [classes]*lanes.Counter
}

const classes = 3 // of edge.Class

// overloaded is the fault of a refused request.
var overloaded = &edge.Fault{Status: 503, Side: edge.SideGateway, Code: "overloaded", RetryAfter: 1,
	Detail: "The gateway has too little memory or CPU left for this request."}

// Run implements edge.Filter. Chance decides which are refused. Taking turns would need a number that all
// processors write, and it could always hit the same one of two clients whose requests alternate.
func (g *guard) Run(x *edge.Exchange) edge.Verdict {
	x.Class = g.class
	if g.key != "" {
		g.read(x)
	}
	if g.gauge == nil {
		return edge.Next
	}
	share := g.gauge.chance[x.Class].Load()
	if share == 0 || chance.Uint32()>>16 >= share {
		return edge.Next
	}
	g.shed[x.Class].Inc(x.Lane)
	x.Fault = overloaded
	return edge.Answered
}

// read sets the class that the request names, of several the least important. A class that does not exist
// changes nothing.
func (g *guard) read(x *edge.Exchange) {
	known := false
	for v := range x.Req.All(g.key) {
		if len(v) == 0 || len(v) > longestName {
			continue // a long one would be copied
		}
		c, ok := edge.ParseClass(string(v))
		if !ok || !x.Trusted && weight(c) >= weight(x.Class) || known && weight(c) >= weight(x.Class) {
			continue
		}
		x.Class, known = c, true
	}
}

// longestName is at least as long as the name of any class.
const longestName = len("sheddable")

// weight orders the classes, the more important the higher.
func weight(c edge.Class) int { return [classes]int{1, 2, 0}[c] }
