package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/peer"
	"github.com/penstock-edge/penstock/bench/rig"
)

// report is what versus writes.
type report struct {
	Command string         `json:"command"`
	Machine rig.Machine    `json:"machine"`
	Duels   []duel.Outcome `json:"duels,omitempty"`
	Memory  []duel.Memory  `json:"memory,omitempty"`
	Tails   []duel.Tail    `json:"tails,omitempty"`
}

type versus struct {
	ours, peers, works         string
	quick, publish, idle, tail bool
	conns                      int
	plan                       duel.Plan
}

func runVersus(args []string) error {
	f := flag.NewFlagSet("versus", flag.ExitOnError)
	v := versus{}
	f.StringVar(&v.ours, "ours", "bin/penstock", "the gateway's program")
	f.StringVar(&v.peers, "peers", "nginx,haproxy,caddy,varnish,relay",
		"with whom: also penstock=PATH for another build, bare, which is guarded-128 without the guards, and "+
			"self, which is first with the first work anyway")
	f.StringVar(&v.works, "works", "plain-128,plain-10k,full-128,10m", "what to do")
	f.IntVar(&v.plan.Pairs, "pairs", 20, "pairs of blocks for each")
	f.Float64Var(&v.plan.Seconds, "seconds", 5, "of each block")
	f.Float64Var(&v.plan.Share, "share", .6, "of the slower one's highest rate, as the rate for both")
	f.BoolVar(&v.plan.Closed, "closed", false, "saturate with all connections instead of a fixed rate")
	f.BoolVar(&v.quick, "quick", false, "4 pairs of 1 second")
	f.BoolVar(&v.publish, "publish", false, "also into docs/performance/")
	f.BoolVar(&v.idle, "idle", false, "memory of idle connections instead")
	f.BoolVar(&v.tail, "tail", false, "added latency at half of the knee instead")
	f.IntVar(&v.conns, "conns", 4000, "idle connections")
	_ = f.Parse(args)
	given := map[string]bool{}
	f.Visit(func(x *flag.Flag) { given[x.Name] = true })
	if !given["peers"] && v.idle {
		v.peers = "nginx,haproxy"
	}
	if !given["peers"] && v.tail {
		v.peers = "haproxy"
	}
	v.plan.Warm, v.plan.Log = .5, os.Stderr
	if v.quick {
		v.plan.Pairs, v.plan.Seconds, v.plan.Warm = 4, 1, .2
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ring, err := duel.NewRing(self, v.ours)
	if err != nil {
		return err
	}
	defer ring.Close()
	stop := make(chan os.Signal, 1) // the children end with this process
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- v.run(ring) }()
	select {
	case err = <-done:
	case s := <-stop:
		err = fmt.Errorf("ended by %s", s)
	}
	return err
}

func (v *versus) run(ring *duel.Ring) error {
	r := report{Command: "go run ./bench/tool " + strings.Join(os.Args[1:], " "), Machine: rig.Describe()}
	peers := strings.Split(v.peers, ",")
	switch {
	case v.idle:
		return v.runIdle(ring, &r, peers)
	case v.tail:
		return v.runTail(ring, &r, peers)
	}
	for _, name := range strings.Split(v.works, ",") {
		w, err := peer.Find(name)
		if err != nil {
			return err
		}
		with := peers
		if len(r.Duels) == 0 && !slices.Contains(peers, "self") {
			with = append([]string{"self"}, peers...)
		}
		for _, p := range with {
			o, err := ring.Run(w, p, v.plan)
			if err != nil {
				return err
			}
			r.Duels = append(r.Duels, o)
			if err := r.write("bench/results/versus.json"); err != nil {
				return err
			}
		}
	}
	r.table()
	fmt.Println(r.doubt())
	if v.publish {
		return r.publish("docs/performance")
	}
	return nil
}

