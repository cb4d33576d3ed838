//go:build !race

package lookup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/cache/cachetest"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

func TestAllocHit(t *testing.T) {
	c := newCache(t, "")
	l, r, d := &Filter{Cache: c, Route: "r"}, &addFields{cache: c}, &done{cache: c, route: uncounted}
	c.put(t, cachetest.Request("/small"), strings.Repeat("a", 1000), 100_000)
	f := func(name string, x *edge.Exchange) {
		t.Helper()
		buf := make([]byte, 64<<10)
		if n := testing.AllocsPerRun(1000, func() {
			x.ResetHead()
			x.Times.Head = clock.Now()
			if l.Run(x) != edge.Answered {
				t.Fatal("no hit")
			}
			r.Run(x)
			for x.Out != nil {
				if _, err := x.Out.Read(buf); err != nil {
					break
				}
			}
			x.Out = nil
			d.Run(x)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	f("a hit", cachetest.Request("/small", "Cache-Control: max-stale=5", "Accept-Encoding: gzip"))
	f("a conditional hit", cachetest.Request("/small", `If-None-Match: "x", "e"`))
	f("a part", cachetest.Request("/small", "Range: bytes=10-19"))
	f("a list of codings in lines", cachetest.Request("/small", "Accept-Encoding: br, gzip;q=0.5", "Accept-Encoding: *;q=0"))
	c.putVariant(t, cachetest.Request("/vary", "Accept-Language: de, en;q=0.5", "Accept-Encoding: gzip"), "Accept-Encoding,Accept-Language")
	f("a variant", cachetest.Request("/vary", "Accept-Language: EN;q=0.50, de", "Accept-Encoding: br, gzip"))
	trusted := cachetest.Request("/vary", "Accept-Language: de,en;q=0.5", "Accept-Encoding: *", "X-Forwarded-Host: H.example:80")
	trusted.Trusted = true
	f("behind a proxy", trusted)
	head := cachetest.Request("/small")
	head.Method = []byte("HEAD")
	f("HEAD", head)
	c.Conf.IgnoreClientNoCache = true
	f("a reload that is ignored", cachetest.Request("/small", "Cache-Control: no-cache, max-age=0", "Pragma: no-cache"))
	l.keyed = &keyed{[]string{"POST", "QUERY"}, 1 << 10}
	question, body := cachetest.Request("/small", "Content-Type: application/json"), []byte(`{"q": "all"}`)
	question.Method, question.In, question.InLen = []byte("QUERY"), edge.NewBytesBody(body), int64(len(body))
	c.putQuestion(t, question, "answer", body)
	f("QUERY", question)
}

// BenchmarkHit is a hit, but for what is read from and written to sockets.
func BenchmarkHit(b *testing.B) {
	c := newCache(b, "")
	l, r, d := &Filter{Cache: c, Route: "r"}, &addFields{cache: c}, &done{cache: c, route: uncounted}
	f := func(name string, size int, fields ...string) {
		b.Run(name, func(b *testing.B) {
			target := fmt.Sprint("/", size)
			c.put(b, cachetest.Request(target), strings.Repeat("a", size), 100_000_000)
			x := cachetest.Request(target, fields...)
			b.ReportAllocs()
			for b.Loop() {
				x.ResetHead()
				x.Times.Head = clock.Now()
				l.Run(x)
				r.Run(x)
				for x.Out != nil {
					if _, err := x.Out.Piece(false); err != nil {
						break
					}
				}
				x.Out = nil
				d.Run(x)
			}
		})
	}
	f("1m", 1<<20)
	f("small", 128)
	f("10k", 10<<10)
	f("conditional", 128, `If-None-Match: "e"`)
	f("conditional-10k", 10<<10, `If-None-Match: "e"`)
	f("part", 10<<10, "Range: bytes=100-199")
}
