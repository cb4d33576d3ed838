package e2e

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/front"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/route"
	"github.com/penstock-edge/penstock/pool"
)

// inProcess serves conf inside the test's process, where allocations can be counted: listeners, pools and the
// given features, without the reload machinery. It returns the address of {{addr}}.
func inProcess(t testing.TB, conf string, more ...edge.Feature) string {
	t.Helper()
	addr := freeAddr(t)
	reg := metric.NewRegistry()
	current := &edge.Current{}
	f := front.New(current, reg.Scope(), nil)
	cfg := config.Load("test.toml", []byte(strings.ReplaceAll(conf, "{{addr}}", addr)), config.Options{})
	h := &edge.Host{Config: cfg, Log: slog.Default(), Metrics: reg.Scope(), State: edge.NewKeeper().Hold()}
	var parts []*edge.Instance
	for _, feature := range append(append([]edge.Feature{}, more...), f.Feature(), pool.Feature) {
		if p := feature.New(h); p != nil {
			parts = append(parts, p)
		}
	}
	g := edge.NewGeneration(1, func() {})
	var rules []route.Rule
	for _, r := range cfg.Routes {
		p := &edge.Plan{Name: r.Name, Timeout: r.Timeout}
		setup := &edge.RouteSetup{Name: r.Name, Plan: p, Table: r.Table}
		for _, part := range parts {
			if part.Route != nil {
				part.Route(setup)
			}
		}
		g.Plans = append(g.Plans, p)
		rules = append(rules, route.Rule{Name: r.Name, Hosts: r.Hosts, Methods: r.Methods, Path: r.Path, Prefix: r.Prefix})
	}
	g.Nowhere = &edge.Plan{Name: "none"}
	for _, part := range parts {
		if part.Early != nil {
			g.Early = append(g.Early, part.Early)
		}
	}
	table, bad := route.NewTable(rules)
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	g.Routes = table
	g.Slots = h.Slots()
	for _, part := range parts {
		if part.Open != nil {
			part.Open()
		}
	}
	if errs := cfg.File.Finish(); errs != nil {
		t.Fatal(errs)
	}
	current.Swap(g)
	for _, part := range parts {
		if part.Start != nil {
			part.Start()
		}
	}
	t.Cleanup(func() {
		f.Drain(time.Second)
		f.Close()
		for _, part := range parts {
			if part.Close != nil {
				part.Close()
			}
		}
		h.State.Release()
	})
	return addr
}
