package rig

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCPUSub(t *testing.T) {
	f := func(after, before, want CPU) {
		t.Helper()
		if got := after.Sub(before); got != want {
			t.Errorf("%+v since %+v: %+v, want %+v", after, before, got, want)
		}
	}
	f(CPU{}, CPU{}, CPU{})
	f(CPU{50, 10, 10}, CPU{50, 10, 10}, CPU{})
	f(CPU{1000, 300, 100}, CPU{}, CPU{1000, 750, 250})
	f(CPU{1100, 320, 120}, CPU{100, 20, 20}, CPU{1000, 750, 250})
	f(CPU{900, tick, 0}, CPU{}, CPU{900, 900, 0})
	f(CPU{900, 0, tick}, CPU{}, CPU{900, 0, 900})
	f(CPU{500, 0, 0}, CPU{}, CPU{500, 0, 0}) // shorter than a tick: nothing to share it out by
}

func TestStealSince(t *testing.T) {
	f := func(now, before Host, want float64) {
		t.Helper()
		if got := now.StealSince(before); got != want {
			t.Errorf("%+v since %+v: %g, want %g", now, before, got, want)
		}
	}
	f(Host{100, 7}, Host{100, 7}, 0)
	f(Host{200, 7}, Host{100, 7}, 0)
	f(Host{200, 32}, Host{100, 7}, .25)
}

func TestReadHost(t *testing.T) {
	h := ReadHost()
	if h.All <= 0 || h.Steal < 0 || h.Steal > h.All {
		t.Errorf("%+v", h)
	}
	if later := ReadHost(); later.All < h.All || later.Steal < h.Steal {
		t.Errorf("%+v, then %+v", h, later)
	}
}

// startShell runs a script until the test ends and returns it after its first line of output.
func startShell(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe() // what the script reads to end
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); io.Copy(io.Discard, out); cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestTree(t *testing.T) {
	alone := startShell(t, "echo; read x").Process.Pid
	if got := Tree(alone); !slices.Equal(got, []int{alone}) {
		t.Errorf("tree of %d: %v", alone, got)
	}
	// A child and a child of that; they end with the pipe.
	family := startShell(t, "sh -c 'cat; true' & (sh -c 'echo; cat; true'; true); wait").Process.Pid
	got := Tree(family)
	if got[0] != family || len(got) < 3 || slices.Contains(got, alone) || slices.Contains(got, os.Getpid()) {
		t.Errorf("tree of %d: %v", family, got)
	}
	if all := Tree(os.Getpid()); !slices.Contains(all, alone) || !slices.Contains(all, got[len(got)-1]) {
		t.Errorf("tree of the test: %v, without %d or %d", all, alone, got[len(got)-1])
	}
}

func TestReadCPU(t *testing.T) {
	idle := startShell(t, "echo; read x").Process.Pid
	busy := startShell(t, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo; read x").Process.Pid
	used, err := ReadCPU([]int{busy})
	if err != nil {
		t.Fatal(err)
	}
	before, err := ReadCPU([]int{idle})
	if err != nil {
		t.Fatal(err)
	}
	if before.Total <= 0 || used.Total <= before.Total || used.User+used.System < 0 {
		t.Errorf("idle: %+v, after a loop: %+v", before, used)
	}
	if sum, err := ReadCPU([]int{idle, busy}); err != nil || sum.Total < used.Total+before.Total {
		t.Errorf("both: %+v, %v; one each: %+v, %+v", sum, err, before, used)
	}
	if c, err := ReadCPU(nil); err != nil || c != (CPU{}) {
		t.Errorf("of nothing: %+v, %v", c, err)
	}
}

func TestPss(t *testing.T) {
	pid := startShell(t, "echo; read x").Process.Pid
	one, err := Pss([]int{pid})
	if err != nil || one < 10<<10 || one > 100<<20 {
		t.Errorf("a shell holds %d bytes, %v", one, err)
	}
	if two, err := Pss([]int{pid, os.Getpid()}); err != nil || two <= one {
		t.Errorf("with the test: %d bytes, %v", two, err)
	}
}

// What is read of a process that is gone is an error, not a zero.
func TestGone(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if c, err := ReadCPU([]int{pid}); err == nil {
		t.Errorf("CPU: %+v", c)
	}
	if n, err := Pss([]int{pid}); err == nil {
		t.Errorf("PSS: %d", n)
	}
	if got := Tree(pid); !slices.Equal(got, []int{pid}) {
		t.Errorf("tree: %v", got)
	}
}
