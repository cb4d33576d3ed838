package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

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
within [server] drain_timeout, then end the process with status 0; a second one ends it within
a second: what is counted is written, requests are cut. A configuration with mistakes, or an
address that is taken, ends it with status 1.

Example: the demo, with its gateway on 127.0.0.1:8080

  penstock run`
}

// Run serves until the process is told to end.
func (k *runCmd) Run(c *console) error {
	log, err := newEvents(c.err)
	if err != nil {
		return err
	}
	defer log.close()
	c = &console{out: c.out, err: log}
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
	conf := p.conf.Load()
	p.notify("STOPPING=1\nSTATUS=Finishing the requests under way\n" +
		extendTimeout(conf.drainDelay+conf.drainTimeout+2*closeTimeout))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if p.linger(conf.drainDelay) {
			p.drain()
		}
	}()
	for {
		select {
		case <-done:
			p.log.Info("ended")
			return nil
		case s := <-signals:
			if s == syscall.SIGHUP {
				p.log.Info("SIGHUP: the process ends, the configuration is not read again")
				continue
			}
			p.log.Warn("ended at once, without waiting for requests", "why", s.String())
			p.abandon()
			return exit(1)
		}
	}
}

// linger goes on accepting for a while: callers of /readyz learn meanwhile that they should go elsewhere. It
// returns false when the process is ended before.
func (p *process) linger(delay time.Duration) bool {
	if delay == 0 {
		return true
	}
	p.log.Info("listeners accept until drain_delay has passed", "delay", delay.String())
	select {
	case <-p.stop:
		return false
	case <-time.After(delay):
		return true
	}
}

// abandon cuts the requests under way, writes what is counted, and gives up the rest.
func (p *process) abandon() {
	p.hasty = true
	ctx, cancel := context.WithTimeout(context.Background(), lastMoment)
	defer cancel()
	p.front.Cut(lastMoment / 2) // their lines belong to the log too
	p.live.Save(ctx)
}

// lastMoment bounds what a process does that is ended at once; lastEvents come on top of it.
const lastMoment = 700 * time.Millisecond
