//go:build !race

package cache

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestCacheVarnishtest runs scripts that say byte by byte what a client and an origin do, with Varnish's
// own tool between whose ends the gateway stands.
func TestCacheVarnishtest(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "varnishtest")
	scripts, err := filepath.Glob("testdata/varnishtest/*.vtc")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".vtc"), func(t *testing.T) {
			origin := e2e.FreeAddr(t)
			g := e2e.Start(t, e2e.Cached(origin, ""))
			out, err := exec.Command("varnishtest", "-t", "60", "-D", "origin="+origin, "-D", "gateway="+g.Addr,
				script).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
