// Package metric keeps the metrics of the process and writes them in the text format
// of Prometheus. Series are asked for when a generation is built, by name and labels;
// on the path of a request there are only the counters of package lanes.
package metric

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// ContentType is the Content-Type of what Write writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// DefaultBounds returns upper bounds of buckets for the duration of requests, from
// half a millisecond to a minute: as many as lanes.Histogram has room for in 128 bytes.
func DefaultBounds() []time.Duration {
	const ms = time.Millisecond
	return []time.Duration{
		ms / 2, ms, 5 * ms / 2, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms,
		250 * ms, 500 * ms, time.Second, 5 * time.Second / 2, 10 * time.Second, time.Minute,
	}
}

// Registry holds every series that some open scope holds.
type Registry struct {
	mu       sync.Mutex // guards what follows, and all families, series and scopes
	families map[string]*family
	views    []view // what there is, in order; nil when it has to be made anew
	arena    lanes.Arena
	key      []byte // scratch
}

// NewRegistry returns a registry without series.
func NewRegistry() *Registry { return &Registry{families: make(map[string]*family)} }

type kind uint8

const (
	counter kind = iota
	gauge
	histogram
)

func (k kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// family is what has one name.
type family struct {
	name, help string
	kind       kind
	bounds     []time.Duration    // of a histogram
	series     map[string]*series // by labels
	order      []*series          // sorted, never changed once made; nil when out of date
}

// series is one name with one set of labels. One of the four ways to have a value is
// used: counter, gauge, hist, or a function in holders.
type series struct {
	family  *family
	labels  string // as they are written, without braces; "" for none
	counter *lanes.Counter
	gauge   *lanes.Gauge
	hist    *lanes.Histogram
	holders []holder // in the order they came; the function of the last one counts
}

type holder struct {
	scope *Scope
	f     func() float64 // nil unless the series is a function
}

// view is a family as Write sees it.
type view struct {
	family *family
	series []*series
}

// snapshot returns what there is, sorted by name and labels; nobody changes it later.
func (r *Registry) snapshot() []view {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.views != nil {
		return r.views
	}
	views := make([]view, 0, len(r.families))
	for _, f := range r.families {
		if f.order == nil {
			f.order = make([]*series, 0, len(f.series))
			for _, s := range f.series {
				f.order = append(f.order, s)
			}
			slices.SortFunc(f.order, func(a, b *series) int { return strings.Compare(a.labels, b.labels) })
		}
		views = append(views, view{f, f.order})
	}
	slices.SortFunc(views, func(a, b view) int { return strings.Compare(a.family.name, b.family.name) })
	r.views = views
	return views
}

// function returns the function whose value s has now, nil if nobody holds s.
func (r *Registry) function(s *series) func() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(s.holders) == 0 {
		return nil
	}
	return s.holders[len(s.holders)-1].f
}

// changed says that a series came to f or went from it. r.mu is held.
func (r *Registry) changed(f *family) {
	f.order, r.views = nil, nil
}

// family returns the family of this name, new if there is none. r.mu is held.
func (r *Registry) family(name, help string, k kind, bounds []time.Duration) *family {
	f := r.families[name]
	if f == nil {
		checkName(name, k)
		f = &family{name: name, help: help, kind: k, bounds: bounds, series: make(map[string]*series)}
		r.families[name] = f
	}
	if f.kind != k {
		panic("BUG: metric " + name + " is a " + f.kind.String() + " and a " + k.String())
	}
	if !slices.Equal(f.bounds, bounds) {
		panic("BUG: metric " + name + " has two sets of buckets")
	}
	return f
}

// find returns the series of f with these labels, new and without a value if there is
// none. r.mu is held.
func (r *Registry) find(f *family, labels []string) (s *series, isNew bool) {
	labels = sortLabels(f.name, labels)
	r.key = appendLabels(r.key[:0], labels)
	if s = f.series[string(r.key)]; s != nil {
		return s, false
	}
	checkLabels(f.name, labels)
	s = &series{family: f, labels: string(r.key)}
	f.series[s.labels] = s
	r.changed(f)
	return s, true
}

// drop forgets a series that nobody holds. r.mu is held.
func (r *Registry) drop(s *series) {
	f := s.family
	delete(f.series, s.labels)
	r.changed(f)
	if len(f.series) == 0 {
		delete(r.families, f.name)
	}
}
