package bench

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/peer"
	"github.com/penstock-edge/penstock/bench/rig"
)

// share is the fixed rate of the open loop, of what the same proxy does closed loop.
const share = .6

// newRing builds the programs and starts the origin.
func newRing(b *testing.B) *duel.Ring {
	b.Helper()
	if runtime.NumCPU() < 2 {
		b.Skip("the proxy needs a core that loader and origin do not use")
	}
	for _, program := range []string{"taskset", "nice"} {
		if _, err := exec.LookPath(program); err != nil {
			b.Skip(program, " is not installed")
		}
	}
	ring, err := duel.NewRing(built(b, "bench/tool"), built(b, "cmd/penstock"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(ring.Close)
	return ring
}

// startProxy has the gateway do a work until the benchmark ends.
func startProxy(b *testing.B, ring *duel.Ring, work string) *duel.Proxy {
	b.Helper()
	p, err := ring.Start("ours", find(b, work))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Stop)
	measured(b, p, 0, .5) // warm
	return p
}

func find(b *testing.B, work string) peer.Work {
	b.Helper()
	w, err := peer.Find(work)
	if err != nil {
		b.Fatal(err)
	}
	return w
}

// measured loads a proxy. No request may fail.
func measured(b *testing.B, p *duel.Proxy, rate, seconds float64) duel.Sample {
	b.Helper()
	s, err := p.Measure(rate, seconds)
	if err != nil {
		b.Fatal(err)
	}
	if s.Failed > 0 {
		b.Errorf("%d of %d requests failed: %v", s.Failed, s.Sent, s.Errors)
	}
	return s
}

// untrusted marks what was measured beside others, or by a loader that was late itself.
func untrusted(b *testing.B, format string, args ...any) {
	b.Helper()
	b.Logf("untrusted: "+format, args...)
	b.ReportMetric(1, "untrusted")
}

// BenchmarkEndToEnd has the built gateway do each of the works that versus compares. It has one core; the loader
// and the origin share another.
//
//	req/s/core    closed loop
//	cpu-ns/req …  at a fixed rate, share of that: the gateway's CPU time, user and system
//	p50-ns …      at the same rate, from when a request was due
//	allocs/req    at the same rate, heap objects by the gateway's own metrics, what serving these takes included
//	gc-cpu-%      at the same rate, of the gateway's CPU time
//	syscalls/req  closed loop under strace; not reported where it is missing
func BenchmarkEndToEnd(b *testing.B) {
	ring := newRing(b)
	for _, w := range peer.Works {
		b.Run(w.Name, func(b *testing.B) {
			p := startProxy(b, ring, w.Name)
			for b.Loop() {
				endToEnd(b, p)
			}
			b.ReportMetric(0, "ns/op") // how long it takes to measure says nothing
		})
	}
}

func endToEnd(b *testing.B, p *duel.Proxy) {
	closed := measured(b, p, 0, 1)
	b.ReportMetric(closed.Rate, "req/s/core")
	before := readHeap(b, p)
	fixed := measured(b, p, closed.Rate*share, 2)
	after := readHeap(b, p)
	b.ReportMetric(fixed.CPU, "cpu-ns/req")
	b.ReportMetric(fixed.User, "user-ns/req")
	b.ReportMetric(fixed.System, "sys-ns/req")
	b.ReportMetric(fixed.P50, "p50-ns")
	b.ReportMetric(fixed.P99, "p99-ns")
	b.ReportMetric(fixed.P999, "p99.9-ns")
	b.ReportMetric((after.mallocs-before.mallocs)/float64(fixed.Done), "allocs/req")
	// The runtime's share is of all time so far, and rounded: the difference of two may fall below nothing.
	b.ReportMetric(max(after.gcCPU-before.gcCPU, 0)*1e9/(fixed.CPU*float64(fixed.Done))*100, "gc-cpu-%")
	if _, err := exec.LookPath("strace"); err != nil {
		b.Log("no syscalls/req: strace is not installed")
	} else if n, err := p.Syscalls(0, .5); err != nil {
		b.Error(err)
	} else {
		b.ReportMetric(n, "syscalls/req")
	}
	if !closed.Trusted() || !fixed.Trusted() {
		untrusted(b, "stolen %.2f and %.2f %%, sent late %.3f and %.3f %%", closed.Steal*100, fixed.Steal*100,
			closed.Late*100, fixed.Late*100)
	}
}

// heap is what the gateway says of its memory: objects ever allocated, and the seconds of CPU time that collections
// have taken.
type heap struct{ mallocs, gcCPU float64 }

func readHeap(b *testing.B, p *duel.Proxy) heap {
	b.Helper()
	values, err := rig.Scrape(p.Setup.Admin)
	if err != nil {
		b.Fatal(err)
	}
	h := heap{mallocs: values["go_memstats_mallocs_total"]}
	r, err := http.Get("http://" + p.Setup.Admin + "/debug/pprof/heap?debug=1")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Body.Close()
	var last, fraction float64 // what the latest collection has left
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "# LastGC = "); ok {
			last, _ = strconv.ParseFloat(v, 64) // the runtime writes numbers
		}
		if v, ok := strings.CutPrefix(lines.Text(), "# GCCPUFraction = "); ok {
			fraction, _ = strconv.ParseFloat(v, 64)
		}
	}
	started := values["process_start_time_seconds"]
	if h.mallocs == 0 || started == 0 {
		b.Fatal("the admin address does not show the metrics of the Go runtime")
	}
	if last > 0 { // the share is of all processors' time since the start
		h.gcCPU = fraction * values["go_sched_gomaxprocs_threads"] * (last/1e9 - started)
	}
	return h
}

