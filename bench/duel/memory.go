package duel

import (
	"fmt"
	"time"

	"github.com/penstock-edge/penstock/bench/load"
	"github.com/penstock-edge/penstock/bench/peer"
	"github.com/penstock-edge/penstock/bench/rig"
)

// Memory is what connections cost a proxy that has been in use before.
type Memory struct {
	Work    string      `json:"work"`
	Proxy   string      `json:"proxy"`
	Missing string      `json:"missing,omitempty"`
	Conns   int         `json:"conns"`
	Idle    float64     `json:"idle_bytes"` // each, after one request and some seconds of nothing
	Opened  load.Result `json:"opened"`
	Burst   load.Result `json:"burst"` // all of them used again at once
}

// Idle opens connections to a proxy, sends one request over each, waits, and returns what they hold in
// memory. Then all of them are used again at once.
func (r *Ring) Idle(name string, w peer.Work, conns int, wait time.Duration) (Memory, error) {
	m := Memory{Work: w.Name, Proxy: name, Conns: conns}
	p, err := r.Start(name, w)
	if err != nil {
		m.Missing = err.Error()
		return m, nil
	}
	defer p.Stop()
	if _, err := p.Measure(0, 1); err != nil {
		return m, err
	}
	if _, err := p.Load.Do("drop"); err != nil {
		return m, err
	}
	time.Sleep(wait) // that nothing happens is what is measured
	before, err := rig.Pss(rig.Tree(p.Pid))
	if err != nil {
		return m, err
	}
	if m.Opened, err = p.Load.Do("idle conns=%d", conns); err != nil {
		return m, err
	}
	time.Sleep(wait) // as above
	after, err := rig.Pss(rig.Tree(p.Pid))
	if err != nil {
		return m, err
	}
	m.Idle = float64(after-before) / float64(conns)
	m.Burst, err = p.Load.Do("burst")
	return m, err
}

// Active gives the bytes of memory that a connection holds while it is in use, at a rate that uses all of
// them.
func (p *Proxy) Active(conns int, seconds float64) (float64, error) {
	before, err := rig.Pss(rig.Tree(p.Pid))
	if err != nil {
		return 0, err
	}
	type answer struct {
		r   load.Result
		err error
	}
	done := make(chan answer, 1)
	go func() {
		r, err := p.Load.Do("run conns=%d rate=0 seconds=%f", conns, seconds)
		done <- answer{r, err}
	}()
	time.Sleep(time.Duration(seconds * .7 * 1e9)) // in the midst of the run
	during, err := rig.Pss(rig.Tree(p.Pid))
	a := <-done
	switch {
	case err != nil:
		return 0, err
	case a.err != nil:
		return 0, a.err
	case a.r.Failed > 0:
		return 0, fmt.Errorf("%s: %d requests failed: %v", p.Name, a.r.Failed, a.r.Errors)
	}
	return float64(during-before) / float64(conns), nil
}
