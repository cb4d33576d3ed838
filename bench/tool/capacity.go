package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/penstock-edge/penstock/bench/capacity"
)

func runCapacity(args []string) error {
	f := flag.NewFlagSet("capacity", flag.ExitOnError)
	o := capacity.Options{Log: os.Stderr, Command: "go run ./bench/tool " + strings.Join(os.Args[1:], " ")}
	f.StringVar(&o.Config, "config", "", "the configuration file to measure")
	f.StringVar(&o.Ours, "ours", "bin/penstock", "the gateway's program")
	f.StringVar(&o.Route, "route", "", "with which the knee and all behind it are measured (the costliest)")
	f.IntVar(&o.Host.Cores, "host-cores", runtime.NumCPU(), "of the host to say something about")
	f.Float64Var(&o.Host.MemoryGB, "host-memory-gb", capacity.MachineGB(), "of the same, in GiB")
	f.Float64Var(&o.Seconds, "seconds", 2, "of each block")
	f.IntVar(&o.Pairs, "pairs", 10, "pairs of blocks for each comparison")
	f.IntVar(&o.Conns, "conns", 2000, "connections when memory is measured")
	out := f.String("out", "bench/results", "where capacity.json and capacity.html go")
	quick := f.Bool("quick", false, "4 pairs of half a second: a look, not a measurement")
	_ = f.Parse(args)
	if o.Config == "" {
		return errors.New("capacity: -config FILE says which configuration")
	}
	if o.Host.Cores < 1 || o.Host.MemoryGB <= 0 || o.Seconds <= 0 || o.Pairs < 1 || o.Conns < 1 {
		return errors.New("capacity: cores, memory, seconds, pairs and connections are above 0")
	}
	if o.Halves = 4; *quick {
		o.Pairs, o.Seconds, o.Halves = 4, .5, 2
	}
	var err error
	if o.Self, err = os.Executable(); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1) // the children end with this process
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() {
		r, err := capacity.Run(o)
		if err == nil {
			r.Table(os.Stdout)
			err = r.Write(*out)
		}
		done <- err
	}()
	select {
	case err = <-done:
	case s := <-stop:
		err = fmt.Errorf("ended by %s", s)
	}
	return err
}
