package bucket

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"
)

var plenty = Rate{1_000_000, time.Second, 1_000_000}

func BenchmarkHotKey(b *testing.B) {
	g := NewGCRA(100_000, false, plenty)
	k, now := key(1), second
	for b.Loop() {
		now += 1000
		g.TryCharge(k, now, 1)
	}
}

func BenchmarkHotKeyExact(b *testing.B) {
	g := NewGCRA(100_000, true, plenty)
	k, now := key(1), second
	for b.Loop() {
		now += 1000
		g.TryCharge(k, now, 1)
	}
}

func BenchmarkHotKeyAllCores(b *testing.B) {
	g := NewGCRA(100_000, false, plenty)
	k := key(1)
	var clock atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		now := second + clock.Add(1)
		for pb.Next() {
			now += 1000
			g.TryCharge(k, now, 1)
		}
	})
}

// benchmarkCold takes of ten million keys that are all in the table.
func benchmarkCold(b *testing.B, take func(k Key)) {
	const n = 10_000_000
	var raw [8]byte
	of := func(i uint64) Key {
		binary.LittleEndian.PutUint64(raw[:], i)
		return HashKey(1, raw[:])
	}
	for i := range uint64(n) {
		take(of(i))
	}
	i := uint64(0)
	b.ResetTimer()
	for range b.N {
		i = (i + 7_654_321) % n
		take(of(i))
	}
}

func BenchmarkTenMillionKeys(b *testing.B) {
	g := NewGCRA(10_000_000, false, Rate{1, time.Hour, 1000})
	benchmarkCold(b, func(k Key) { g.TryCharge(k, second, 1) })
}

func BenchmarkTenMillionKeysExact(b *testing.B) {
	g := NewGCRA(10_000_000, true, Rate{1, time.Hour, 1000})
	benchmarkCold(b, func(k Key) { g.TryCharge(k, second, 1) })
}

func BenchmarkTenMillionKeysWindow(b *testing.B) {
	w := NewWindow(10_000_000, false, 1000, time.Hour)
	benchmarkCold(b, func(k Key) { w.TryCharge(k, second, 1) })
}

// BenchmarkMemory is what one look into as much memory costs, at a place that nobody could foresee: the
// floor of a table.
func BenchmarkMemory(b *testing.B) {
	words := make([]atomic.Uint64, 14_000_000)
	for i := range words {
		words[i].Store(uint64(i))
	}
	x, seen := uint64(88172645463325252), uint64(0)
	b.ResetTimer()
	for range b.N {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		w := &words[(x+seen&1)%uint64(len(words))]
		v := w.Load()
		seen += v
		w.CompareAndSwap(v, v+1)
	}
}

func BenchmarkRefused(b *testing.B) {
	g := NewGCRA(100_000, false, Rate{1, time.Hour, 1})
	k := key(1)
	for b.Loop() {
		g.TryCharge(k, second, 1)
	}
}

func BenchmarkWindow(b *testing.B) {
	w := NewWindow(100_000, false, 1_000_000, time.Second)
	k, now := key(1), second
	for b.Loop() {
		now += 1000
		w.TryCharge(k, now, 1)
	}
}

func BenchmarkConcurrency(b *testing.B) {
	c := NewConcurrency()
	k := key(1)
	for b.Loop() {
		c.Acquire(k, 10)
		c.Release(k)
	}
}

func BenchmarkHashKey(b *testing.B) {
	raw := []byte("2001:db8:1234::")
	for b.Loop() {
		HashKey(1, raw)
	}
}
