package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/penstock-edge/penstock/edge/config"
)

type runCmd struct {
	Config     string `help:"The configuration; without it the built-in demo is served." placeholder:"FILE"`
	DemoListen string `hidden:"" default:"127.0.0.1:8080"`
	DemoAdmin  string `hidden:"" default:"127.0.0.1:9901"`
}

// Help implements kong.HelpProvider.
func (runCmd) Help() string {
	return `SIGHUP reloads the configuration and reopens log files. SIGTERM and SIGINT let requests end
within [server] drain_timeout, then end the process with status 0; a second one ends it at
once. A configuration with mistakes, or an address that is taken, ends it with status 1.

Example: the demo, with its gateway on 127.0.0.1:8080

  penstock run`
}

// Run serves until the process is told to end.
func (k *runCmd) Run(c *console) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	source := source{file: k.Config}
	if k.Config == "" {
		d, err := startDemo(k.DemoListen, k.DemoAdmin)
		if err != nil {
			return err
		}
		defer d.close()
		source.demo = d
	}
	return serve(c, source, inheritedFiles(), signals)
}

// source is where the configuration comes from.
type source struct {
	file string
	demo *demo // nil: the file
}

// serve runs one gateway from its first load to its end.
func serve(c *console, s source, inherited []*os.File, signals <-chan os.Signal) error {
	p := newProcess(c.err, s, inherited)
	defer p.close()
	if _, err := p.live.Load(); err != nil {
		var errs config.Errors
		if errors.As(err, &errs) {
			return complain(c, errs)
		}
		return err
	}
	p.announce()
	return p.wait(signals)
}

// wait handles signals until the gateway has ended.
func (p *process) wait(signals <-chan os.Signal) error {
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGHUP {
				p.log.Info("SIGHUP: reading the configuration again")
				p.background.Go(p.hangup)
				continue
			}
			p.log.Info("draining", "why", s.String())
		case <-p.drainAsked:
			p.log.Info("draining", "why", "asked for at the admin address")
		}
		return p.end(signals)
	}
}

// end drains and closes; another signal to end cuts it short.
func (p *process) end(signals <-chan os.Signal) error {
	p.draining.Store(true)
	p.notify("STOPPING=1\nSTATUS=Finishing the requests under way")
	done := make(chan struct{})
	go func() {
		p.drain()
		close(done)
	}()
	for {
		select {
		case <-done:
			p.log.Info("ended")
			return nil
		case s := <-signals:
			if s == syscall.SIGHUP {
				continue
			}
			p.log.Warn("ended at once, without waiting for requests", "why", s.String())
			return exit(1)
		}
	}
}
