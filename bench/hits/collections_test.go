package hits

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestParseCollections(t *testing.T) {
	f := func(text string, cycles int, seconds float64) {
		t.Helper()
		c := parseCollections(text)
		if c.cycles != cycles || math.Abs(c.seconds-seconds) > 1e-12 {
			t.Errorf("%q: %+v, want %d, %g s", text, c, cycles, seconds)
		}
	}
	const one = "gc 7 @1.2s 3%: 0.1+2.0+0.01 ms clock, 0.5+1/20/300+4 ms cpu, 4->5->3 MB, 0 MB stacks, 1 P\n"
	f("", 0, 0)
	f("warn: something gc 1 ms cpu\n", 0, 0)
	f(one, 1, .0255)
	f("gc 8 @1.2s 3%: 1+2+3 ms clock, 1+0/2/3+4 ms cpu, 4->5->3 MB, 1 P (forced)\n", 1, .007)
	f("another line\n"+one+"{}\n"+one, 2, .051)
	f(one+one[:len(one)-3], 1, .0255) // the rest is to come
	f("gc 8 of something else\n", 0, 0)
}

// What the Go in use writes is understood: one line for each collection, the last one's maybe not whole.
func TestReadCollections(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "main.go")
	text := "package main\nimport \"runtime\"\nfunc main() { for range 4 { runtime.GC() } }\n"
	if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "collect")
	if out, err := exec.Command("go", "build", "-o", bin, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(bin)
	cmd.Env = append(os.Environ(), "GODEBUG=gctrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	if err := os.WriteFile(log, out, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := readCollections(log); err != nil || c.cycles < 3 || c.cycles > 4 || c.seconds <= 0 {
		t.Errorf("%+v, %v of %s", c, err, out)
	}
	if c, err := readCollections(filepath.Join(dir, "none")); err == nil {
		t.Errorf("without a file: %+v", c)
	}
}
