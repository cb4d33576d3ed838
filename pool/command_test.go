package pool

import (
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/pool/order"
	"github.com/penstock-edge/penstock/pool/section"
)

// TestCommands: commands of several callers at once, while a choice is built anew: the last one holds.
func TestCommands(t *testing.T) {
	p := stickyPool(t, "0s")
	members := p.set.Load().members
	var wg sync.WaitGroup
	for i, m := range members {
		for j := range 50 {
			wg.Go(func() {
				p.command(m.Address, func(o *order.Order, spec *section.Target) {
					o.Weight.Put(int32(i*j), spec.Weight)
					o.Drain.Put(j%2 == 0, spec.Drain)
				})
			})
		}
	}
	wg.Wait()
	for i, m := range members {
		p.command(m.Address, func(o *order.Order, spec *section.Target) {
			o.Weight.Put(int32(i), spec.Weight)
			o.Drain.Put(false, spec.Drain)
		})
	}
	for i, m := range p.set.Load().members {
		closed := m.state.Load() != 0
		if m.weight != int32(i) || closed != (i == 0) {
			t.Errorf("target %d has weight %d, closed %v", i, m.weight, closed)
		}
	}
	if p.command("10.9.9.9:1", func(*order.Order, *section.Target) {}) != nil {
		t.Error("a target that is not there takes commands")
	}
}

func newHost(text string) *edge.Host {
	return &edge.Host{Config: config.Load("t.toml", []byte(text), config.Options{}), State: edge.NewKeeper().Hold(),
		Metrics: metric.NewRegistry().Scope()}
}

// started returns a pool of a configuration that runs until the test ends.
func started(t testing.TB, text string) *Pool {
	t.Helper()
	h := newHost(text)
	in := build(h)
	p, _ := h.Upstream(h.Config.File.Root, "pool", "a").(*Pool)
	if p == nil {
		t.Fatal(h.Config.File.Finish())
	}
	in.Start()
	t.Cleanup(in.Close)
	return p
}

func stickyPool(t testing.TB, drainTimeout string) *Pool {
	return started(t, "[[listener]]\naddress = \":1\"\n[pool.a]\ntargets = [\"10.0.0.1:1\", \"10.0.0.2:1\", \"10.0.0.3:1\"]\n"+
		"slow_start = \"0s\"\ndrain_timeout = \""+drainTimeout+"\"\nsticky = { cookie = \"seat\" }\n")
}

// TestAllocDrainingTarget: a target that drains serves whom its cookie brings, at no cost in memory.
func TestAllocDrainingTarget(t *testing.T) {
	f := func(timeout string, stays bool) {
		t.Helper()
		p := stickyPool(t, timeout)
		m := p.command("10.0.0.2:1", func(o *order.Order, spec *section.Target) { o.Drain.Put(true, spec.Drain) })
		x := newExchange()
		x.Cookie = []byte("seat=" + p.sticky.Key.Value(p.Name, m.Address))
		allocs := testing.AllocsPerRun(1000, func() {
			x.Call.Flags = 0
			got, _ := p.choose(x)
			if got == nil || !got.unclaim(x) || (got.Target == m.Target) != stays || (x.Call.Flags&isStuck != 0) != stays {
				t.Fatalf("drain_timeout %s: chosen %v, flags %b", timeout, got.Address, x.Call.Flags)
			}
		})
		if allocs != 0 {
			t.Errorf("%v allocations a choice", allocs)
		}
		p.shared.mark(m.Target, isUnhealthy, true, "test")
		if got, _ := p.choose(x); got == nil || got.Target == m.Target {
			t.Error("a target that drains and is ill is asked")
		}
	}
	f("1h", true)
	f("0s", false)
}
