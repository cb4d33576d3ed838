package metric

import (
	"cmp"
	"slices"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// Counters are counters of one name and the same labels, prepared once for many values: where there is a
// series for every route, this is much faster than Scope.Counter. Like its scope it may be used from any
// goroutine until that is closed.
type Counters struct{ vector }

// Counters prepares counters of this name, which must end in _total, and labels. A name appears in what is
// written with its first counter.
func (s *Scope) Counters(name, help string, labels ...string) *Counters {
	return &Counters{newVector(s, spec{name: name, help: help, kind: counter}, labels)}
}

// With returns the counter with these values, which stand in the order that the labels were given in.
func (c *Counters) With(values ...string) *lanes.Counter {
	c.scope.r.mu.Lock()
	defer c.scope.r.mu.Unlock()
	return c.scope.counter(c.find(values))
}

// Histograms are to histograms what Counters are to counters.
type Histograms struct{ vector }

// Histograms prepares histograms of this name, which must end in _seconds, bounds and labels.
func (s *Scope) Histograms(name, help string, bounds []time.Duration, labels ...string) *Histograms {
	return &Histograms{newVector(s, spec{name: name, help: help, kind: histogram, bounds: bounds}, labels)}
}

// With returns the histogram with these values, which stand in the order that the labels were given in.
func (h *Histograms) With(values ...string) *lanes.Histogram {
	h.scope.r.mu.Lock()
	defer h.scope.r.mu.Unlock()
	return h.scope.histogram(h.find(values))
}

// CounterRows are counters of one name that come in rows, one for each value of one more label: a row costs
// little more than a counter. A name is asked for in rows or one by one, not both.
type CounterRows struct{ vector }

// CounterRows prepares rows of counters of this name, which must end in _total, and labels. The one that
// makes the row is the last of them, and behind the others in the alphabet; its values ascend.
func (s *Scope) CounterRows(name, help string, labels, row []string) *CounterRows {
	v := newVector(s, spec{name: name, help: help, kind: counter}, labels)
	n := len(labels) - 1
	if n < 0 || v.labels[n].value != n || !slices.IsSorted(row) || len(row) == 0 {
		panic("BUG: metric " + name + " cannot have these rows")
	}
	v.row = make([]string, len(row))
	for i, value := range row {
		v.row[i] = string(appendLabels(nil, []string{labels[n], value}))
	}
	v.labels = v.labels[:n]
	return &CounterRows{v}
}

// With returns the counters with these values of all labels but the last, in the order of its values; they
// are not to be changed.
func (c *CounterRows) With(values ...string) []*lanes.Counter {
	s := c.scope
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	x, isNew := c.find(values)
	if isNew {
		x.row = make([]*lanes.Counter, len(c.row))
		for i := range x.row {
			x.row[i] = s.r.arena.Counter()
		}
	}
	s.hold(x, nil)
	return x.row
}

// vector is a prepared name with its labels.
type vector struct {
	spec
	scope  *Scope
	labels []label // sorted by name
	family *family // the last one seen under this name; nil: none yet
}

type label struct {
	open  string // what stands before the value
	value int    // its place among the values
}

func newVector(s *Scope, sp spec, names []string) vector {
	checkName(sp.name, sp.kind)
	v := vector{spec: sp, scope: s}
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(names[a], names[b]) })
	before := ""
	for i, value := range order {
		name := names[value]
		checkLabel(sp.name, name, before)
		before = name
		if i > 0 {
			name = "," + name
		}
		v.labels = append(v.labels, label{name + `="`, value})
	}
	return v
}

// find returns the series with these values, new and without a value of its own if there is none. The mutex
// of the registry is held.
func (v *vector) find(values []string) (s *series, isNew bool) {
	r := v.scope.r
	if len(values) != len(v.labels) {
		panic("BUG: metric " + v.name + " is asked for with another number of values than labels")
	}
	if v.family == nil || v.family.count == 0 { // an empty one is no longer in the registry
		v.family = r.family(v.spec)
	}
	r.key = r.key[:0]
	for i := range v.labels {
		l := &v.labels[i]
		r.key = append(r.key, l.open...)
		r.key = append(appendEscaped(r.key, values[l.value], true), '"')
	}
	return r.find(v.family, nil) // newVector has checked them
}
