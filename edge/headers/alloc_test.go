//go:build !race

package headers

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

func TestNoAllocations(t *testing.T) {
	c := compiled(t, `request = { remove = ["X-A", "X-P*"], rename = { X-B = "X-C" }, set = { X-D = "{host}" }, add = { X-E = "{method}" } }`)
	x := new(edge.Exchange)
	x.Host, x.Method = []byte("example.com"), []byte("GET")
	var fields header.Fields
	lines := []byte("X-A: 1\r\nx-pa: 2\r\nX-B: 3\r\nX-D: 4\r\nHost: a\r\n")
	f := func() {
		fields.SetLines(lines, nil)
		c.apply(x, &fields)
	}
	f()
	if n := testing.AllocsPerRun(1000, f); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
