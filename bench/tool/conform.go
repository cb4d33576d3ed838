package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/penstock-edge/penstock/edge/e2e/conform"
	"github.com/penstock-edge/penstock/edge/e2e/conform/matrix"
	"github.com/penstock-edge/penstock/edge/e2e/conform/peers"
)

// conforming is a run of the table of requirements.
type conforming struct {
	ours, only, markdown string
	failed               bool
	peers                []string
}

func runConform(args []string) error {
	f := flag.NewFlagSet("conform", flag.ExitOnError)
	c := conforming{}
	f.StringVar(&c.ours, "ours", "bin/penstock", "the gateway's program")
	names := f.String("peers", strings.Join(peers.Names, ","), "whom")
	f.StringVar(&c.only, "only", "", "rows whose name has this in it")
	f.BoolVar(&c.failed, "failed", false, "say only where Penstock fails, and how")
	f.StringVar(&c.markdown, "markdown", "", "also put the table into this file, at its place there")
	_ = f.Parse(args)
	c.peers = strings.Split(*names, ",")
	stop := make(chan os.Signal, 1) // the children end with this process
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- c.run() }()
	select {
	case err := <-done:
		return err
	case s := <-stop:
		return fmt.Errorf("ended by %s", s)
	}
}

func (c *conforming) run() error {
	checks := slices.DeleteFunc(conform.Checks(), func(k conform.Check) bool {
		return !strings.Contains(k.Name(), c.only)
	})
	if len(checks) == 0 {
		return fmt.Errorf("-only: no row has %q in its name", c.only)
	}
	all := map[string][]conform.Outcome{}
	for _, name := range c.peers {
		o, err := c.one(name, checks)
		if err != nil {
			return err
		}
		all[name] = o
	}
	if c.failed {
		printFailed(all["penstock"])
	} else {
		fmt.Print(matrix.Table(all, c.peers))
	}
	if c.markdown != "" {
		doc, err := os.ReadFile(c.markdown)
		if err != nil {
			return err
		}
		if doc, err = matrix.Replace(doc, matrix.Table(all, c.peers)); err != nil {
			return fmt.Errorf("%s: %w", c.markdown, err)
		}
		if err := os.WriteFile(c.markdown, doc, 0o644); err != nil {
			return err
		}
	}
	return verdict(all["penstock"])
}

// one runs the rows against one peer, with an origin of its own.
func (c *conforming) one(name string, checks []conform.Check) ([]conform.Outcome, error) {
	o, err := conform.NewOrigin()
	if err != nil {
		return nil, err
	}
	defer o.Close()
	dir, err := os.MkdirTemp("", "penstock-conform-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	addr, stop, err := peers.Start(name, dir, c.ours, o.Addr())
	if err != nil {
		return nil, err
	}
	defer stop()
	outcomes := conform.Run(addr, o, checks, func(done int) {
		if done%20 == 0 {
			fmt.Fprintf(os.Stderr, "%s: %d of %d\n", name, done, len(checks))
		}
	})
	// A proxy that has broken in some row fails all that follow, which says nothing about these.
	if err := conform.One(addr, o, len(checks), answers); err != nil {
		return nil, fmt.Errorf("%s does not answer any more: %w", name, err)
	}
	return outcomes, nil
}

// answers is what every proxy does.
var answers = conform.Check{Run: func(c *conform.Case) {
	c.On("/a", "body")
	c.Want("at the end", c.Get("/a"), 200, "body")
}}

// printFailed prints the rows that do not hold.
func printFailed(outcomes []conform.Outcome) {
	for _, o := range outcomes {
		if o.Err != nil {
			text := strings.ReplaceAll(o.Err.Error(), "\n", "\n    ")
			fmt.Printf("%s %s %s %s\n    %s\n", o.RFC, o.Section, o.Level, o.Requirement, text)
		}
	}
}

// verdict is an error when a row fails that leaves no choice.
func verdict(outcomes []conform.Outcome) error {
	failed := 0
	for _, o := range outcomes {
		if o.Strict() && o.Err != nil {
			failed++
		}
	}
	if failed > 0 {
		return errors.New("rows that MUST hold for Penstock and do not: " + fmt.Sprint(failed))
	}
	return nil
}
