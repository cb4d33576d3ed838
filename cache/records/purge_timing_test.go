package records

import (
	"fmt"
	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/purge"
	"runtime"
	"testing"
)

// BenchmarkPurge purges among 100,000 answers, softly and again, so that they stay: B/answer is what the
// catalog takes.
func BenchmarkPurge(b *testing.B) {
	c, keys := New(256<<20, NewDurable()), &key.Rules{}
	before := heap()
	for i := range 100_000 {
		path := fmt.Sprint("/", i)
		text, url := keys.Append(nil, cachetest.Request(path), "r")
		e := &entry.Entry{Lifetime: 1 << 40, Status: 200, Key: text}
		e.Hashes = purge.AppendHashes(nil, url, [][]byte{fmt.Append(nil, "tag", i%1000), []byte("all")})
		c.Keep(c.Hash(text), e, [][]byte{make([]byte, 500)})
	}
	size := float64(heap()-before) / 100_000
	f := func(name string, o *purge.Order, want int) {
		b.Run(name, func(b *testing.B) {
			o.Soft = true
			c.Purges = purge.Set{}
			if n := c.Purge(o, func() {}); n != want {
				b.Fatal(n, "have gone, want", want)
			}
			for b.Loop() {
				c.Purge(o, func() {})
			}
			b.ReportMetric(size, "B/answer")
		})
	}
	f("url", &purge.Order{Urls: [][]byte{[]byte("http://h.example/77")}}, 1)
	f("tag", &purge.Order{Tags: []string{"tag77"}}, 100)
	f("prefix", &purge.Order{Prefixes: [][]byte{[]byte("http://h.example/9")}, Duration: purge.BanFor}, 11_111)
	f("all", &purge.Order{All: true}, 100_000)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
