package overload

import (
	"math"

	"github.com/penstock-edge/penstock/edge"
)

// memoryPressure is 0 up to the share of the limit from which on requests are refused, 1 at the limit, and in
// between in proportion.
func memoryPressure(used, from float64) float64 {
	return min(max((used-from)/max(1-from, 0.01), 0), 1)
}

// refusedForMemory is the chance of a class at a pressure: sheddable requests are all refused when half of
// the way to the limit is gone, the ordinary ones at the limit. There, nothing else helps: critical ones
// too.
func refusedForMemory(c edge.Class, pressure float64) float64 {
	if c == edge.ClassCritical {
		return math.Floor(pressure)
	}
	return refused(c, pressure)
}

// refusedForCPU spares critical requests, and a tenth of the ordinary ones: refusing costs CPU too, and a
// gateway that does nothing else is of no use.
func refusedForCPU(c edge.Class, pressure float64) float64 {
	switch c {
	case edge.ClassCritical:
		return 0
	case edge.ClassSheddable:
		return refused(c, pressure)
	}
	return min(refused(c, pressure), 0.9)
}

func refused(c edge.Class, pressure float64) float64 {
	if c == edge.ClassSheddable {
		return min(2*pressure, 1)
	}
	return max(2*pressure-1, 0)
}
