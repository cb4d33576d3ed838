package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestIdleStays: a connection to a target that is used again and again stays, from the first second of the process on.
func TestIdleStays(t *testing.T) {
	t.Parallel()
	rec := record(t, nil)
	g := start(t, strings.Replace(simple(rec.addr), "targets", "idle_timeout = \"3s\"\ntargets", 1))
	c := dialRaw(t, g.addr)
	for began := time.Now(); time.Since(began) < 900*time.Millisecond; { // longer than a quarter of idle_timeout
		c.get("/x")
	}
	if opened, _ := rec.connections(); opened != 1 {
		t.Errorf("%d connections to the target were opened, want 1", opened)
	}
}