// BenchmarkEndToEndPair has two of the same build do the same work in turns. What differs is noise: an
// interval that is not within 2 % of the same means that no comparison of this hour is to be trusted.
func BenchmarkEndToEndPair(b *testing.B) {
	ring := newRing(b)
	plan := duel.Plan{Pairs: 5, Seconds: .4, Warm: .1, Share: share, Log: io.Discard}
	for b.Loop() {
		o, err := ring.Run(find(b, "plain-128"), "self", plan)
		if err != nil {
			b.Fatal(err)
		}
		if o.Missing != "" {
			b.Fatal(o.Missing)
		}
		b.ReportMetric(o.CPU.Median*100, "a-a-ratio-%")
		b.ReportMetric(o.CPU.Low*100, "a-a-low-%")
		b.ReportMetric(o.CPU.High*100, "a-a-high-%")
		if o.Dropped > 0 || o.Untrusted || o.CPU.Low < .98 || o.CPU.High > 1.02 {
			untrusted(b, "ratio %.3f, interval %.3f to %.3f, %d pairs of %d dropped", o.CPU.Median, o.CPU.Low,
				o.CPU.High, o.Dropped, len(o.All))
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkEndToEndMemory reports what a connection holds: idle after one request, and in use with all the others.
func BenchmarkEndToEndMemory(b *testing.B) {
	ring := newRing(b)
	for _, work := range []string{"plain-128", "tls-128"} {
		b.Run("idle/"+work, func(b *testing.B) {
			for b.Loop() {
				m, err := ring.Idle("ours", find(b, work), 2000, 2*time.Second)
				if err != nil || m.Missing != "" {
					b.Fatal(err, m.Missing)
				}
				if m.Opened.Failed > 0 || m.Burst.Failed > 0 {
					b.Errorf("%d and %d requests failed", m.Opened.Failed, m.Burst.Failed)
				}
				b.ReportMetric(m.Idle, "B/idle-conn")
			}
			b.ReportMetric(0, "ns/op")
		})
		b.Run("active/"+work, func(b *testing.B) {
			p := startProxy(b, ring, work)
			for b.Loop() {
				if _, err := p.Load.Do("drop"); err != nil {
					b.Fatal(err)
				}
				bytes, err := p.Active(1000, 2)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(bytes, "B/active-conn")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkEndToEndReload changes a file with 10,000 routes under load, and reports how long it takes from SIGHUP
// until a request finds the route that is new. No request may fail meanwhile.
func BenchmarkEndToEndReload(b *testing.B) {
	ring := newRing(b)
	p := startProxy(b, ring, "routes-128")
	rate := measured(b, p, 0, 1).Rate * share
	count := 0
	for b.Loop() {
		over := make(chan duel.Sample, 1)
		go func() {
			s, err := p.Measure(rate, 3)
			if err != nil {
				b.Error(err)
			}
			over <- s
		}()
		var took []float64
		for range 3 {
			count++
			took = append(took, reload(b, p, count))
		}
		if s := <-over; s.Failed > 0 {
			b.Errorf("%d of %d requests failed: %v", s.Failed, s.Sent, s.Errors)
		}
		b.ReportMetric(rig.Median(took), "reload-ms")
		b.ReportMetric(slices.Max(took), "reload-max-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// reload adds a route and gives the milliseconds until it is served.
func reload(b *testing.B, p *duel.Proxy, n int) float64 {
	b.Helper()
	file, err := os.OpenFile(filepath.Join(p.Setup.Dir, "penstock.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	path := fmt.Sprintf("/new/%d/1", n)
	fmt.Fprintf(file, "[[route]]\npath = %q\npool = \"origin\"\n", path)
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	c, err := net.Dial("tcp", p.Setup.Addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if status := statusOf(b, c, r, path); status != http.StatusNotFound {
		b.Fatalf("status %d before the reload", status)
	}
	begin := time.Now()
	if err := syscall.Kill(p.Pid, syscall.SIGHUP); err != nil {
		b.Fatal(err)
	}
	for statusOf(b, c, r, path) != http.StatusOK {
		if time.Since(begin) > time.Minute {
			b.Fatal("the new route is not served")
		}
	}
	return math.Round(float64(time.Since(begin))/1e4) / 100
}

// statusOf asks for a path and gives the status of the answer.
func statusOf(b *testing.B, c net.Conn, r *bufio.Reader, path string) int {
	b.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: bench.example.com\r\n\r\n", path); err != nil {
		b.Fatal(err)
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		b.Fatal(err)
	}
	return answer.StatusCode
}
