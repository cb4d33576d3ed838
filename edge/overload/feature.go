// Package overload refuses requests while the gateway itself has too little memory or CPU left, the least
// important ones first, and decides how important a request is.
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
	// Of the limit, from which on requests are refused; 0: never.
	MemoryPercent float64 `toml:"memory_percent" default:"90" min:"0" max:"100"`
	// 0: that of the control group or of GOMEMLIMIT, else the machine's memory.
	MemoryLimit config.Size `toml:"memory_limit" default:"0"`
	// Of the processors, above which requests are refused; 0: never.
	CPUPercent float64 `toml:"cpu_percent" default:"0" min:"0" max:"99"`
	// A field that says critical, default or sheddable.
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
	p.conf = file.Overload
	p.shareMemory()
	if p.conf == nil {
		return &edge.Instance{Route: p.route, Start: func() { setCollector(machine{}.collector()) }}
	}
	if name := p.conf.PriorityHeader; header.IsToken(name) {
		p.key = name
	} else if name != "" {
		h.Config.File.Root.Child("overload").Errorf("priority_header", "%q is not the name of a header field", name)
	}
	fresh := func() (*gauge, error) {
		g := newGauge(machine{})
		g.without = machine{}.collector()
		return g, nil
	}
	p.gauge, _ = edge.Keep(h.State, "overload", fresh, (*gauge).stop) // fresh does not fail
	p.metrics()
	return &edge.Instance{
		Route:  p.route,
		Start:  func() { p.gauge.start(p.conf, h.Log) },
		Status: func() any { return p.gauge.status() },
	}
}

// shareMemory lets the other features know how much there is. Where that cannot be found out, nothing is
// refused.
func (p *part) shareMemory() {
	if p.conf != nil && p.conf.MemoryLimit > 0 {
		p.h.Memory = edge.Memory{Bytes: int64(p.conf.MemoryLimit), Where: "memory_limit of [overload]"}
		return
	}
	bounds, err := machine{}.limits()
	if err != nil {
		return
	}
	least := bounds[len(bounds)-1] // GOMEMLIMIT is there when it is the lower one
	p.h.Memory = edge.Memory{Bytes: least.bytes, Where: least.name()}
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
		// or critical, sheddable
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
