package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/penstock-edge/penstock/bench/storm"
)

// originEnv makes the test binary an origin: its value is the address to listen on.
const originEnv = "PENSTOCK_E2E_ORIGIN"

// originMain serves as an origin process until it is killed.
func originMain(addr string) {
	fmt.Fprintln(os.Stderr, storm.Serve(addr))
	os.Exit(1)
}

// target is an origin in a process of its own, which can be killed and stopped.
type target struct {
	t     testing.TB
	addr  string
	netns string // it runs there; "": where the test does
	cmd   *exec.Cmd
}

func newTarget(t testing.TB) *target {
	t.Helper()
	o := &target{t: t, addr: freeAddr(t)}
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
	o.cmd.Env = append(os.Environ(), originEnv+"="+o.addr)
	o.cmd.Stderr = os.Stderr
	if err := o.cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	eventually(o.t, "the origin listens", func() bool {
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

// pour starts a steady flood of requests, which ends with the test at the latest.
func pour(t testing.TB, addr string, rate float64, workers int, change ...func(*storm.Options)) *storm.Flood {
	opt := storm.Options{Addr: addr, Rate: storm.Steady(rate), Workers: workers}
	for _, c := range change {
		c(&opt)
	}
	s := storm.Pour(opt)
	t.Cleanup(func() { s.Stop() })
	return s
}