// runIdle prints what an idle connection holds, plain and over TLS.
func (v *versus) runIdle(ring *duel.Ring, r *report, peers []string) error {
	wait := 65 * time.Second // Penstock gives back what a burst has taken within 60; at 75 idle ones are closed
	if v.quick {
		wait = 4 * time.Second
	}
	for _, name := range []string{"plain-128", "tls-128"} {
		w, err := peer.Find(name)
		if err != nil {
			return err
		}
		for _, p := range append([]string{"ours"}, peers...) {
			m, err := ring.Idle(p, w, v.conns, wait)
			if err != nil {
				return err
			}
			r.Memory = append(r.Memory, m)
			fmt.Fprintf(os.Stderr, "%s, %s: %.0f bytes\n", name, p, m.Idle)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "work\tproxy\tconnections\tbytes each\terrors\terrors when all were used again")
	for _, m := range r.Memory {
		if m.Missing != "" {
			fmt.Fprintf(w, "%s\t%s\tnot compared: %s\n", m.Work, m.Proxy, firstLine(m.Missing))
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.0f\t%d\t%d %v\n", m.Work, m.Proxy, m.Conns, m.Idle, m.Opened.Failed,
			m.Burst.Failed, m.Burst.Errors)
	}
	w.Flush()
	return r.write("bench/results/idle.json")
}

// runTail prints the latency that is added to a direct call.
func (v *versus) runTail(ring *duel.Ring, r *report, peers []string) error {
	w, err := peer.Find(strings.Split(v.works, ",")[0])
	if err != nil {
		return err
	}
	for _, p := range peers {
		t, err := ring.Tail(w, p, v.plan)
		if err != nil {
			return err
		}
		r.Tails = append(r.Tails, t)
	}
	tw := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "work\tpeer\trate/s\tdirect p99/p99.9 µs\tours\tpeer\tadded p99 ratio\tadded p99.9 ratio\t"+
		"rounds")
	for _, t := range r.Tails {
		if t.Missing != "" {
			fmt.Fprintf(tw, "%s\t%s\tnot compared: %s\n", t.Work, t.Peer, firstLine(t.Missing))
			continue
		}
		fmt.Fprintf(tw, "%s\t%s\t%.0f\t%.0f/%.0f\t%.0f/%.0f\t%.0f/%.0f\t%.2f (%.2f-%.2f)\t%.2f (%.2f-%.2f)\t"+
			"%d, %d dropped\n",
			t.Work, t.Peer, t.Rate, t.Direct.P99/1e3, t.Direct.P999/1e3, t.Ours.P99/1e3, t.Ours.P999/1e3,
			t.Theirs.P99/1e3, t.Theirs.P999/1e3, t.P99.Median, t.P99.Low, t.P99.High, t.P999.Median, t.P999.Low,
			t.P999.High, t.Rounds, t.Dropped)
	}
	tw.Flush()
	return r.write("bench/results/tail.json")
}

// doubt returns what the pair of equals means for the whole run.
func (r *report) doubt() string {
	for _, o := range r.Duels {
		if o.Peer != "self" {
			continue
		}
		text := fmt.Sprintf("The gateway against itself: %.3f (%.3f to %.3f)", o.CPU.Median, o.CPU.Low, o.CPU.High)
		if o.Untrusted {
			return text + ". Untrusted: too few of its pairs count."
		}
		if o.CPU.Low < .98 || o.CPU.High > 1.02 {
			return text + ". That is beyond 2 %: no verdict on differences as small as this."
		}
		return text + ": within 2 %."
	}
	return "Untrusted: the gateway was not run against itself."
}

func (r *report) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func (r *report) table() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "work\tpeer\trate/s\tours ns\tpeer ns\tratio\t95 %\tuser\tours p99 µs\tpeer p99 µs\t"+
		"ours p99.9\tpeer p99.9\terrors\tpairs\tdropped\t")
	for _, o := range r.Duels {
		if o.Missing != "" {
			fmt.Fprintf(w, "%s\t%s\tnot compared: %s\t\n", o.Work, o.Peer, firstLine(o.Missing))
			continue
		}
		note := ""
		if o.Untrusted {
			note = " untrusted"
		}
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%.0f\t%.3f\t%.3f-%.3f\t%.3f\t%.0f\t%.0f\t%.0f\t"+
			"%.0f\t%d:%d\t%d\t%d%s\t\n",
			o.Work, o.Peer, o.Rate, o.Ours.CPU, o.Theirs.CPU, o.CPU.Median, o.CPU.Low, o.CPU.High, o.User.Median,
			o.Ours.P99/1e3, o.Theirs.P99/1e3, o.Ours.P999/1e3, o.Theirs.P999/1e3, o.Ours.Failed, o.Theirs.Failed,
			o.Pairs, o.Dropped, note)
	}
	w.Flush()
}
