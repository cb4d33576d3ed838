package metric

import (
	"io"
	"strconv"
	"testing"
	"time"
)

// fill asks for what a generation of n routes asks for.
func fill(s *Scope, n int) {
	bounds := DefaultBounds()
	for i := range n {
		route := strconv.Itoa(i)
		for _, class := range []string{"1xx", "2xx", "3xx", "4xx", "5xx"} {
			s.Counter("penstock_requests_total", "Requests.", "route", route, "status_class", class)
		}
		s.Histogram("penstock_request_duration_seconds", "Duration.", bounds, "route", route).
			Observe(uint32(i), time.Millisecond)
	}
}

func BenchmarkWrite10000Routes(b *testing.B) {
	b.ReportAllocs()
	r := NewRegistry()
	fill(r.Scope(), 10_000)
	for b.Loop() {
		if err := r.Write(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReload10000Routes is a reload that changes no route: the new generation asks
// for everything, the old one lets go.
func BenchmarkReload10000Routes(b *testing.B) {
	b.ReportAllocs()
	r := NewRegistry()
	old := r.Scope()
	fill(old, 10_000)
	for b.Loop() {
		next := r.Scope()
		fill(next, 10_000)
		old.Close()
		old = next
	}
}

func BenchmarkBuild10000Routes(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		fill(NewRegistry().Scope(), 10_000)
	}
}

// prepared asks for the same as fill, in the way meant for many.
func prepared(s *Scope, n int) {
	requests := s.CounterRows("penstock_requests_total", "Requests.",
		[]string{"route", "status_class"}, []string{"1xx", "2xx", "3xx", "4xx", "5xx"})
	seconds := s.Histograms("penstock_request_duration_seconds", "Duration.", DefaultBounds(), "route")
	for i := range n {
		route := strconv.Itoa(i)
		requests.With(route)
		seconds.With(route).Observe(uint32(i), time.Millisecond)
	}
}

func BenchmarkPreparedReload10000Routes(b *testing.B) {
	b.ReportAllocs()
	r := NewRegistry()
	old := r.Scope()
	prepared(old, 10_000)
	for b.Loop() {
		next := r.Scope()
		prepared(next, 10_000)
		old.Close()
		old = next
	}
}

func BenchmarkPreparedBuild10000Routes(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		prepared(NewRegistry().Scope(), 10_000)
	}
}

func BenchmarkWriteProcess(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := WriteProcess(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
