// Package duel has proxies do the same work in turns and measures what each spends on it.
package duel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/bench/peer"
	"github.com/penstock-edge/penstock/bench/rig"
)

// Ring is where the duels take place: the origin that all proxies share, and a directory for their files.
type Ring struct {
	Self, Ours string
	dir        string
	addr       string
	origin     *rig.Process
	count      int
}

// NewRing starts the origin. Self is the program with the bench's own commands, ours the gateway.
func NewRing(self, ours string) (*Ring, error) {
	dir, err := os.MkdirTemp("", "penstock-bench-")
	if err != nil {
		return nil, err
	}
	addr, err := rig.FreeAddr()
	if err == nil {
		ours, err = filepath.Abs(ours)
	}
	if err == nil {
		err = rig.WriteCert(filepath.Join(dir, "cert"))
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	r := &Ring{Self: self, Ours: ours, dir: dir, addr: addr}
	r.origin, err = rig.Start(rig.Program{Args: []string{self, "origin", "-listen", addr}, Core: rig.OtherCore,
		Ours: true, Err: filepath.Join(dir, "origin.log"), Ready: addr})
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return r, nil
}

// Close stops the origin and removes all files.
func (r *Ring) Close() {
	r.origin.Stop()
	os.RemoveAll(r.dir)
}

// Proxy is one that runs, with a loader of its own.
type Proxy struct {
	Name  string
	Setup peer.Setup
	*rig.Process
	Load *rig.Loader
}

// Start starts a proxy for a work. The name "direct" is none: the loader talks to the origin.
func (r *Ring) Start(name string, w peer.Work) (*Proxy, error) {
	r.count++
	s := peer.Setup{Work: w, Self: r.Self, Ours: r.Ours, Origin: r.addr, Cert: filepath.Join(r.dir, "cert"),
		Dir: filepath.Join(r.dir, strconv.Itoa(r.count)+"-"+strings.Split(name, "=")[0])}
	var err error
	if err = os.Mkdir(s.Dir, 0o755); err != nil {
		return nil, err
	}
	if s.Addr, err = rig.FreeAddr(); err != nil {
		return nil, err
	}
	if s.Admin, err = rig.FreeAddr(); err != nil {
		return nil, err
	}
	p := &Proxy{Name: name}
	if name == "direct" {
		s.Addr = r.addr
	} else {
		program, err := peer.Write(name, s)
		if err != nil {
			return nil, err
		}
		if p.Process, err = rig.Start(program); err != nil {
			return nil, err
		}
	}
	p.Setup = s
	flags := []string{"-addr", s.Addr, "-path", w.Path, "-paths", strconv.Itoa(w.Numbers())}
	if w.Close {
		flags = append(flags, "-close")
	}
	if w.TLS {
		flags = append(flags, "-tls")
	}
	if p.Load, err = rig.StartLoader(r.Self, filepath.Join(s.Dir, "loader.log"), flags...); err != nil {
		p.stopProxy()
		return nil, err
	}
	return p, nil
}

func (p *Proxy) stopProxy() {
	if p.Process != nil {
		p.Process.Stop()
	}
}

// Stop ends the loader and the proxy.
func (p *Proxy) Stop() {
	p.Load.Stop()
	p.stopProxy()
}

// Sample is what some seconds of a proxy's work have given. Times are nanoseconds, CPU per request that
// succeeded.
type Sample struct {
	CPU    float64 `json:"cpu"`
	User   float64 `json:"user"`
	System float64 `json:"system"`
	P50    float64 `json:"p50"`
	P99    float64 `json:"p99"`
	P999   float64 `json:"p999"`
	Rate   float64 `json:"rate"`
	Sent   int     `json:"sent"`
	Done   int     `json:"done"`
	Failed int     `json:"failed"`
	Late   float64 `json:"late"`  // share of requests that the loader itself sent late
	Steal  float64 `json:"steal"` // share of the machine's time

	Errors map[string]int `json:"errors,omitempty"`
}

// Measure loads a proxy for some seconds, at a rate or closed loop if that is 0.
func (p *Proxy) Measure(rate, seconds float64) (Sample, error) {
	s, err := Measure(p.Process, p.Load, p.Setup.Work.Conns, rate, seconds, "")
	if err != nil {
		return s, fmt.Errorf("%s: %w", p.Name, err)
	}
	return s, nil
}

// Measure has a loader load a process for some seconds, at a rate or closed loop if that is 0; the process
// may be nil. Errors of the kind expected count as done.
func Measure(proxy *rig.Process, l *rig.Loader, conns int, rate, seconds float64, expected string) (
	Sample, error,
) {
	var pids []int
	if proxy != nil {
		pids = rig.Tree(proxy.Pid)
	}
	host := rig.ReadHost()
	before, err := rig.ReadCPU(pids)
	if err != nil {
		return Sample{}, err
	}
	r, err := l.Do("run conns=%d rate=%f seconds=%f", conns, rate, seconds)
	if err != nil {
		return Sample{}, err
	}
	after, err := rig.ReadCPU(pids)
	if err != nil {
		return Sample{}, err
	}
	if n := r.Errors[expected]; n > 0 {
		delete(r.Errors, expected)
		r.Done, r.Failed, r.Rate = r.Done+n, r.Failed-n, float64(r.Done+n)/r.Seconds
	}
	s := Sample{P50: float64(r.P50), P99: float64(r.P99), P999: float64(r.P999), Rate: r.Rate, Sent: r.Sent,
		Done: r.Done, Failed: r.Failed, Errors: r.Errors, Steal: rig.ReadHost().StealSince(host),
		Late: float64(r.Late) / float64(max(r.Sent, 1))}
	if r.Done == 0 {
		return s, fmt.Errorf("no request succeeded: %v", r.Errors)
	}
	used, n := after.Sub(before), float64(r.Done)
	s.CPU, s.User, s.System = float64(used.Total)/n, float64(used.User)/n, float64(used.System)/n
	return s, nil
}

// Syscalls gives the system calls a request takes, as strace counts them while some are served.
func (p *Proxy) Syscalls(rate, seconds float64) (float64, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return 0, err
	}
	out := filepath.Join(p.Setup.Dir, "strace")
	args := []string{"-f", "-c", "-o", out}
	for _, pid := range rig.Tree(p.Pid) {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.Command("strace", args...)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	attached(rig.Tree(p.Pid))
	s, err := p.Measure(rate, seconds)
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait() // ends by the signal
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return 0, err
	}
	return float64(total(string(text))) / float64(s.Done), nil
}

// attached waits until all processes are traced, for a second at most.
func attached(pids []int) {
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		n := 0
		for _, pid := range pids {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if !strings.Contains(string(text), "TracerPid:\t0\n") {
				n++
			}
		}
		if n == len(pids) {
			return
		}
	}
}

// total adds up the calls in a summary of strace's. Its last line is not taken: not all versions fill its
// columns.
func total(text string) int {
	sum := 0
	for line := range strings.Lines(text) { // % time, seconds, usecs/call, calls, errors if any, name
		f := strings.Fields(line)
		if len(f) < 5 || f[len(f)-1] == "total" {
			continue
		}
		if n, err := strconv.Atoi(f[3]); err == nil {
			sum += n
		}
	}
	return sum
}
