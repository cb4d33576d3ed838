package live

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/front"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/pool"
)

// bigFile has routes over pools and a hundred hosts, as a platform with many teams has.
func bigFile(routes, pools int) string {
	var b strings.Builder
	b.WriteString("[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\n")
	for i := range pools {
		fmt.Fprintf(&b, "[pool.p%d]\ntargets = [\"10.0.%d.%d:8080\", \"10.1.%d.%d:8080\"]\n",
			i, i/250, i%250+1, i/250, i%250+1)
	}
	for i := range routes {
		fmt.Fprintf(&b, "[[route]]\nname = \"r%d\"\nhosts = [\"h%d.example.com\"]\npath = \"/team%d/items/{id}\"\npool = \"p%d\"\n",
			i, i%100, i, i%pools)
	}
	return b.String()
}

// BenchmarkBuild is a reload of 10,000 routes and 1,000 pools: reading, building, swapping, closing the old.
func BenchmarkBuild(b *testing.B) {
	for _, size := range []struct{ routes, pools int }{{100, 10}, {10_000, 1000}} {
		b.Run(fmt.Sprintf("routes=%d/pools=%d", size.routes, size.pools), func(b *testing.B) {
			x := &text{s: bigFile(size.routes, size.pools)}
			registry, current := metric.NewRegistry(), &edge.Current{}
			f := front.New(current, registry.Scope(), nil, 0)
			l := New(Options{Text: x.get, Features: []edge.Feature{f.Feature(), pool.Feature},
				Registry: registry, Current: current, Log: slog.New(slog.DiscardHandler)})
			b.ReportAllocs()
			b.SetBytes(int64(len(x.s)))
			for b.Loop() {
				mustLoad(b, l)
			}
			b.ReportMetric(heapMiB(), "heap-MiB")
			f.Drain(0)
			f.Close()
			if err := l.Close(context.Background()); err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkRead is the share of BenchmarkBuild that reads and decodes the file.
func BenchmarkRead(b *testing.B) {
	text := []byte(bigFile(10_000, 1000))
	b.ReportAllocs()
	for b.Loop() {
		config.Load("big.toml", text, config.Options{})
	}
}

func heapMiB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}
