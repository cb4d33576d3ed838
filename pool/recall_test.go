package pool

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/pool/discovery"
)

// TestKeptTargets: a gateway that starts while its source is silent uses the targets that were kept, and says so.
func TestKeptTargets(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "targets.toml")
	text := fmt.Sprintf("[server]\nstate_dir = %q\n[pool.a]\nslow_start = \"0s\"\ndiscover = { file = %q }\n", dir, file)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`targets = ["a:1", { address = "b:1", weight = 2 }]`)
	h := newHouse(t)
	h.load(text)
	if got := asked(h.pool("a"), 6); got != "a*2 b*4" || h.in.Unready() != "" {
		t.Fatalf("%s, %q", got, h.in.Unready())
	}
	h.close() // which waits for what is written
	write("no list of targets")
	h = newHouse(t)
	h.load(text)
	if got := asked(h.pool("a"), 6); got != "a*2 b*4" {
		t.Errorf("of those that were kept: %s", got)
	}
	s := h.status("a")
	if s.Discovery == nil || s.Discovery.KeptAge == nil || s.Discovery.Error == "" || !s.Discovery.At.IsZero() {
		t.Errorf("%+v", s.Discovery)
	}
	p := h.pool("a")
	p.found([]discovery.Endpoint{{Address: "c:1", Weight: 1}}, nil)
	if got := asked(p, 3); got != "c*3" || h.status("a").Discovery.KeptAge != nil {
		t.Errorf("when the source has answered: %s, %+v", got, h.status("a").Discovery)
	}
	h.close()
	if err := os.WriteFile(filepath.Join(dir, "targets-a.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	h = newHouse(t)
	h.load(text)
	if got := asked(h.pool("a"), 2); got != "no_upstream*2" || !strings.Contains(h.in.Unready(), "pool a has not found its targets") {
		t.Errorf("without anything: %s, %q", got, h.in.Unready())
	}
	if n := h.pool("a").store.Errors.Sum(); n != 1 {
		t.Errorf("%d errors of the file", n)
	}
}
