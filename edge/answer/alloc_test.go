//go:build !race

package answer

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestNoAllocations(t *testing.T) {
	f := func(keys, target string) {
		t.Helper()
		x := new(edge.Exchange)
		filter := run(build1(t, base+keys), x, target)
		if n := testing.AllocsPerRun(1000, func() { filter.Run(x) }); n != 0 {
			t.Errorf("%s: %v allocations", keys, n)
		}
	}
	f("path = \"/u/{id}/{rest:*}\"\nredirect = { to = \"https://h/{id}/{rest}\" }", "/u/1/2/3?q")
	f("prefix = \"/\"\nredirect = { to = \"/new/\" }", "/a//b?q")
	f("prefix = \"/\"\nrespond = { body = \"x\", headers = { A = \"b\", Content-Type = \"c\", Set-Cookie = \"d=e\" } }", "/")
}
