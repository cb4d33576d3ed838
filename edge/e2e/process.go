package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// NewGateway returns one that is not started: it has addresses and a place for its file.
func NewGateway(t testing.TB) *Gateway {
	t.Helper()
	return &Gateway{T: t, Addr: FreeAddr(t), Admin: FreeAddr(t), Log: &LockedBuffer{},
		File: filepath.Join(t.TempDir(), "penstock.toml")}
}

// Penstock is a call of the binary.
func Penstock(args ...string) *exec.Cmd { return exec.Command(Binary, args...) }

// Spawn starts g.cmd with other streams than the log; nil is /dev/null. It is killed at the end of the test,
// if it runs still.
func (g *Gateway) Spawn(stdout *os.File, stderr io.Writer) {
	g.T.Helper()
	if stdout != nil {
		g.Cmd.Stdout = stdout
	}
	g.Cmd.Stderr = stderr
	if err := g.Cmd.Start(); err != nil {
		g.T.Fatal(err)
	}
	exited := make(chan struct{})
	g.Exited = exited
	go func(cmd *exec.Cmd) {
		g.err = cmd.Wait()
		close(exited)
	}(g.Cmd)
	g.T.Cleanup(func() {
		_ = g.Cmd.Process.Kill() // it has ended, mostly
		<-exited
	})
}

// Event returns the first event with a message; nil: there is none.
func (g *Gateway) Event(msg string) map[string]any {
	for line := range strings.Lines(g.Log.String()) {
		var all map[string]any
		if json.Unmarshal([]byte(line), &all) == nil && all["msg"] == msg {
			return all
		}
	}
	return nil
}

// Attackers is how many connections an attack may have here: both ends of each are files of this machine.
func Attackers(t testing.TB) int {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	return int(min(1000, l.Cur/3))
}

// Needs skips the test where a program is missing; not where everything must be there.
func Needs(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no %s; make deps brings it", program)
		}
		t.Skipf("no %s; make deps brings it", program)
	}
}

// Again starts the gateway after it has ended, and waits until what is on disk is known.
func (g *Gateway) Again() {
	g.T.Helper()
	g.Launch()
	g.WaitReady()
	g.Loaded()
}

// Loaded waits until what is on disk is known.
func (g *Gateway) Loaded() {
	g.T.Helper()
	Eventually(g.T, "the disk is loaded", func() bool { return g.Metric("penstock_cache_disk_loaded{") == 1 })
}

// Exit waits for the end of the process and returns its status.
func (g *Gateway) Exit() int {
	g.T.Helper()
	Eventually(g.T, "the process ends", func() bool {
		select {
		case <-g.Exited:
			return true
		default:
			return false
		}
	})
	var failed *exec.ExitError
	switch {
	case g.err == nil:
		return 0
	case errors.As(g.err, &failed):
		return failed.ExitCode()
	}
	g.T.Fatal(g.err)
	return -1
}

// Must fails the test when there is an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Signal sends a signal to the process.
func (g *Gateway) Signal(s syscall.Signal) {
	g.T.Helper()
	if err := g.Cmd.Process.Signal(s); err != nil {
		g.T.Fatal(err)
	}
}

// Command runs the binary and returns its exit status and what it wrote.
func Command(t testing.TB, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(Binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		status = failed.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	return status, out.String(), errs.String()
}
