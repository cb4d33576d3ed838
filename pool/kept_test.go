package pool

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/pool/discovery"
)

func TestReadKept(t *testing.T) {
	file := stateFile(t.TempDir(), "a")
	f := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(file.Path(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := readKept(file, "dns x")
		got := fmt.Sprint(err)
		if err == nil && k != nil {
			got = fmt.Sprint(k.Targets)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	if k, err := readKept(file, "dns x"); k != nil || err != nil {
		t.Errorf("of no file: %v, %v", k, err)
	}
	f(`{"source":"dns x","at":"2026-01-02T03:04:05Z","targets":[{"address":"b:2","weight":70000,"zone":"z"},`+
		`{"address":"unix:/a","weight":0,"backup":true,"drain":true}]}`, "[{b:2 65535 z false false} {unix:/a 0  true true}]")
	f(`{"source":"dns y","targets":[{"address":"b:2","weight":1}]}`, "<nil>")
	f(`{"source":"dns x","targets":[{"address":"b","weight":1}]}`, `"b" is not host:port`)
	f(`{"source":"dns x","targets":[]}`, "the answer is empty")
	f(`{"source":"dns x","targets":[{"address":"b:2"`, "is no list of targets")
	f(``, "is no list of targets")
	f(strings.Repeat(" ", maxKept+1), "more than")
}

// TestWriterWritesTheLast: of many sets that come at once the last one is in the file at the end.
func TestWriterWritesTheLast(t *testing.T) {
	p := &Pool{Name: "a", stateDir: t.TempDir(), stateErrors: lanes.NewCounter(), shared: newShared("a")}
	w := &p.shared.writer
	for i := range 200 {
		w.write(p, &kept{Source: "s", Targets: []discovery.Endpoint{{Address: fmt.Sprintf("a:%d", i+1), Weight: 1}}})
	}
	w.done.Wait()
	k, err := readKept(stateFile(p.stateDir, "a"), "s")
	if err != nil || k.Targets[0].Address != "a:200" {
		t.Errorf("%v, %v", k, err)
	}
	if n := p.stateErrors.Sum(); n > 0 {
		t.Errorf("%d errors", n)
	}
	p.stateDir = "/dev/null/x"
	for range 3 {
		w.write(p, &kept{})
		w.done.Wait()
	}
	if n := p.stateErrors.Sum(); n != 3 || w.failed == "" {
		t.Errorf("%d errors, %q", n, w.failed)
	}
}

func TestStateDirIsAbsolute(t *testing.T) {
	h := newHost("[server]\nstate_dir = \"var\"\nready_after = \"2h\"\n[[listener]]\naddress = \":1\"\n[[route]]\nprefix = \"/\"\n")
	defer build(h).Close()
	want := `t.toml:2:1: server.state_dir: must be a path that begins with /, is "var"`
	if errs := h.Config.File.Finish(); !strings.Contains(errs.Error(), want) ||
		!strings.Contains(errs.Error(), "t.toml:3:15: server.ready_after: must be") {
		t.Errorf("%v", errs)
	}
}
