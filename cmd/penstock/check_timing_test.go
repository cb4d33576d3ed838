package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/live"
)

// bigFile has 10,000 routes over 1,000 pools and 100 hosts.
func bigFile() string {
	const routes, pools = 10_000, 1000
	var b strings.Builder
	b.WriteString("[log.access]\noutput = \"off\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n")
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

// BenchmarkCheck is the first build of a large file, with all features.
func BenchmarkCheck(b *testing.B) {
	text := bigFile()
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		built, err := live.Check("big.toml", []byte(text), dryFeatures())
		if err != nil {
			b.Fatal(err)
		}
		built.Close()
	}
}

// BenchmarkReload is a reload of the same file while it is served: build, swap, and the old generation's end.
func BenchmarkReload(b *testing.B) {
	text := bigFile()
	registry, current := metric.NewRegistry(), &edge.Current{}
	f := front.New(current, registry.Scope(), nil, 0)
	none := edge.Feature{Name: "process", New: func(*edge.Host) *edge.Instance { return nil }}
	l := live.New(live.Options{
		Text:     func() (string, []byte, error) { return "big.toml", []byte(text), nil },
		Features: features(none, f), Registry: registry, Current: current, Log: slog.New(slog.DiscardHandler),
	})
	if _, err := l.Load(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := l.Load(); err != nil {
			b.Fatal(err)
		}
	}
	f.Drain(0)
	f.Close()
	if err := l.Close(context.Background()); err != nil {
		b.Error(err)
	}
}
