//go:build !race

package deadline

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestNoAllocations(t *testing.T) {
	x := &edge.Exchange{}
	x.OutPath = []byte("/")
	var head []byte
	n := testing.AllocsPerRun(1000, func() {
		x.Req.Set("X-Request-Timeout", "1.5")
		x.Req.Set("Grpc-Timeout", "1S")
		x.Times.Start, x.Deadline = 1, 0
		readDeadline{}.Run(x)
		head = x.AppendHead(head[:0], "host")
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
