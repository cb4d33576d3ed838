package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkPipelining has clients send requests without end, for answers from the cache, and reports how long a small hit
// takes another client meanwhile. All are served by the same loop.
func BenchmarkPipelining(b *testing.B) {
	b.Setenv("GOMAXPROCS", "1") // of the gateway
	f := func(name string, clients int, size int64) {
		b.Run(name, func(b *testing.B) {
			g := startGateway(b, serveOrigin(b, func(head string, _ *bufio.Reader, w net.Conn) {
				n := int64(128)
				if strings.HasPrefix(head, "GET /large ") {
					n = size
				}
				fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nCache-Control: max-age=10000\r\nContent-Length: %d\r\n\r\n", n)
				_ = writeZeros(w, n) // a cut connection shows at the client
			}), `cache = "main"`, `[cache.main]`, `size = "64MiB"`)
			const small, large = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n", "GET /large HTTP/1.1\r\nHost: bench\r\n\r\n"
			g.once(b, small, 0)
			g.once(b, large, 0)
			many := strings.Repeat(large, 200)
			for range clients {
				busy, err := net.Dial("tcp", g.addr)
				if err != nil {
					b.Fatal(err)
				}
				defer busy.Close()
				go func() {
					for {
						if _, err := io.WriteString(busy, many); err != nil {
							return // the benchmark is over
						}
					}
				}()
				go io.Copy(io.Discard, busy)
			}
			var took []time.Duration
			for range b.N {
				for range 1000 {
					start := time.Now()
					g.once(b, small, 0)
					took = append(took, time.Since(start))
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
		})
	}
	f("128", 1, 128)
	f("128-by-8", 8, 128)
	f("1MiB", 1, 1<<20)
}
