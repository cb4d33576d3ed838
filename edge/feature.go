package edge

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// Feature is one folder of the house and one line of the list in cmd/penstock/features.go.
type Feature struct {
	Name string
	// Answers are the route keys by which a route is answered: New's Route claims it with RouteSetup.Answers.
	Answers []string
	// New reads the feature's own sections and makes its part of one generation. What is wrong with the file
	// is recorded on the tables of h.Config, so that all errors are found at once. nil: nothing to add.
	New func(h *Host) *Instance
}

// Instance is one feature in one generation. Every field may be nil.
type Instance struct {
	// Early runs for each request before its route is known.
	Early Filter
	// Route adds the feature's filters to one route; it is also called for the plan of requests without a
	// route, with r.Unrouted set. It reads the route's keys from r.Table.
	Route func(r *RouteSetup)
	// Open takes what outsiders can see being taken, such as listening sockets, when all else in the file is
	// good; what cannot be had it records on the file. It is not called for `check`.
	Open func()
	// Start runs once when everything has been built, just before the generation takes over: goroutines
	// begin here. It is not called for `check`.
	Start func()
	// Reopen is called when log files are to be opened anew.
	Reopen func()
	// Status returns what `/status` shows under the feature's name; it is marshalled to JSON.
	Status func() any
	// Unready returns why the process should not get requests yet, such as that nobody is known to whom they
	// could be passed on to; "": it may. It is asked from the start of the process until nothing speaks
	// against it.
	Unready func() string
	// Save writes at once what is counted and not written yet: the process ends without waiting for
	// requests. It is called beside others, perhaps twice, while requests may still be served; who takes
	// long is not waited for.
	Save func()
	// Close ends what New and Start began; instances are closed in reverse order.
	Close func()
}

// RouteSetup is one route while its plan is compiled.
type RouteSetup struct {
	Name      string
	Plan      *Plan
	Table     *config.Table // the [[route]] table; an empty one for the unrouted plan
	Unrouted  bool
	Answerers []string // the keys that may answer a route: those of all features

	answeredBy string // key that answers the route
}

// Add adds f to the filters of phase p, behind those that were added before, or before them in phases that
// run upwards.
func (r *RouteSetup) Add(p Phase, f Filter) {
	if p == Early {
		panic("BUG: early filters belong to the listener, not to a route")
	}
	if fs := &r.Plan.filters[p]; p.upwards() {
		*fs = slices.Insert(*fs, 0, f)
	} else {
		*fs = append(*fs, f)
	}
}

// Note records what the route applies, for `penstock routes` and `explain`.
func (r *RouteSetup) Note(key, value string) {
	r.Plan.Notes = append(r.Plan.Notes, Note{key, value})
}

// Answers claims the route for the key that answers it: "pool", "redirect", … Two claims are an error of the
// file.
func (r *RouteSetup) Answers(key string) {
	if !slices.Contains(r.Answerers, key) {
		panic("BUG: no feature says that " + key + " answers routes")
	}
	if r.answeredBy != "" {
		r.Table.Errorf(key, "route %q is answered by %q already; a route has one of %s", r.Name, r.answeredBy,
			strings.Join(r.Answerers, ", "))
		return
	}
	r.answeredBy = key
}

// Answered reports whether a key has claimed the route.
func (r *RouteSetup) Answered() bool { return r.answeredBy != "" }

// Host is what a feature may ask of the house while it is built.
type Host struct {
	Config *config.Config
	// Dry is set by `check`: nothing is opened, started or listened on.
	Dry     bool
	Log     *slog.Logger
	Metrics *metric.Scope
	State   *Holder // what outlives the generation
	// Current has the generation that serves, for requests of a feature's own; nil when Dry.
	Current *Current

	// Memory is what the process may use; Bytes 0: not known.
	Memory Memory

	upstreams map[string]Upstream
	names     []string // of upstreams, in order
	slots     int
	handlers  []AdminHandler
}

// AdminHandler is an endpoint that a feature lends to the admin listener.
type AdminHandler struct {
	Method, Path string // fasthttp/router syntax
	Handle       fasthttp.RequestHandler
}

// Offer makes u known as a pool that routes can name.
func (h *Host) Offer(name string, u Upstream) {
	if h.upstreams == nil {
		h.upstreams = make(map[string]Upstream)
	}
	h.upstreams[name] = u
	h.names = append(h.names, name)
}

// Upstream returns the pool that the key of t names, or records that there is none.
func (h *Host) Upstream(t *config.Table, key, name string) Upstream {
	u, ok := h.upstreams[name]
	if !ok {
		t.Unknown(key, "pool", name, h.names)
		return nil
	}
	return u
}

// Slot returns the index of Exchange.Slot that now belongs to the caller.
func (h *Host) Slot() int {
	h.slots++
	return h.slots - 1
}

// Slots returns how many slots were given out.
func (h *Host) Slots() int { return h.slots }

// Handle lends an endpoint to the admin listener.
func (h *Host) Handle(method, path string, f fasthttp.RequestHandler) {
	h.handlers = append(h.handlers, AdminHandler{method, path, f})
}

// Handlers returns the endpoints lent so far.
func (h *Host) Handlers() []AdminHandler { return h.handlers }
