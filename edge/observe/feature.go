// Package observe records what became of every request: in the metrics of its route, and as a line of the
// access log.
package observe

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

// Feature makes the request metrics and the section [log.access] work.
var Feature = edge.Feature{Name: "observe", New: build}

// Config is [log.access].
type Config struct {
	// Stderr, off, or the path of a file, opened anew on SIGHUP.
	Output string `toml:"output" default:"stdout"`
	// Combined, or a template such as "{client} {status} {path} {seconds}".
	Format string `toml:"format" default:"json"`
	// true: log query strings too, which may hold secrets.
	Query bool `toml:"query" default:"false"`
	// Lines beyond it are dropped and counted, requests never wait for the log.
	MaxBacklogBytes config.Size `toml:"max_backlog_bytes" default:"8MiB" min:"64KiB" max:"1GiB"`

	Table *config.Table `toml:"-"`
}

// noRoute is the label of requests that no route took, refused ones included.
const noRoute = "none"

// observer is the feature in one generation.
type observer struct {
	host    *edge.Host
	log     *accessLog // nil: off
	phases  *phaseMetrics
	metrics routeMetrics
	codes   *codes // outlives the generation
	records []*recorder
}

func build(h *edge.Host) *edge.Instance {
	var section struct {
		Access Config `toml:"access"` // a line for each request, when it has ended
	}
	h.Config.Log.Table.Decode(&section)
	o := &observer{host: h, phases: newPhaseMetrics(h.Metrics), metrics: newRouteMetrics(h.Metrics)}
	o.codes, _ = edge.Keep(h.State, "observe/codes", newCodes, nil) // making it cannot fail
	o.log = newAccessLog(h, &section.Access)
	i := &edge.Instance{Route: o.route, Start: o.start}
	if o.log != nil {
		i.Reopen, i.Status = o.reopen, o.log.status
		i.Save = func() { closeSink(o.log.sink) }
	}
	return i
}

func (o *observer) route(r *edge.RouteSetup) {
	name := r.Name
	if r.Unrouted {
		name = noRoute
	}
	rec := newRecorder(o, name)
	o.records = append(o.records, rec)
	r.Add(edge.Log, rec)
}

func (o *observer) start() { o.codes.prune(o.records) }

func (o *observer) reopen() {
	if err := o.log.sink.Reopen(); err != nil {
		o.host.Log.Error("cannot reopen the access log; the old file stays in use",
			"output", o.log.output, "error", err)
	}
}
