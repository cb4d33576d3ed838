package cache

import (
	"fmt"
	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/key"
	"runtime"
	"testing"
)

// BenchmarkPurge purges among 100,000 answers, softly and again, so that they stay: B/answer is what the
// catalog takes.
func BenchmarkPurge(b *testing.B) {
	c, keys := newRecords(256<<20, newSecond()), &key.Rules{}
	before := heap()
	for i := range 100_000 {
		path := fmt.Sprint("/", i)
		text, url := keys.Append(nil, cachetest.Request(path), "r")
		e := &entry.Entry{Lifetime: 1 << 40, Status: 200, Key: text}
		e.Hashes = appendHashes(nil, url, [][]byte{fmt.Append(nil, "tag", i%1000), []byte("all")})
		c.keep(c.hash(text), e, [][]byte{make([]byte, 500)})
	}
	size := float64(heap()-before) / 100_000
	f := func(name string, o *order, want int) {
		b.Run(name, func(b *testing.B) {
			o.soft = true
			c.purges = purges{}
			if n := c.carryOut(o, func() {}); n != want {
				b.Fatal(n, "have gone, want", want)
			}
			for b.Loop() {
				c.carryOut(o, func() {})
			}
			b.ReportMetric(size, "B/answer")
		})
	}
	f("url", &order{urls: [][]byte{[]byte("http://h.example/77")}}, 1)
	f("tag", &order{tags: []string{"tag77"}}, 100)
	f("prefix", &order{prefixes: [][]byte{[]byte("http://h.example/9")}, last: banFor}, 11_111)
	f("all", &order{all: true}, 100_000)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
