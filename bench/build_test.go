package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// builds are the programs that the benchmarks start, each built once for all of them.
var builds struct {
	mu  sync.Mutex
	dir string // as long as TestMain runs
}

// run runs the tests and benchmarks, and removes what was built for them.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "penstock-bench-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "no directory to build programs in:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	builds.dir = dir
	return m.Run()
}

// built gives the program of a folder of this module, as it is shipped.
func built(b *testing.B, folder string) string {
	b.Helper()
	builds.mu.Lock()
	defer builds.mu.Unlock()
	bin := filepath.Join(builds.dir, filepath.Base(folder))
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", bin,
		"github.com/penstock-edge/penstock/"+folder)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("cannot build %s: %v\n%s", folder, err, out)
	}
	return bin
}
