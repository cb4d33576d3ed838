package main

import (
	"sync"
	"sync/atomic"
	"time"
)

// readiness is whether new requests are welcome: /readyz and the service manager learn the same. Once ready,
// the process stays so until it drains: what a reload adds takes nothing from the routes that work.
type readiness struct {
	begun  time.Time   // when the process started
	once   atomic.Bool // it is, or was, ready
	waited atomic.Bool // it had to wait for that
	say    sync.Mutex  // held while that is announced
}

// readyPoll is how often the process looks whether it is ready.
const readyPoll = 50 * time.Millisecond

// unready returns why new requests are not welcome; "": they are.
func (p *process) unready() string {
	if p.draining.Load() {
		return "draining"
	}
	if p.readiness.once.Load() {
		return ""
	}
	why := p.live.Unready()
	if why == "" || p.readyLeft() <= 0 {
		p.nowReady(why)
		return ""
	}
	return why
}

// readyLeft is how long the process waits for what speaks against requests.
func (p *process) readyLeft() time.Duration {
	return p.conf.Load().readyAfter - time.Since(p.readiness.begun)
}

// nowReady notifies the service manager, once. missing is what ready_after has been too short for.
func (p *process) nowReady(missing string) {
	p.readiness.say.Lock()
	defer p.readiness.say.Unlock()
	if p.readiness.once.Load() || p.draining.Load() {
		return
	}
	p.readiness.once.Store(true)
	p.admin.takeOver()
	if missing != "" {
		p.log.Warn("ready although not everything is there: ready_after has passed", "why", missing)
	} else if p.readiness.waited.Load() {
		p.log.Info("ready", "after", time.Since(p.readiness.begun).Round(time.Millisecond).String())
	}
	p.notify("READY=1\nSTATUS=" + p.statusLine())
}

// wasTold reports whether the service manager knows that the process is, or was, ready.
func (p *process) wasTold() bool {
	p.readiness.say.Lock()
	defer p.readiness.say.Unlock()
	return p.readiness.once.Load()
}

// becomeReady waits until why, and whatever else speaks against requests, is over.
func (p *process) becomeReady(why string) {
	p.readiness.waited.Store(true)
	left := p.readyLeft()
	p.log.Warn("not ready yet: /readyz says 503 until this is over, or ready_after has passed", "why", why,
		"at_most", left.Round(time.Millisecond).String())
	// The service manager should not lose its patience before that.
	p.notify(extendTimeout(left+readyMargin) + "\nSTATUS=Waiting: " + why)
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for p.unready() != "" && !p.draining.Load() {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
	}
}

// readyMargin is what the service manager is asked for beyond ready_after.
const readyMargin = 10 * time.Second
