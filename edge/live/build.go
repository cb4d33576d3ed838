package live

import (
	"io"
	"log/slog"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/caught"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/route"
)

// Built is everything that one file makes, before it serves.
type Built struct {
	Config  *config.Config
	Routes  *route.Table
	Plans   []*edge.Plan // by index of Config.Routes
	Nowhere *edge.Plan   // of requests without a route
	Early   []edge.Filter
	Slots   int      // length of Exchange.Slot
	Answers []string // the keys that may answer a route, in the order of the features

	host      *edge.Host
	instances []instance
}

// instance is one feature's share.
type instance struct {
	name string
	*edge.Instance
}

// Check builds what text asks for without opening, listening or starting anything. The caller closes what it
// gets. The error is config.Errors.
func Check(name string, text []byte, features []edge.Feature) (*Built, error) {
	b, errs := build(name, text, features, dryHost())
	return b, errs.Err()
}

// Known returns the keys that features know of the sections of text, whether it is good or not: the reference
// is made of them.
func Known(name string, text []byte, features []edge.Feature) []config.Key {
	h := dryHost()
	_, _ = build(name, text, features, h) // what is wrong is no matter
	return h.Config.File.Known()
}

func dryHost() *edge.Host {
	return &edge.Host{
		Dry: true, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Metrics: metric.NewRegistry().Scope(), State: edge.NewKeeper().Hold(),
	}
}

// build makes all parts of a generation; with a single mistake anywhere it closes what was made. A step that
// panics is a mistake of the file too, where it was read.
func build(name string, text []byte, features []edge.Feature, h *edge.Host) (*Built, config.Errors) {
	h.Config = config.Load(name, text, config.Options{})
	b := &Built{Config: h.Config, host: h}
	for _, f := range features {
		b.Answers = append(b.Answers, f.Answers...)
		b.step("build "+f.Name, func() {
			if in := f.New(h); in != nil {
				b.instances = append(b.instances, instance{f.Name, in})
			}
		})
	}
	b.compile()
	b.Slots = h.Slots()
	errs := h.Config.File.Finish()
	if errs == nil && !h.Dry {
		b.open()
		errs = h.Config.File.Finish()
	}
	if errs != nil {
		b.Close()
		return nil, errs
	}
	if b.Routes == nil {
		panic("BUG: rules without a table, and no mistake was recorded")
	}
	return b, nil
}

// step runs a step of building, unless one before has failed, and reports whether it was done.
func (b *Built) step(what string, f func()) bool {
	if b.Config.File.Failed() {
		return false
	}
	p := b.Config.File.Guard(f)
	if p != nil {
		b.logPanic(what, p)
	}
	return p == nil
}

// contain runs what must not end the process, whatever it does.
func (b *Built) contain(what string, f func()) {
	if f == nil {
		return
	}
	if p := caught.Call(f); p != nil {
		b.logPanic(what, p)
	}
}

func (b *Built) logPanic(what string, p *caught.Panic) {
	b.host.Log.Error("panic", "step", what, "panic", b.Config.File.Hide(p.Error()), "stack", string(p.Stack))
}

// fill completes g with what b has.
func (b *Built) fill(g *edge.Generation) {
	g.Routes, g.Plans, g.Nowhere, g.Early, g.Slots = b.Routes, b.Plans, b.Nowhere, b.Early, b.Slots
	g.MergeSlashes = b.Config.Server.MergeSlashes
}

func (b *Built) open() {
	for _, p := range b.instances {
		if p.Open != nil {
			b.step("open "+p.name, p.Open)
		}
	}
}

// start begins what runs beside requests. The generation serves already, so a part that cannot is told of in
// the log only.
func (b *Built) start() {
	for _, p := range b.instances {
		b.contain("start "+p.name, p.Start)
	}
}

// Close ends everything in reverse order of building.
func (b *Built) Close() {
	for i := len(b.instances) - 1; i >= 0; i-- {
		b.contain("close "+b.instances[i].name, b.instances[i].Instance.Close)
	}
	b.contain("release what outlives a generation", b.host.State.Release)
	b.contain("close metrics", b.host.Metrics.Close)
}
