package cache

import (
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
	"github.com/penstock-edge/penstock/edge/e2e/conform"
)

// TestCacheRFC: what RFC 9111, 9211, 9213 and 5861 ask of a shared cache, a subtest for each requirement, which names its
// section.
func TestCacheRFC(t *testing.T) {
	o, err := conform.NewOrigin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	conf := e2e.Cached(o.Addr(), "heuristic = true\n")
	g := e2e.Start(t, strings.Replace(conf, `cache = "main"`, `cache = { name = "main", methods = ["QUERY"] }`, 1))
	for i, c := range conform.Checks() {
		t.Run(c.Name(), func(t *testing.T) {
			if err := conform.One(g.Addr, o, i, c); err != nil {
				t.Error(err)
			}
		})
	}
}
