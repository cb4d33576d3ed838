package disk

import (
	"fmt"
	"testing"
)

// BenchmarkLoad is the start with 6,000 objects of 10 KiB, BenchmarkGet a read of one, BenchmarkPut a write.
func BenchmarkLoad(b *testing.B) {
	o := Options{Dir: b.TempDir(), Size: 128 << 20, Largest: 1 << 20}
	tier := begin(b, o, createFile)
	body := make([]byte, 10<<10)
	for i := range 6000 {
		tier.Put(fmt.Append(nil, i), make([]byte, 500), [][]byte{body}, never)
	}
	tier.Close()
	for b.Loop() {
		begin(b, o, createFile).Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/6000, "ns/object")
}

func BenchmarkGet(b *testing.B) {
	tier := begin(b, Options{Dir: b.TempDir()}, createFile)
	defer tier.Close()
	tier.Put([]byte("a"), make([]byte, 500), [][]byte{make([]byte, 10<<10)}, never)
	tier.settle()
	b.ReportAllocs()
	for b.Loop() {
		if tier.Get([]byte("a")) == nil {
			b.Fatal("gone")
		}
	}
}

func BenchmarkPut(b *testing.B) {
	tier := begin(b, Options{Dir: b.TempDir()}, createFile)
	defer tier.Close()
	body := [][]byte{make([]byte, 10<<10)}
	b.ReportAllocs()
	for b.Loop() {
		tier.Put([]byte("a"), nil, body, never)
		tier.settle()
	}
}
