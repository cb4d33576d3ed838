package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCacheVarnishtest runs scripts that say byte by byte what a client and an origin do, with Varnish's
// own tool between whose ends the gateway stands.
func TestCacheVarnishtest(t *testing.T) {
	t.Parallel()
	needs(t, "varnishtest")
	scripts, err := filepath.Glob("testdata/varnishtest/*.vtc")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(script), ".vtc"), func(t *testing.T) {
			origin := freeAddr(t)
			g := start(t, cached(origin, ""))
			out, err := exec.Command("varnishtest", "-t", "60", "-D", "origin="+origin, "-D", "gateway="+g.addr,
				script).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
