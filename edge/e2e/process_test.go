package e2e

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// newGateway returns one that is not started: it has addresses and a place for its file.
func newGateway(t testing.TB) *gateway {
	t.Helper()
	return &gateway{t: t, addr: freeAddr(t), admin: freeAddr(t), log: &lockedBuffer{},
		file: filepath.Join(t.TempDir(), "penstock.toml")}
}

// penstock is a call of the binary.
func penstock(args ...string) *exec.Cmd { return exec.Command(binary, args...) }

// spawn starts g.cmd with other streams than the log; nil is /dev/null. It is killed at the end of the test, if it
// runs still.
func (g *gateway) spawn(stdout *os.File, stderr io.Writer) {
	g.t.Helper()
	if stdout != nil {
		g.cmd.Stdout = stdout
	}
	g.cmd.Stderr = stderr
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	exited := make(chan struct{})
	g.exited = exited
	go func(cmd *exec.Cmd) {
		g.err = cmd.Wait()
		close(exited)
	}(g.cmd)
	g.t.Cleanup(func() {
		_ = g.cmd.Process.Kill() // it has ended, mostly
		<-exited
	})
}

// event returns the first event with a message; nil: there is none.
func (g *gateway) event(msg string) map[string]any {
	for line := range strings.Lines(g.log.String()) {
		var all map[string]any
		if json.Unmarshal([]byte(line), &all) == nil && all["msg"] == msg {
			return all
		}
	}
	return nil
}
