package ratelimit

import (
	"net/netip"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// newGate returns a gate with as many limits, which refuse nobody.
func newGate(n int) *gate {
	file := config.Parse("test.toml", []byte("[rate_limit.main]\nrate = \"1000000000/s\"\n"), config.Options{})
	g := &gate{route: "r", cost: -1}
	for range n {
		c := readConfig(file.Root.Children("rate_limit")[0])
		l := &limit{name: "main", conf: c, kept: newState(c)}
		l.meter = l.kept.meter
		for i := range l.decisions {
			l.decisions[i] = lanes.NewCounter()
		}
		l.describe()
		g.limits = append(g.limits, l)
	}
	return g
}

func benchmarkGate(b *testing.B, n int) {
	g := newGate(n)
	x := &edge.Exchange{}
	x.Slot = make([]any, 1)
	x.Client = netip.MustParseAddr("192.0.2.7")
	head := []byte("HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 10:00:00 GMT\r\n\r\n")
	came := &wire.Response{Status: 200, Fields: len("HTTP/1.1 200 OK\r\n")}
	for b.Loop() {
		x.Times.Head = clock.Now()
		x.TakeHead(came, head)
		g.Run(x)
		(&addFields{}).Run(x)
		done{}.Run(x)
		x.ResetHead()
	}
}

// What a request costs more, fields of the answer included, and reading the clock, which a request has done
// anyway.
func BenchmarkOneLimit(b *testing.B)    { benchmarkGate(b, 1) }
func BenchmarkThreeLimits(b *testing.B) { benchmarkGate(b, 3) }
