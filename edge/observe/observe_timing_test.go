package observe

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

// template is a log format as users write their own.
const template = `{time} {client} {method} {path} {status} {seconds} {target}`

func BenchmarkRun(b *testing.B) {
	f := func(name, access string) {
		b.Run(name, func(b *testing.B) {
			s := newStage(b).build(access)
			defer s.close()
			x := request()
			filter := s.plan.Filters(edge.Log)[0]
			b.ReportAllocs()
			for b.Loop() {
				filter.Run(x)
			}
		})
	}
	f("metrics", `output = "off"`)
	f("json", `output = "/dev/null"`)
	f("combined", "output = \"/dev/null\"\nformat = \"combined\"")
	f("template", "output = \"/dev/null\"\nformat = \""+template+"\"")
}

// BenchmarkRunParallel is the same on all cores, each in a lane of its own, as connections have it.
func BenchmarkRunParallel(b *testing.B) {
	f := func(name, access string) {
		b.Run(name, func(b *testing.B) {
			s := newStage(b).build(access)
			defer s.close()
			filter := s.plan.Filters(edge.Log)[0]
			var next atomic.Uint32
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				x := request()
				x.Lane = next.Add(1)
				for pb.Next() {
					filter.Run(x)
				}
			})
		})
	}
	f("metrics", `output = "off"`)
	f("json", `output = "/dev/null"`)
}

// BenchmarkLine builds the text alone.
func BenchmarkLine(b *testing.B) {
	f := func(name string, format *format) {
		b.Run(name, func(b *testing.B) {
			e := &entry{x: request(), log: &accessLog{}, route: "users", status: 200}
			e.took = measure(&e.x.Times)
			var text []byte
			b.ReportAllocs()
			for b.Loop() {
				text = format.append(text[:0], e)
			}
			b.SetBytes(int64(len(text)))
		})
	}
	f("json", jsonFormat(false))
	c, _ := parse(combined)
	f("combined", c)
	c, _ = parse(template)
	f("template", c)
}

// BenchmarkRoutes is what the feature costs when a generation of 10,000 routes is built; the second time all
// series exist already, as on a reload.
func BenchmarkRoutes(b *testing.B) {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("route-%d", i)
	}
	table := config.Parse("", nil, config.Options{}).Root
	setup := func(s *stage) {
		for _, name := range names {
			s.instance.Route(&edge.RouteSetup{Name: name, Plan: &edge.Plan{}, Table: table})
		}
	}
	for _, first := range []bool{true, false} {
		b.Run(map[bool]string{true: "first", false: "again"}[first], func(b *testing.B) {
			before := newStage(b).build(`output = "off"`)
			defer before.close()
			if !first {
				setup(before)
			}
			b.ReportAllocs()
			for b.Loop() {
				s := *before
				s.build(`output = "off"`)
				setup(&s)
				s.close()
			}
		})
	}
}
