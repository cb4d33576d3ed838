package capacity

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/rig"
)

// maxChains are measured at most.
const maxChains = 20

// Options are what to measure and for how long.
type Options struct {
	Self    string // the program with the bench's own commands
	Ours    string // the gateway's
	Config  string
	Command string
	Route   string  // with which knee, law, TLS and memory are measured; "": the costliest
	Seconds float64 // of a block
	Pairs   int
	Conns   int // for memory
	Halves  int // steps after the coarse search of the knee
	Host    Host
	Log     io.Writer // progress
}

// bench is a measurement under way.
type bench struct {
	*Options
	*site
	report *Report
	chains []Chain
}

// Run measures everything.
func Run(o Options) (*Report, error) {
	f, err := Read(o.Config)
	if err != nil {
		return nil, err
	}
	s, err := newSite(o.Self, o.Ours, f)
	if err != nil {
		return nil, err
	}
	defer s.close()
	b := &bench{Options: &o, site: s, chains: f.Chains(), report: &Report{Command: o.Command,
		File: filepath.ToSlash(o.Config), Machine: rig.Describe(), Seconds: o.Seconds, Pairs: o.Pairs}}
	if n := len(b.chains) - maxChains; n > 0 {
		b.chains, b.report.Omitted = b.chains[:maxChains], n
	}
	for i := range b.chains {
		b.chain(&b.chains[i])
	}
	at, err := b.choose()
	if err != nil {
		return nil, err
	}
	b.report.Route = b.chains[at].Name()
	for _, name := range f.Shared() {
		b.feature(name, b.chains[at])
	}
	for _, c := range b.chains {
		for _, name := range c.Features {
			done := slices.ContainsFunc(b.report.Features, func(r Row) bool { return r.Name == name })
			if !done {
				b.feature(name, c)
			}
		}
	}
	for _, name := range fixed {
		b.report.Features = append(b.report.Features, Row{Name: name,
			Missing: "no key switches it off: the bare hop has it"})
	}
	index := b.chains[at].Index
	for _, step := range []struct {
		name string
		do   func(index int) error
	}{{"scaling", b.scaling}, {"knee", b.knee}, {"TLS", b.tls}, {"memory", b.memory}} {
		if err := step.do(index); err != nil {
			b.report.Missing = append(b.report.Missing, fmt.Sprintf("%s: %s", step.name, err))
			b.say("%s: %s", step.name, err)
		}
	}
	b.report.Statement = b.report.state(o.Host)
	return b.report, nil
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.Log, format+"\n", args...) }

// chain measures a chain against the bare hop in the same process.
func (b *bench) chain(c *Chain) {
	row := Row{Name: c.Name(), Routes: c.Routes, Features: append([]string{c.Answer}, c.Features...)}
	err := func() error {
		g, err := b.start(Spec{Index: c.Index})
		if err != nil {
			return err
		}
		defer g.Stop()
		row.Notes, row.NoLatency = g.copy.Notes, g.copy.Expect != ""
		with, err := g.side(g.copy.Path, g.copy.Expect)
		if err != nil {
			return err
		}
		defer with.load.Stop()
		without, err := g.side(barePath, "")
		if err != nil {
			return err
		}
		defer without.load.Stop()
		return b.turns(&row, with, without)
	}()
	if err != nil {
		row.Missing = err.Error()
	}
	b.report.Chains = append(b.report.Chains, row)
	b.say("chain %s", row.line())
}

// feature measures a chain with a feature against the same without it.
func (b *bench) feature(name string, c Chain) {
	row := Row{Name: name, Chain: c.Name()}
	err := func() error {
		var sides [2]*side
		for i, without := range []string{"", name} {
			g, err := b.start(Spec{Index: c.Index, Without: without})
			if err != nil {
				return err
			}
			defer g.Stop()
			row.NoLatency = g.copy.Expect != ""
			if sides[i], err = g.side(g.copy.Path, g.copy.Expect); err != nil {
				return err
			}
			defer sides[i].load.Stop()
		}
		return b.turns(&row, sides[0], sides[1])
	}()
	if err != nil {
		row.Missing = err.Error()
	}
	b.report.Features = append(b.report.Features, row)
	b.say("feature %s", row.line())
}

func (r *Row) line() string {
	if r.Missing != "" {
		return r.Name + ": not measured: " + r.Missing
	}
	return fmt.Sprintf("%s: %.0f ns a request, %+.0f (%+.0f to %+.0f), %d of %d pairs count", r.Name, r.With.CPU,
		r.Cost.Median, r.Cost.Low, r.Cost.High, r.Counted, r.Pairs)
}

