package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/penstock-edge/penstock/bench/hits"
	"github.com/penstock-edge/penstock/bench/rig"
)

// worth is what a cache is worth, and what it costs when it is full.
type worth struct {
	Command string       `json:"command"`
	Machine rig.Machine  `json:"machine"`
	Ratios  []hits.Ratio `json:"ratios,omitempty"`
	Full    *hits.Full   `json:"full,omitempty"`

	ratios []hits.Plan
	full   hits.FullPlan
}

func runHits(args []string) error {
	f := flag.NewFlagSet("hits", flag.ExitOnError)
	w := worth{Command: "go run ./bench/tool " + strings.Join(os.Args[1:], " "), Machine: rig.Describe()}
	var p hits.Plan
	ours := f.String("ours", "bin/penstock", "the gateway's program")
	parts := f.String("parts", "ratio,full", "ratio: hits when not all fits; full: what a full cache costs")
	peers := f.String("peers", "penstock,varnish", "ratio: whose")
	bodies := f.String("bodies", "10240,mixed", "ratio: bytes of each body; mixed: 1 KiB to 100 KiB")
	rates := f.String("rates", "0", "ratio: requests a second; 0: as fast as they are answered")
	memory := f.Int64("memory", 64, "ratio: MiB of each cache")
	f.Float64Var(&p.Times, "times", 10, "ratio: how much larger all objects together are")
	f.Float64Var(&p.Exponent, "s", 1, "ratio: exponent of the popularity")
	f.Float64Var(&p.Warm, "warm", 2, "ratio: requests before, in those that it takes to fill the cache")
	f.IntVar(&p.Requests, "requests", 200000, "ratio: requests that count")
	f.IntVar(&p.Conns, "conns", 16, "ratio: connections")
	f.Uint64Var(&p.Seed, "seed", 1, "ratio: of the sequence")
	large := f.Int64("full-memory", 1024, "full: MiB of each cache")
	f.IntVar(&w.full.Body, "full-body", 10240, "full: bytes of each body")
	f.IntVar(&w.full.Hot, "hot", 1000, "full: objects that are asked for")
	f.Float64Var(&w.full.Misses, "misses", .1, "full: share of misses in the second phase")
	f.IntVar(&w.full.Conns, "full-conns", 64, "full: connections")
	f.Float64Var(&w.full.Rate, "rate", 20000, "full: requests a second")
	f.IntVar(&w.full.Pairs, "pairs", 10, "full: pairs of blocks")
	f.Float64Var(&w.full.Seconds, "seconds", 2, "full: of each block")
	quick := f.Bool("quick", false, "a look: 40000 requests that count, 128 MiB, 4 pairs of 1 second")
	_ = f.Parse(args)
	p.Peers, p.Memory = strings.Split(*peers, ","), *memory<<20
	w.full.Memory, w.full.Warm = *large<<20, .3
	if *quick {
		p.Requests, w.full.Memory, w.full.Pairs, w.full.Seconds = 40000, 128<<20, 4, 1
	}
	if err := w.plan(p, *parts, *bodies, *rates); err != nil {
		return err
	}
	return w.runUntilStopped(*ours, strings.Contains(*parts, "full"))
}

// plan makes a plan for each size of bodies and each rate.
func (w *worth) plan(p hits.Plan, parts, bodies, rates string) (err error) {
	if !strings.Contains(parts, "ratio") {
		return nil
	}
	for _, body := range strings.Split(bodies, ",") {
		if p.Body = hits.Mixed; body != "mixed" {
			if p.Body, err = strconv.Atoi(body); err != nil || p.Body < 1 || p.Body > hits.MaxBody {
				return fmt.Errorf("-bodies: want mixed, or 1 to %d: %q", hits.MaxBody, body)
			}
		}
		for _, rate := range strings.Split(rates, ",") {
			if p.Rate, err = strconv.ParseFloat(rate, 64); err != nil || p.Rate < 0 {
				return fmt.Errorf("-rates: want requests a second: %q", rate)
			}
			w.ratios = append(w.ratios, p)
		}
	}
	return nil
}

