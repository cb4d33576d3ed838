//go:build !race

package operation

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestIdleStays: a connection to a target that is used again and again stays, from the first second of the process on.
func TestIdleStays(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, strings.Replace(e2e.Simple(rec.Addr), "targets", "idle_timeout = \"3s\"\ntargets", 1))
	c := e2e.DialRaw(t, g.Addr)
	for began := time.Now(); time.Since(began) < 900*time.Millisecond; { // longer than a quarter of idle_timeout
		c.Get("/x")
	}
	if opened, _ := rec.Connections(); opened != 1 {
		t.Errorf("%d connections to the target were opened, want 1", opened)
	}
}
