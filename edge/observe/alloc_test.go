//go:build !race

package observe

import (
	"math"
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestAllocs(t *testing.T) {
	f := func(access string, fault *edge.Fault) {
		t.Helper()
		s := newStage(t).build(access)
		defer s.close()
		x := request()
		x.Fault = fault
		// Warm: the buffer of the line, the chunks of the sink, the counter of the code.
		for range 5000 {
			run(s.plan, x)
		}
		// What other goroutines of the process allocate meanwhile is counted too: the least of three is the request's.
		n := math.Inf(1)
		for range 3 {
			n = min(n, testing.AllocsPerRun(1000, func() { run(s.plan, x) }))
		}
		if n != 0 {
			t.Errorf("%s: %v allocations a request", access, n)
		}
	}
	f(`output = "off"`, nil)
	f(`output = "off"`, edge.UpstreamTimeout)
	f(`output = "LOG"`, nil)
	f(`output = "LOG"`, edge.UpstreamTimeout)
	f("output = \"LOG\"\nformat = \"combined\"", nil)
	f("output = \"LOG\"\nformat = \"{time_clf} {path} {query} {seconds_wait}\"\nquery = true", nil)
}