func (w *worth) runUntilStopped(ours string, full bool) error {
	s := hits.Stage{Log: os.Stderr}
	var err error
	if s.Self, err = os.Executable(); err != nil {
		return err
	}
	if s.Ours, err = filepath.Abs(ours); err != nil {
		return err
	}
	if s.Dir, err = os.MkdirTemp("", "penstock-hits-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.Dir)
	stop := make(chan os.Signal, 1) // the children end with this process
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- w.run(&s, full) }()
	select {
	case err = <-done:
	case sig := <-stop:
		err = fmt.Errorf("ended by %s", sig)
	}
	return err
}

func (w *worth) run(s *hits.Stage, full bool) error {
	for _, p := range w.ratios {
		r, err := s.Ratio(p)
		if err != nil {
			return err
		}
		w.Ratios = append(w.Ratios, r)
	}
	if len(w.Ratios) > 0 {
		w.tableRatios()
	}
	if full {
		f, err := s.Full(w.full)
		if err != nil {
			return err
		}
		w.Full = &f
		w.tableFull()
	}
	text, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll("bench/results", 0o755); err != nil {
		return err
	}
	return os.WriteFile("bench/results/hits.json", append(text, '\n'), 0o644)
}

func (w *worth) tableRatios() {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "bodies\tobjects\trate/s\tcache\thits\tpoints over Varnish\tMiB of memory\tbefore\tfailed\t")
	for _, r := range w.Ratios {
		body := strconv.Itoa(r.Plan.Body)
		if r.Plan.Body == hits.Mixed {
			body = "mixed"
		}
		to, known := 0.0, false
		for _, row := range r.Rows {
			if row.Peer == "varnish" && row.Missing == "" {
				to, known = row.Hits, true
			}
		}
		points := func(share float64) string {
			if !known {
				return "-"
			}
			return fmt.Sprintf("%+.2f", (share-to)*100)
		}
		for _, row := range r.Rows {
			if row.Missing != "" {
				fmt.Fprintf(t, "%s\t%d\t\t%s\tnot measured: %s\t\n", body, r.Objects, row.Peer,
					firstLine(row.Missing))
				continue
			}
			fmt.Fprintf(t, "%s\t%d\t%.0f\t%s\t%.2f %%\t%s\t%.0f\t%.0f\t%d %s\t\n", body, r.Objects, row.Rate,
				row.Peer, row.Hits*100, points(row.Hits), float64(row.Pss)/(1<<20), float64(row.Idle)/(1<<20),
				row.Failed, firstLine(row.Why))
		}
		fmt.Fprintf(t, "%s\t%d\t\tLRU, computed\t%.2f %%\t%s\t\t\t\t\n", body, r.Objects, r.LRU*100, points(r.LRU))
	}
	t.Flush()
}

func (w *worth) tableFull() {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "misses\tcache\tentries\tevicted or moved\tMiB of memory\thits\tp50 µs\tp99 µs\tCPU µs\t"+
		"GC of CPU\tcollections\tpairs\t")
	for _, f := range w.Full.Phases {
		for i, s := range []hits.Side{f.Hot, f.Full} {
			fmt.Fprintf(t, "%.0f %%\t%s\t%.0f\t%.0f\t%.0f\t%.2f %%\t%.0f\t%.0f\t%.2f\t%.2f %%\t%d\t\t\n",
				f.Misses*100, []string{"hot alone", "full"}[i], s.Entries, s.Evictions, float64(s.Pss)/(1<<20),
				s.Hits*100, s.P50/1e3, s.P99/1e3, s.CPU/1e3, s.GC*100, s.Cycles)
		}
		note := ""
		if f.Untrusted {
			note = ", untrusted"
		}
		x := func(r rig.Interval) string { return fmt.Sprintf("%.3f (%.3f-%.3f)", r.Median, r.Low, r.High) }
		fmt.Fprintf(t, "%.0f %%\tratio\t\t\t\t\t%s\t%s\t%s\t\t\t%d, %d dropped%s\t\n", f.Misses*100, x(f.P50),
			x(f.P99), x(f.CPU), f.Pairs, f.Dropped, note)
	}
	t.Flush()
}
