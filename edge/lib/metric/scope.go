package metric

import (
	"slices"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// Scope is one generation's hold on the series it asked for. A series lives as long as
// some open scope holds it: what two generations both have keeps its value over the
// reload between them, and what the new one has not disappears with the old one.
//
// Labels are given as name, value, name, value…; their order does not matter. Asking
// twice for a series gives the same object. A name or label that is not allowed, a
// name used for two types and the use of a closed scope panic: they come from the
// code, not from the configuration.
type Scope struct {
	r      *Registry
	held   []*series // each once
	closed bool
}

// Scope returns a new scope, which its user closes.
func (r *Registry) Scope() *Scope { return &Scope{r: r} }

// Sub returns a new scope of the same registry, for what may have to go earlier; its user closes it.
func (s *Scope) Sub() *Scope { return s.r.Scope() }

// Counter returns the counter of this name, which must end in _total, and labels.
func (s *Scope) Counter(name, help string, labels ...string) *lanes.Counter {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	return s.counter(s.r.findLabeled(s.r.family(spec{name: name, help: help, kind: counter}), labels))
}

func (s *Scope) counter(x *series, isNew bool) *lanes.Counter {
	if isNew {
		x.counter = s.r.arena.Counter()
	}
	if x.counter == nil {
		panic("BUG: metric " + x.family.name + " is counted and computed")
	}
	s.hold(x, nil)
	return x.counter
}

// Gauge returns the gauge of this name and labels.
func (s *Scope) Gauge(name, help string, labels ...string) *lanes.Gauge {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	x, isNew := s.r.findLabeled(s.r.family(spec{name: name, help: help, kind: gauge}), labels)
	if isNew {
		x.gauge = s.r.arena.Gauge()
	}
	if x.gauge == nil {
		panic("BUG: metric " + name + " is counted and computed")
	}
	s.hold(x, nil)
	return x.gauge
}

// Histogram returns the histogram of this name, which must end in _seconds, and labels.
// All of one name have the same bounds: ascending, inclusive, kept and not to be changed.
func (s *Scope) Histogram(name, help string, bounds []time.Duration, labels ...string) *lanes.Histogram {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	f := s.r.family(spec{name: name, help: help, kind: histogram, bounds: bounds})
	return s.histogram(s.r.findLabeled(f, labels))
}

func (s *Scope) histogram(x *series, isNew bool) *lanes.Histogram {
	if isNew {
		x.hist = lanes.NewHistogram(x.family.bounds)
	}
	s.hold(x, nil)
	return x.hist
}

// GaugeFunc makes f the value of the gauge of this name and labels. When several scopes
// do, the one that did so last wins, as long as it is open. f is called by Write,
// without locks, from any goroutine, and may be called once more while or just after
// the scope is closed.
func (s *Scope) GaugeFunc(name, help string, f func() float64, labels ...string) {
	s.function(name, help, gauge, f, labels)
}

// CounterFunc is GaugeFunc for what only goes up; the name must end in _total.
func (s *Scope) CounterFunc(name, help string, f func() float64, labels ...string) {
	s.function(name, help, counter, f, labels)
}

func (s *Scope) function(name, help string, k kind, f func() float64, labels []string) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	x, _ := s.r.findLabeled(s.r.family(spec{name: name, help: help, kind: k}), labels)
	if x.counter != nil || x.gauge != nil {
		panic("BUG: metric " + name + " is counted and computed")
	}
	s.hold(x, f)
}

// hold notes that s holds x. r.mu is held.
func (s *Scope) hold(x *series, f func() float64) {
	if s.closed {
		panic("BUG: metric " + x.family.name + " is asked for through a closed scope")
	}
	if i := s.among(x); i < 0 {
		s.held = append(s.held, x)
	} else if f == nil {
		return
	} else {
		x.holders = slices.Delete(x.holders, i, i+1)
	}
	x.holders = append(x.holders, holder{s, f})
}

// among finds s among the holders of x.
func (s *Scope) among(x *series) int {
	return slices.IndexFunc(x.holders, func(h holder) bool { return h.scope == s })
}

// Close lets go of all that s holds; closing twice is closing once. Counters handed out
// may be used on, but a series no other scope holds is not written any more.
func (s *Scope) Close() {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	for _, x := range s.held {
		i := s.among(x)
		x.holders = slices.Delete(x.holders, i, i+1)
		if len(x.holders) == 0 {
			s.r.drop(x)
		}
	}
	s.held, s.closed = nil, true
}
