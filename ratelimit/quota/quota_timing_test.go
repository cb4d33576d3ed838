package quota

import (
	"io"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

var plenty = &Rule{Limit: math.MaxInt64, Period: Month}

func BenchmarkHotKey(b *testing.B) {
	s, at := memory(b, 100_000), moment(b, "2026-02-03 04:05")
	k := key(1)
	for b.Loop() {
		s.TryCharge(k, at, 1, plenty)
	}
}

func BenchmarkHotKeyAllCores(b *testing.B) {
	s, at := memory(b, 100_000), moment(b, "2026-02-03 04:05")
	k := key(1)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.TryCharge(k, at, 1, plenty)
		}
	})
}

func BenchmarkRefused(b *testing.B) {
	s, at := memory(b, 100_000), moment(b, "2026-02-03 04:05")
	k, r := key(1), &Rule{Limit: 1, Period: Month}
	s.TryCharge(k, at, 1, r)
	for b.Loop() {
		s.TryCharge(k, at, 1, r)
	}
}

// many returns a store with a million keys.
func many(b *testing.B) (s *Store, of func(i uint64) bucket.Key, at int64) {
	b.Helper()
	const n = 1_000_000
	of = func(i uint64) bucket.Key { return bucket.Key{i * 0x9e3779b97f4a7c15, i} }
	s, at = memory(b, n), moment(b, "2026-02-03 04:05")
	for i := range uint64(n) {
		s.TryCharge(of(i), at, 1, plenty)
	}
	return s, of, at
}

func BenchmarkMillionKeys(b *testing.B) {
	s, of, at := many(b)
	i := uint64(0)
	for b.Loop() {
		i = (i + 765_431) % 1_000_000
		s.TryCharge(of(i), at, 1, plenty)
	}
	b.ReportMetric(float64(s.Bytes())/1e6, "bytes/key")
}

// A window ends for each of a million keys.
func BenchmarkNextWindow(b *testing.B) {
	s, of, at := many(b)
	i, n := uint64(0), 0
	for b.Loop() {
		if n++; n%1_000_000 == 0 {
			at += longest
		}
		i = (i + 765_431) % 1_000_000
		s.TryCharge(of(i), at+longest, 1, plenty)
	}
}

func BenchmarkWindow(b *testing.B) {
	zone, at := zoneOf(b, "Europe/Berlin"), moment(b, "2026-02-03 04:05")
	for b.Loop() {
		zoneIn{zone}.window(Month, at/1e9)
	}
}

// What a file of a million keys takes besides the disk.
func BenchmarkEncodeMillionKeys(b *testing.B) {
	s, _, at := many(b)
	for b.Loop() {
		if err := encode(io.Discard, func(each func(record) bool) { s.records(at, each) }); err != nil {
			b.Fatal(err)
		}
	}
}

// The same and the disk.
func BenchmarkSaveMillionKeys(b *testing.B) {
	s, of, at := many(b)
	s.path, s.clock = filepath.Join(b.TempDir(), "q"), func() time.Time { return time.Unix(0, at) }
	for b.Loop() {
		s.TryCharge(of(1), at, 1, plenty)
		if err := s.save(); err != nil {
			b.Fatal(err)
		}
	}
}
