// Package bench measures the gateway end to end. Nothing here asserts a time, and nothing imports it.
package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/front"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/lib/wire"
	"github.com/penstock-edge/penstock/edge/route"
)

// serverEnv makes the test binary a server instead of a benchmark: its value says which.
const serverEnv = "PENSTOCK_BENCH_SERVER"

const page = "<html><body>an answer of one hundred and twenty-eight bytes, which a front sends from memory " +
	"without asking any target.......</body></html>"

func TestMain(m *testing.M) {
	switch os.Getenv(serverEnv) {
	case "":
		os.Exit(run(m))
	case "fasthttp":
		serveFasthttp(func(*fasthttp.RequestCtx) bool { return true })
	case "fasthttp-checked":
		serveFasthttp(newChecks().pass)
	case "loop":
		serveLoop()
	}
}

// serveFasthttp answers from fasthttp's own server, set up as a proxy would need it.
func serveFasthttp(pass func(*fasthttp.RequestCtx) bool) {
	l := mustListen()
	s := &fasthttp.Server{
		NoDefaultServerHeader: true, StreamRequestBody: true, DisablePreParseMultipartForm: true,
		ReadBufferSize: 16 << 10, ReadTimeout: 10e9, IdleTimeout: 75e9, WriteTimeout: 60e9, CloseOnShutdown: true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			if !pass(ctx) {
				ctx.SetStatusCode(400)
				return
			}
			ctx.SetContentType("text/html")
			ctx.Response.SetBodyString(page)
		},
	}
	fmt.Println(l.Addr())
	_ = s.Serve(l) // ends with the process
}

// checks is what a handler on fasthttp.Server must do itself before it can do what the gateway does: the strict
// check of the head's bytes, the canonical path, the route.
type checks struct {
	head, clean, path []byte
	m                 wire.Request
	fields            header.Fields
	match             route.Match
	key               route.Key
	table             *route.Table
}

func newChecks() *checks {
	c := &checks{}
	c.table, _ = route.NewTable([]route.Rule{{Name: "all", Prefix: "/"}})
	return c
}

// pass serves one request at a time, which one processor and a short handler make sure of.
func (c *checks) pass(ctx *fasthttp.RequestCtx) bool {
	h := &ctx.Request.Header
	c.head = append(append(append(c.head[:0], h.Method()...), ' '), h.RequestURI()...)
	c.head = append(append(c.head, " HTTP/1.1\r\n"...), h.RawHeaders()...)
	var v *wire.Violation
	if c.clean, v = wire.ScanRequest(c.clean[:0], c.head, &c.m); v != nil {
		return false
	}
	var bad *route.PathError
	if c.path, bad = route.Canonical(c.path[:0], c.m.Path); bad != nil {
		return false
	}
	c.fields.SetLines(c.clean[c.m.Fields:len(c.clean)-2], nil)
	c.key = route.Key{Method: c.m.Method, Host: c.m.Host, Path: c.path, RawQuery: c.m.Query, Header: &c.fields}
	c.table.Lookup(&c.key, &c.match)
	return c.match.Status == 200
}

// answer is a filter that answers with the page.
type answer struct{}

func (answer) Run(x *edge.Exchange) edge.Verdict {
	x.Answer(200, "text/html", []byte(page))
	return edge.Answered
}

// serveLoop answers through the gateway's connection loop and the whole flow.
func serveLoop() {
	l := mustListen()
	addr := l.Addr().String()
	l.Close()
	reg := metric.NewRegistry()
	current := &edge.Current{}
	f := front.New(current, reg.Scope(), nil, 0)
	cfg := config.Load("bench.toml", []byte("[[listener]]\naddress = \""+addr+"\"\n[[route]]\nprefix = \"/\"\n"),
		config.Options{})
	h := &edge.Host{Config: cfg, Metrics: reg.Scope(), State: edge.NewKeeper().Hold()}
	part := f.Feature().New(h)
	g := edge.NewGeneration(1, func() {})
	plan := &edge.Plan{Name: "all"}
	(&edge.RouteSetup{Plan: plan}).Add(edge.Admit, answer{})
	g.Plans, g.Nowhere = []*edge.Plan{plan}, &edge.Plan{Name: "none"}
	g.Routes, _ = route.NewTable([]route.Rule{{Name: "all", Prefix: "/"}})
	part.Open()
	current.Swap(g)
	part.Start()
	fmt.Println(addr)
	select {}
}

func mustListen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return l
}

// BenchmarkFront compares the CPU time of the server's process per request: fasthttp.Server with a handler
// that does nothing, the same with the checks and the routing that a gateway needs, and the gateway's loop with
// all of its flow.
func BenchmarkFront(b *testing.B) {
	for _, kind := range []string{"fasthttp", "fasthttp-checked", "loop"} {
		b.Run(kind, func(b *testing.B) { measureServer(b, kind) })
	}
}

func measureServer(b *testing.B, kind string) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), serverEnv+"="+kind, "GOMAXPROCS=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	load(b, strings.TrimSpace(addr), 20_000) // warm up
	before := cpu(b, cmd.Process.Pid)
	b.ResetTimer()
	load(b, strings.TrimSpace(addr), b.N)
	b.StopTimer()
	b.ReportMetric((cpu(b, cmd.Process.Pid)-before)*1e9/float64(b.N), "cpu-ns/req")
}

const request = "GET /index.html?x=1 HTTP/1.1\r\nHost: bench.example.com\r\nUser-Agent: bench/1.0\r\n" +
	"Accept: text/html,application/xhtml+xml\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\n\r\n"

// load sends n requests over 64 keep-alive connections.
func load(b *testing.B, addr string, n int) {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range 64 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			buf := make([]byte, 4096)
			for left.Add(-1) >= 0 {
				if _, err := io.WriteString(c, request); err != nil {
					b.Error(err)
					return
				}
				if _, err := c.Read(buf); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

// cpu returns the seconds of CPU time the process has used, user and system.
func cpu(b *testing.B, pid int) float64 {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64) // the kernel writes numbers
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100 // USER_HZ
}