// choose gives the chain for the rest: the one asked for, else the costliest that forwards, else the
// costliest.
func (b *bench) choose() (int, error) {
	best, cost := -1, 0.0
	for _, forwards := range []bool{true, false} {
		for i, c := range b.chains {
			r := b.report.Chains[i]
			named := b.Route != "" && slices.Contains(c.Routes, b.Route)
			if r.Missing != "" || r.NoLatency || b.Route != "" && !named || b.Route == "" && c.Forwards() != forwards {
				continue
			}
			if r.With.CPU > cost {
				best, cost = i, r.With.CPU
			}
		}
		if best >= 0 {
			return best, nil
		}
	}
	if b.Route != "" {
		return 0, fmt.Errorf("route %s was not measured", b.Route)
	}
	return 0, fmt.Errorf("no route of %s could be measured with its latency", b.Config)
}

// alone starts a gateway and a loader for a route and runs f with them.
func (b *bench) alone(spec Spec, cores []int, f func(s *side) error, flags ...string) error {
	g, err := b.start(spec, cores...)
	if err != nil {
		return err
	}
	defer g.Stop()
	s, err := g.side(g.copy.Path, g.copy.Expect, flags...)
	if err != nil {
		return err
	}
	defer s.load.Stop()
	if _, err := s.once(0, .5); err != nil { // warm
		return err
	}
	return f(s)
}

// scaling measures the throughput of 1 to 128 connections, on one core and on two.
func (b *bench) scaling(index int) error {
	sets := [][]int{{rig.ProxyCore}}
	switch n := runtime.NumCPU(); {
	case n == 2:
		sets = append(sets, []int{rig.ProxyCore, rig.OtherCore})
	case n > 2:
		sets = append(sets, []int{rig.ProxyCore, 2})
	}
	for _, cores := range sets {
		s := Scaling{Cores: len(cores), Shared: slices.Contains(cores, rig.OtherCore)}
		err := b.alone(Spec{Index: index}, cores, func(x *side) error {
			for n := 1; n <= 128; n *= 2 {
				x.conns = n
				out, ok, err := x.measure(0, b.Seconds)
				if err != nil {
					return err
				}
				s.Points = append(s.Points, Load{N: n, X: out.Rate, Busy: x.busy(out), Untrusted: !ok})
				b.say("%s, %d connections: %.0f requests a second", s.name(), n, out.Rate)
			}
			return nil
		})
		if err == nil {
			s.Law, err = Fit(s.Points)
		}
		if err != nil {
			s.Missing = err.Error()
		}
		b.report.Scaling = append(b.report.Scaling, s)
	}
	return nil
}

func (b *bench) knee(index int) error {
	return b.alone(Spec{Index: index}, nil, func(s *side) error {
		full, _, err := s.measure(0, max(1, b.Seconds))
		if err != nil {
			return err
		}
		b.report.Knee, err = duel.FindKnee(full.Rate, b.Halves, func(rate float64) (duel.Point, error) {
			x, ok, err := s.measure(rate, max(1, b.Seconds))
			b.say("%.0f requests a second: p99 %.0f µs, %d failed", rate, x.P99/1e3, x.Failed)
			return duel.Point{Rate: rate, P50: x.P50, P99: x.P99, P999: x.P999, Failed: x.Failed,
				Busy: s.busy(x), Untrusted: !ok}, err
		})
		return err
	})
}

// tls measures connections of one request each, and requests over connections that are kept.
func (b *bench) tls(index int) error {
	t := &b.report.TLS
	err := b.alone(Spec{Index: index}, nil, func(s *side) error {
		x, ok, err := s.measure(0, max(1, b.Seconds))
		t.Request, t.Untrusted = x.CPU, !ok
		return err
	}, "-tls")
	if err != nil {
		return err
	}
	return b.alone(Spec{Index: index}, nil, func(s *side) error {
		x, ok, err := s.measure(0, max(1, 2*b.Seconds))
		if err != nil {
			return err
		}
		if x.Failed > 0 {
			err = fmt.Errorf("%d of %d connections failed: %v", x.Failed, x.Sent, x.Errors)
		}
		t.Reached, t.CPU, t.Busy, t.Untrusted = x.Rate, x.CPU, s.busy(x), t.Untrusted || !ok
		t.PerCore, t.Handshake = 1e9/x.CPU, x.CPU-t.Request
		b.say("TLS: %.0f handshakes a second, %.0f µs of CPU each", t.Reached, t.Handshake/1e3)
		return err
	}, "-tls", "-close")
}

// pause lets a process return to rest. It is shorter than the minute within which the gateway gives memory
// back, since a configuration may close idle connections before: what is measured is a little too much.
func (b *bench) pause() { time.Sleep(time.Duration(min(10, 8*b.Seconds) * 1e9)) }
