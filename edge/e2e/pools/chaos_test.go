package pools

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/penstock-edge/penstock/bench/storm"
	"github.com/penstock-edge/penstock/edge/e2e"
)

// target is an origin in a process of its own, which can be killed and stopped.
type target struct {
	t     testing.TB
	addr  string
	netns string // it runs there; "": where the test does
	cmd   *exec.Cmd
}

func newTarget(t testing.TB) *target {
	t.Helper()
	o := &target{t: t, addr: e2e.FreeAddr(t)}
	o.start()
	t.Cleanup(func() { o.kill() })
	return o
}

// start starts the process, also after kill.
func (o *target) start() {
	o.t.Helper()
	command := []string{os.Args[0]}
	if o.netns != "" {
		command = []string{"ip", "netns", "exec", o.netns, os.Args[0]}
	}
	o.cmd = exec.Command(command[0], command[1:]...)
	o.cmd.Env = append(os.Environ(), e2e.OriginEnv+"="+o.addr)
	o.cmd.Stderr = os.Stderr
	if err := o.cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	e2e.Eventually(o.t, "the origin listens", func() bool {
		c, err := net.Dial("tcp", o.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// kill ends the process with SIGKILL.
func (o *target) kill() {
	if o.cmd.ProcessState == nil {
		_ = o.cmd.Process.Kill() // it may have ended
		_ = o.cmd.Wait()         // it was killed
	}
}

func (o *target) signal(s syscall.Signal) {
	o.t.Helper()
	if err := o.cmd.Process.Signal(s); err != nil {
		o.t.Fatal(err)
	}
}

func (o *target) behave(b storm.Behaviour) {
	o.t.Helper()
	if err := storm.Behave(o.addr, b); err != nil {
		o.t.Fatal(err)
	}
}

func (o *target) tally() (seen storm.Tally) {
	o.t.Helper()
	resp, err := http.Get("http://" + o.addr + "/tally")
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&seen); err != nil {
		o.t.Fatal(err)
	}
	return seen
}
