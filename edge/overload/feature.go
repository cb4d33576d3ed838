// Package overload refuses requests while the gateway itself has too little memory or CPU left, the least
// important ones first, and says how important a request is.
package overload

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Feature makes [overload] and the route key priority_class work. In the list it stands behind the feature
// that sets Exchange.Trusted, and before all that costs something.
var Feature = edge.Feature{Name: "overload", New: build}

// Config is [overload].
type Config struct {
	// MemoryPercent of the limit, from which on requests are refused; 0: memory is not looked at.
	MemoryPercent float64 `toml:"memory_percent" default:"90" min:"0" max:"100"`
	// MemoryLimit is what the process may use; 0: what its control group or the machine has.
	MemoryLimit config.Size `toml:"memory_limit" default:"0"`
	// CPUPercent of the processors, above which requests are refused; 0: CPU is not looked at.
	CPUPercent float64 `toml:"cpu_percent" default:"0" min:"0" max:"99"`
	// PriorityHeader names the class of a request; clients that are not trusted may only lower theirs.
	PriorityHeader string `toml:"priority_header"`
}

// part is this feature in one generation.
type part struct {
	h     *edge.Host
	conf  *Config
	gauge *gauge // nil without the section
	key   string // name of the field that names the class; empty: none does
}

func build(h *edge.Host) *edge.Instance {
	p := &part{h: h}
	var file struct {
		Overload *Config `toml:"overload"`
	}
	h.Config.File.Root.Decode(&file)
	if p.conf = file.Overload; p.conf == nil {
		return &edge.Instance{Route: p.route}
	}
	if name := p.conf.PriorityHeader; header.IsToken(name) {
		p.key = name
	} else if name != "" {
		h.Config.File.Root.Child("overload").Errorf("priority_header", "%q is not the name of a header field", name)
	}
	fresh := func() (*gauge, error) { return newGauge(machine{}), nil }
	p.gauge, _ = edge.Keep(h.State, "overload", fresh, (*gauge).stop) // fresh does not fail
	p.metrics()
	return &edge.Instance{
		Route:  p.route,
		Start:  func() { p.gauge.start(p.conf, h.Log) },
		Status: func() any { return p.gauge.status() },
	}
}

func (p *part) metrics() {
	const help = "How near the gateway is to refusing all it may refuse, from 0 to 1."
	for r := range resources {
		p.h.Metrics.GaugeFunc("penstock_overload_pressure", help, func() float64 { return p.gauge.pressure(r) },
			"resource", r.String())
	}
}

func (p *part) route(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var keys struct {
		Class string `toml:"priority_class" default:"default" enum:"default|critical|sheddable"`
	}
	r.Table.Decode(&keys)
	class, _ := edge.ParseClass(keys.Class) // another word has been recorded
	if class != edge.ClassDefault {
		r.Note("priority_class", keys.Class)
	}
	if class == edge.ClassDefault && p.gauge == nil {
		return
	}
	g := &guard{class: class, key: p.key, gauge: p.gauge}
	if p.gauge != nil {
		for c := range g.shed {
			g.shed[c] = p.h.Metrics.Counter("penstock_shed_total",
				"Requests refused because the gateway itself had too little left.", "class", edge.Class(c).String())
		}
	}
	r.Add(edge.Access, g)
}
