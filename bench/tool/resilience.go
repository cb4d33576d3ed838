package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/bench/rig"
	"github.com/penstock-edge/penstock/bench/storm"
)

func runMisbehave(args []string) error {
	f := flag.NewFlagSet("misbehave", flag.ExitOnError)
	addr := f.String("listen", "127.0.0.1:0", "address to answer at")
	_ = f.Parse(args)
	return storm.Serve(*addr)
}

// runResilience shows what a limit does under overload, and hedging for the slow answers.
func runResilience(args []string) error {
	f := flag.NewFlagSet("resilience", flag.ExitOnError)
	s := stage{}
	f.StringVar(&s.ours, "ours", "bin/penstock", "the gateway's program")
	out := f.String("out", "docs/performance", "where overload.svg and hedging.svg go")
	_ = f.Parse(args)
	var err error
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "penstock-resilience-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	overload, err := s.overload()
	if err != nil {
		return err
	}
	hedging, err := s.hedging()
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(*out, 0o755),
		os.WriteFile(filepath.Join(*out, "overload.svg"), []byte(overload.SVG()), 0o644),
		os.WriteFile(filepath.Join(*out, "hedging.svg"), []byte(hedging.SVG()), 0o644))
}

// stage is where gateways and origins are started.
type stage struct {
	self, ours, dir string
	running         []*exec.Cmd
}

// start starts a program and waits until addr can be connected to.
func (s *stage) start(addr string, args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	s.running = append(s.running, cmd)
	return rig.Answers(addr, 10*time.Second)
}

func (s *stage) clear() {
	for _, cmd := range s.running {
		_ = cmd.Process.Kill() // it has nothing to finish
		_ = cmd.Wait()         // it was killed
	}
	s.running = nil
}

// flood starts n origins that behave so, and a gateway whose pool has these keys, and pours requests on it.
func (s *stage) flood(n int, b storm.Behaviour, keys string, opt storm.Options,
	long time.Duration) ([]storm.Shot, error) {
	defer s.clear()
	var targets []string
	for range n {
		addr, err := rig.FreeAddr()
		if err == nil {
			err = s.start(addr, s.self, "misbehave", "-listen", addr)
		}
		if err == nil {
			err = storm.Behave(addr, b)
		}
		if err != nil {
			return nil, err
		}
		targets = append(targets, fmt.Sprintf("%q", addr))
	}
	addr, err := rig.FreeAddr()
	if err != nil {
		return nil, err
	}
	admin, err := rig.FreeAddr()
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("[admin]\naddress = %q\n[log]\nlevel = \"error\"\n[log.access]\noutput = \"off\"\n"+
		"[[listener]]\naddress = %q\n[pool.app]\ntargets = [%s]\n%s\n[[route]]\nprefix = \"/\"\npool = \"app\"\n"+
		"timeout = \"20s\"\n", admin, addr, strings.Join(targets, ", "), keys)
	file := filepath.Join(s.dir, "penstock.toml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	if err := s.start(addr, s.ours, "run", "--config", file); err != nil {
		return nil, err
	}
	opt.Addr = addr
	fl := storm.Pour(opt)
	fl.Wait(long)
	return fl.Stop(), nil
}

// overload offers a pool that serves 500 requests a second 400, then 2,500, then 400 again.
func (s *stage) overload() (*storm.Plot, error) {
	const capacity, from, to, end = 500, 5, 20, 30
	rate := func(at time.Duration) float64 {
		if at >= from*time.Second && at < to*time.Second {
			return 5 * capacity
		}
		return .8 * capacity
	}
	p := &storm.Plot{
		Title: "A pool that can serve 500 requests a second is offered 400, from 5 s to 20 s 2,500, then 400",
		X:     "seconds", Y: "answers within a second, per second", High: 600,
		Levels: []storm.Level{{Y: capacity, Name: "all it can"}}}
	for at := 0; at <= end; at += 5 {
		p.Ticks = append(p.Ticks, storm.Tick{At: float64(at), Label: fmt.Sprint(at)})
	}
	for _, c := range []struct{ name, color, keys string }{
		{"without a limit", "#b8442f", ""},
		{"adaptive limit", "#2a7d4f", "concurrency = { adaptive = true, min = 4, limit = 20, queue = 50, " +
			"queue_timeout = \"500ms\" }"},
	} {
		fmt.Fprintf(os.Stderr, "overload, %s: %d s\n", c.name, end)
		shots, err := s.flood(1, storm.Behaviour{DelayMS: 20, Workers: 10},
			"max_connections = 4000\nmax_waiting = 10000\nwait_timeout = \"30s\"\n"+c.keys,
			storm.Options{Rate: rate, Workers: 2000, Patience: time.Second}, end*time.Second)
		if err != nil {
			return nil, err
		}
		curve := storm.Curve{Name: c.name, Color: c.color}
		const step = 500 * time.Millisecond
		for at := time.Duration(0); at+step <= end*time.Second; at += step {
			curve.Points = append(curve.Points, [2]float64{(at + step/2).Seconds(),
				storm.Goodput(shots, at, at+step, time.Second)})
		}
		p.Curves = append(p.Curves, curve)
		over := storm.Goodput(shots, (from+2)*time.Second, to*time.Second, time.Second)
		fmt.Printf("overload, %-16s %4.0f good answers a second at 5 times the capacity: %3.0f %% of it\n", c.name,
			over, 100*over/capacity)
	}
	return p, nil
}

// quantiles are those that the picture of hedging shows.
var quantiles = []float64{.5, .75, .9, .95, .98, .99, .995, .999}

// hedging pours requests on three targets of whose answers 2 % are slow.
func (s *stage) hedging() (*storm.Plot, error) {
	p := &storm.Plot{Title: "Three targets answer in 5 ms, 2 % of the time in 300 ms",
		Log: true, Low: 4, High: 512, X: "share of the requests that were answered by then", Y: "milliseconds"}
	for i, q := range quantiles {
		p.Ticks = append(p.Ticks, storm.Tick{At: float64(i), Label: fmt.Sprintf("%g %%", 100*q)})
	}
	for _, c := range []struct{ name, color, keys string }{
		{"without", "#b8442f", ""},
		{"hedge = { after = &quot;p95&quot; }", "#2a7d4f", "hedge = { after = \"p95\" }"},
	} {
		fmt.Fprintf(os.Stderr, "hedging, %s: 20 s\n", c.name)
		shots, err := s.flood(3, storm.Behaviour{DelayMS: 5, SlowPart: .02, SlowMS: 300},
			"balance = \"random\"\n"+c.keys, storm.Options{Rate: storm.Steady(500), Workers: 200}, 20*time.Second)
		if err != nil {
			return nil, err
		}
		var took []time.Duration
		for _, m := range shots {
			if m.Due > time.Second && m.Err == nil {
				took = append(took, m.Took)
			}
		}
		slices.Sort(took)
		curve := storm.Curve{Name: c.name, Color: c.color}
		for i, q := range quantiles {
			curve.Points = append(curve.Points, [2]float64{float64(i),
				float64(took[int(q*float64(len(took)))].Microseconds()) / 1e3})
		}
		p.Curves = append(p.Curves, curve)
		fmt.Printf("hedging, %-32s p50 %v, p99 %v\n", c.name, took[len(took)/2].Round(10*time.Microsecond),
			took[len(took)*99/100].Round(10*time.Microsecond))
	}
	return p, nil
}
