// Package metric keeps the metrics of the process and writes them in the text format
// of Prometheus. Series are asked for when a generation is built, by name and labels;
// on the path of a request there are only the counters of package lanes.
package metric

import (
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

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

// Registry holds every series that some open scope holds, behind a Set of VictoriaMetrics/metrics.
type Registry struct {
	set *metrics.Set // what a scrape asks; the series below are written by its one registered writer

	mu       sync.Mutex // guards what follows, and all families, series and scopes
	families map[string]*family
	// Series of all families by the hash of their labels; those of one hash are chained. What a route has
	// under several names is found in one place.
	series map[uint64]*series
	views  []view // what there is, in order; nil when it has to be made anew
	arena  lanes.Arena

	hash   func(labels []byte) uint64
	key    []byte // scratch: the labels of the series asked for
	last   string // labels of the series found last: the next one often has the same
	hashed uint64 // the hash of last
}

// NewRegistry returns a registry without series.
func NewRegistry() *Registry {
	seed := maphash.MakeSeed()
	return newRegistry(func(b []byte) uint64 { return maphash.Bytes(seed, b) })
}

func newRegistry(hash func([]byte) uint64) *Registry {
	r := &Registry{
		set:      metrics.NewSet(),
		families: make(map[string]*family), series: make(map[uint64]*series), hash: hash, hashed: hash(nil),
	}
	r.set.RegisterMetricsWriter(func(w io.Writer) { r.write(w.(*text)) }) // see Write
	return r
}

type kind uint8

const (
	counter kind = iota
	gauge
	histogram
)

func (k kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// spec is what all users of a name agree on. The help is that of the first.
type spec struct {
	name, help string
	kind       kind
	bounds     []time.Duration // of a histogram
	row        []string        // the last label of each counter of a row, as it is written; nil: no rows
}

// family is what has one name.
type family struct {
	spec
	count int       // of its series
	order []*series // sorted, never changed once made; nil when out of date
}

// series is one name with one set of labels. One of the five ways to have a value is
// used: counter, gauge, hist, row, or a function of a holder.
type series struct {
	family  *family
	labels  string // as they are written, without braces and those of a row; "" for none
	hash    uint64 // of labels
	next    *series
	counter *lanes.Counter
	gauge   *lanes.Gauge
	hist    *lanes.Histogram
	row     []*lanes.Counter
	holders []holder  // in the order they came; the function of the last one counts
	room    [2]holder // for the usual ones: the running generation, and during a reload the next
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
	r.sortSeries()
	views := make([]view, 0, len(r.families))
	for _, f := range r.families {
		views = append(views, view{f, f.order})
	}
	slices.SortFunc(views, func(a, b view) int { return strings.Compare(a.family.name, b.family.name) })
	r.views = views
	return views
}

// sortSeries makes the order of every family that has none. r.mu is held.
func (r *Registry) sortSeries() {
	stale := make(map[*family][]*series)
	for _, f := range r.families {
		if f.order == nil {
			stale[f] = make([]*series, 0, f.count)
		}
	}
	for _, s := range r.series {
		for ; s != nil; s = s.next {
			if order, ok := stale[s.family]; ok {
				stale[s.family] = append(order, s)
			}
		}
	}
	for f, order := range stale {
		slices.SortFunc(order, func(a, b *series) int { return strings.Compare(a.labels, b.labels) })
		f.order = order
	}
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

// changed notes that a series came to f or went from it. r.mu is held.
func (r *Registry) changed(f *family) {
	f.order, r.views = nil, nil
}

// family returns the family of this name, new if there is none. r.mu is held.
func (r *Registry) family(sp spec) *family {
	f := r.families[sp.name]
	if f == nil {
		checkName(sp.name, sp.kind)
		f = &family{spec: sp}
		r.families[sp.name] = f
	}
	switch {
	case f.kind != sp.kind:
		panic("BUG: metric " + sp.name + " is a " + f.kind.String() + " and a " + sp.kind.String())
	case !slices.Equal(f.bounds, sp.bounds):
		panic("BUG: metric " + sp.name + " has two sets of buckets")
	case !slices.Equal(f.row, sp.row):
		panic("BUG: metric " + sp.name + " has two kinds of rows")
	}
	return f
}

// findLabeled returns the series of f with these labels, as find does. r.mu is held.
func (r *Registry) findLabeled(f *family, labels []string) (s *series, isNew bool) {
	labels = sortLabels(f.name, labels)
	r.key = appendLabels(r.key[:0], labels)
	return r.find(f, labels)
}

// find returns the series of f whose labels are in r.key, new and without a value if there
// is none. Of a new one the labels given are checked. r.mu is held.
func (r *Registry) find(f *family, unchecked []string) (s *series, isNew bool) {
	labels, hash := r.last, r.hashed
	if string(r.key) != labels {
		labels, hash = "", r.hash(r.key)
	}
	first := r.series[hash]
	for s = first; s != nil; s = s.next {
		if s.family == f && s.labels == string(r.key) {
			r.last, r.hashed = s.labels, hash
			return s, false
		}
	}
	checkLabels(f.name, unchecked)
	if string(r.key) != labels {
		labels = string(r.key)
	}
	r.last, r.hashed = labels, hash
	s = &series{family: f, labels: labels, hash: hash, next: first}
	s.holders = s.room[:0]
	r.series[hash] = s
	f.count++
	r.changed(f)
	return s, true
}

// drop forgets a series that nobody holds. r.mu is held.
func (r *Registry) drop(s *series) {
	switch first := r.series[s.hash]; {
	case first != s:
		for first.next != s {
			first = first.next
		}
		first.next = s.next
	case s.next != nil:
		r.series[s.hash] = s.next
	default:
		delete(r.series, s.hash)
	}
	f := s.family
	f.count--
	r.changed(f)
	if f.count == 0 {
		delete(r.families, f.name)
	}
}
