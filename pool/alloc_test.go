//go:build !race

package pool

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

// TestAllocMemory: an exchange through a pool with all its policies allocates nothing but what the transport does.
func TestAllocMemory(t *testing.T) {
	p := memoryPool(t, "[pool.a.retry]\n[pool.a.breaker]\nper_target = true\n[pool.a.concurrency]\nlimit = 10\n"+
		"[pool.a.admission]\n[pool.a.outlier]\n", nil)
	x := get(p)
	plan, method := x.Plan, []byte("GET")
	if n := testing.AllocsPerRun(1000, func() {
		x.Reset()
		x.Conn, x.Plan = stillThere{}, plan
		x.SetMethod(method)
		if f := edge.Fetch(x); f != nil {
			t.Fatal(f)
		}
		x.Finish(nil)
	}); n != 0 {
		t.Errorf("%v allocations an exchange", n)
	}
}
