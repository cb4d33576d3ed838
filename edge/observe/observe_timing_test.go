package observe

import (
	"fmt"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

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
