//go:build !race

package rewrite

import (
	"testing"

	"github.com/penstock-edge/penstock/edge"
)

func TestNoAllocations(t *testing.T) {
	f := func(keys, path string) {
		t.Helper()
		b := build1(t, base+keys)
		x := new(edge.Exchange)
		x.Authority = []byte("example.com:8080")
		_, plan := run(b, x, path)
		n := testing.AllocsPerRun(1000, func() {
			x.OutPath = x.Path
			for _, f := range plan.Filters(edge.Rewrite) {
				f.Run(x)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", keys, n)
		}
	}
	f("prefix = \"/v1/\"\nstrip_prefix = \"/v1\"", "/v1/users/7/posts")
	f("path = \"/v1/users/{id}/{rest:*}\"\nrewrite = \"/u/{id}/{rest}\"", "/v1/users/7/a/b/c")
	f("prefix = \"/old/\"\nrewrite = \"/new/\"", "/old/users/7/posts")
	f("path = \"/v{n}/x\"\nrewrite = \"/{n}/x\"", "/v../x")
}
