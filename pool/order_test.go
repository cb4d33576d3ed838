package pool

import (
	"fmt"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

func TestTargetsWithoutClients(t *testing.T) {
	f := func(targets, more, want string) {
		t.Helper()
		c, errs := readPool("[pool.a]\ntargets = [" + targets + "]\n" + more)
		got := ""
		for _, spec := range c.targets {
			got += fmt.Sprintf("%s*%d", spec.address, spec.weight)
			if spec.drain {
				got += "-"
			}
			got += " "
		}
		if errs != nil {
			got = errs[0].Error()
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", targets, got, want)
		}
	}
	f(`{ address = "a:1", weight = 0 }, { address = "b:1", drain = true, weight = 7 }, { address = "c:1", disabled = true }`, "",
		"a:1*0 b:1*7- ")
	f(`{ address = "a:1", weight = -1 }`, "", "t.toml:2:40: pool.a.targets[1].weight: must be between 0 and 65535, is -1")
	f(`"a:1", { address = "a:1", disabled = true }`, "",
		`t.toml:2:19: pool.a.targets[2]: target "a:1" is in the pool already; give it a weight instead`)
	f(`{ address = "a", disabled = true }, "b:1"`, "", `t.toml:2:12: pool.a.targets[1]: target "a" is not host:port or unix:/path`)
	f(`{ address = "a:1", disabled = true }`, "", "t.toml:2:11: pool.a.targets: all targets are disabled, and a pool needs "+
		"at least one; drain = true keeps one known without clients")
	f(`{ address = "a:1", disabled = true }`, "discover = { file = \"/x\" }\n", "")
}

func TestOrder(t *testing.T) {
	o := &order{}
	f := func(spec targetSpec, weight int32, closed string) {
		t.Helper()
		if w, c := o.of(&spec), o.closes(&spec); w != weight || c != closed {
			t.Errorf("of %+v: weight %d, closed %q; want %d, %q", spec, w, c, weight, closed)
		}
	}
	plain, drained := targetSpec{weight: 2}, targetSpec{weight: 2, drain: true}
	f(plain, 2, "")
	f(drained, 2, "its configuration says drain")
	f(targetSpec{}, 0, "its weight is 0")
	o.weight.put(5, 2)
	f(plain, 5, "")
	f(targetSpec{weight: 3}, 3, "") // said of another configuration
	o.weight.put(0, 2)
	f(plain, 0, "its weight was set to 0 by the admin interface")
	o.drain.put(true, false)
	f(plain, 0, "drained by the admin interface")
	o.weight.put(2, 2) // as configured: nothing is said
	if s := o.status(&plain); s == nil || s.Weight != nil || *s.Drain != true || s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
	o.drain.put(false, true)
	f(drained, 2, "")
	f(plain, 2, "")
	if o.settle(&drained) || !o.settle(&plain) || o.drain.set {
		t.Error("what was said of another configuration stays")
	}
	if s := o.status(&drained); s != nil {
		t.Errorf("nothing is set, %+v", s)
	}
	o = nil
	f(plain, 2, "")
	f(drained, 2, "its configuration says drain")
}

// TestCommands: commands of several callers at once, while a choice is built anew: the last one holds.
func TestCommands(t *testing.T) {
	p := stickyPool(t, "0s")
	members := p.set.Load().members
	var wg sync.WaitGroup
	for i, m := range members {
		for j := range 50 {
			wg.Go(func() {
				p.command(m.Address, func(o *order, spec *targetSpec) {
					o.weight.put(int32(i*j), spec.weight)
					o.drain.put(j%2 == 0, spec.drain)
				})
			})
		}
	}
	wg.Wait()
	for i, m := range members {
		p.command(m.Address, func(o *order, spec *targetSpec) {
			o.weight.put(int32(i), spec.weight)
			o.drain.put(false, spec.drain)
		})
	}
	for i, m := range p.set.Load().members {
		closed := m.state.Load() != 0
		if m.weight != int32(i) || closed != (i == 0) {
			t.Errorf("target %d has weight %d, closed %v", i, m.weight, closed)
		}
	}
	if p.command("10.9.9.9:1", func(*order, *targetSpec) {}) != nil {
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
		m := p.command("10.0.0.2:1", func(o *order, spec *targetSpec) { o.drain.put(true, spec.drain) })
		x := newExchange()
		x.Cookie = []byte("seat=" + p.sticky.value(p.Name, m.Address))
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
