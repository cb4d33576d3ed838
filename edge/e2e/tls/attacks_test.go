package tls

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// probe asks for /probe on connections of its own until the returned function is called, which tells how many
// requests were served, how long the slowest took, and what went wrong.
func probe(addr string) (end func() (n int, worst time.Duration, errs []string)) {
	stop, done := make(chan struct{}), make(chan struct{})
	var n int
	var worst time.Duration
	var errs []string
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			began := time.Now()
			resp, err := client.Get("http://" + addr + "/probe")
			if err != nil {
				errs = append(errs, err.Error())
				continue
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || string(b) != "/probe" {
				errs = append(errs, fmt.Sprintf("status %d, %q, %v", resp.StatusCode, b, err))
			}
			n, worst = n+1, max(worst, time.Since(began))
		}
	}()
	return func() (int, time.Duration, []string) {
		close(stop)
		<-done
		return n, worst, errs
	}
}

// attackTarget answers /big with 4 MiB, takes any body, and has the path for everything else.
func attackTarget(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/big" {
		w.Header().Set("Content-Length", strconv.Itoa(4<<20))
		for piece := make([]byte, 64<<10); ; {
			if _, err := w.Write(piece); err != nil { // beyond the length at the latest
				return
			}
		}
	}
	io.Copy(io.Discard, r.Body)
	io.WriteString(w, r.URL.Path)
}

// slowHTTPTest runs slowhttptest until the gateway has cut nine in ten of its connections.
func slowHTTPTest(t *testing.T, cut func() int, args ...string) {
	t.Helper()
	e2e.Needs(t, "slowhttptest")
	all := e2e.Attackers(t)
	cmd := exec.Command("slowhttptest", append(args, "-c", strconv.Itoa(all), "-r", "500", "-l", "600", "-v", "0")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed, or has no connection left
		close(ended)
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended }) // it may have ended
	e2e.Eventually(t, "nine in ten are cut", func() bool { return cut() >= all*9/10 })
	_ = cmd.Process.Kill() // as above
	<-ended
}

// TestSlowClients is what slowhttptest does: heads, bodies and reads that go on for ever on a thousand
// connections. All are cut, and nobody else notices.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	_, long := e2e.Soak(t, 0)
	f := func(what, path, settings string, cut func(g *e2e.Gateway) int, args ...string) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			conf := strings.Replace(e2e.Simple(e2e.HTTPOrigin(t, attackTarget)), `name = "main"`, "name = \"main\"\n"+settings, 1)
			g := e2e.Start(t, strings.Replace(conf, "[pool.app]", "[pool.app]\nmax_connections = 2000", 1))
			before := e2e.MemoryOf(t, g.Cmd.Process.Pid)
			end := probe(g.Addr)
			slowHTTPTest(t, func() int { return cut(g) }, append(args, "-u", "http://"+g.Addr+path)...)
			n, worst, errs := end()
			for _, err := range errs {
				t.Errorf("a probe failed: %s", err)
			}
			if n == 0 {
				t.Error("no probe was made")
			}
			all := e2e.Attackers(t)
			e2e.Eventually(t, "all attackers are gone", func() bool { return g.Metric("penstock_connections{") == 0 })
			after := e2e.MemoryOf(t, g.Cmd.Process.Pid)
			t.Logf("the gateway cut %d of %d; %d probes, the slowest took %v; RSS before %s, peak %s", cut(g), all, n, worst,
				e2e.MiB(before.RSS), e2e.MiB(after.Peak))
			if grown := after.Peak - before.RSS; grown > int64(all)*96<<10 && !e2e.RaceEnabled {
				t.Errorf("memory has grown by %s", e2e.MiB(grown))
			}
		})
	}
	heads, reads := "header_timeout = \"3s\"", "min_send_rate = \"16KiB/s\""
	code := func(name string) func(g *e2e.Gateway) int {
		return func(g *e2e.Gateway) int { return int(g.Sum("penstock_rejections_total{", `code="`+name+`"`)) }
	}
	if long { // the defaults
		heads, reads = "", ""
	}
	f("heads", "/x", heads, code("request_timeout"), "-H", "-i", "1", "-x", "10", "-t", "GET")
	f("bodies", "/x", "", code("body_too_slow"), "-B", "-i", "1", "-s", "8192", "-x", "10")
	f("reads", "/big", reads, code("client_too_slow"), "-X", "-n", "1", "-z", "8", "-w", "64", "-y", "128", "-k", "1", "-t", "GET")
}

// TestGarbageHellos: whatever comes in place of a TLS handshake costs no more than its own connection.
func TestGarbageHellos(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "one", ca.Issue(false, "one.example"))
	listener := strings.Replace(e2e.SecureListener(dir, "one"), "address", "header_timeout = \"1s\"\naddress", 1)
	g := e2e.Start(t, e2e.Secure(listener, e2e.HTTPOrigin(t, e2e.PathOrigin)))
	seed := rand.NewPCG(1, 2)
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(seed.Uint64())
		}
		return b
	}
	hellos := [][]byte{
		nil, {}, {0x16}, {0x16, 3, 1}, {0x16, 3, 1, 0xff, 0xff}, // nothing, and the beginning of a record
		[]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
		append([]byte{0x16, 3, 1, 2, 0}, random(512)...),                      // a record of noise
		append([]byte{0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3}, random(32)...), // a hello cut short
		// SSL 2
		{0x80, 0x2e, 1, 0, 2},
		random(4096), bytes.Repeat([]byte{0}, 1<<16),
	}
	before := e2e.MemoryOf(t, g.Cmd.Process.Pid)
	n := e2e.Attackers(t) / 2
	e2e.Crowd(t, g.Addr, n, func(i int) []byte { return hellos[i%len(hellos)] })
	c, _, err := e2e.Handshake(g.Addr, &tls.Config{ServerName: "one.example", RootCAs: ca.Pool})
	if err != nil {
		t.Fatalf("a good client among %d bad ones: %v", n, err)
	}
	defer c.Close()
	if status, _ := get(t, c, "/x"); status != 200 {
		t.Errorf("a good client among bad ones: %d", status)
	}
	e2e.Eventually(t, "the bad ones are gone", func() bool { return g.Metric("penstock_connections{") <= 1 })
	if got := int(g.Sum("penstock_bad_greetings_total{", `what="tls"`)); got != n {
		t.Errorf("%d bad greetings are counted, want %d", got, n)
	}
	t.Logf("%d garbage hellos; RSS before %s, peak %s", n, e2e.MiB(before.RSS), e2e.MiB(e2e.MemoryOf(t, g.Cmd.Process.Pid).Peak))
}

// TestSilentConnections: connections that say nothing are cut after the time for a head, and keep nobody out.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, strings.Replace(e2e.Simple(e2e.HTTPOrigin(t, e2e.PathOrigin)), `name = "main"`,
		"name = \"main\"\nheader_timeout = \"1s\"", 1))
	before := e2e.MemoryOf(t, g.Cmd.Process.Pid)
	n := e2e.Attackers(t)
	var closed atomic.Int64
	for _, c := range e2e.Crowd(t, g.Addr, n, func(int) []byte { return nil }) {
		go func() {
			io.Copy(io.Discard, c)
			closed.Add(1)
		}()
	}
	if got := e2e.Raw(t, g.Addr, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("among %d silent connections: %q", n, got)
	}
	during := e2e.MemoryOf(t, g.Cmd.Process.Pid)
	e2e.Eventually(t, "all are cut", func() bool { return closed.Load() == int64(n) })
	e2e.Eventually(t, "none is counted", func() bool { return g.Metric("penstock_connections{") == 0 })
	grown := during.Peak - before.RSS
	t.Logf("%d silent connections cost %s, %d bytes each", n, e2e.MiB(grown), grown/int64(n))
	if grown > int64(n)*32<<10 && !e2e.RaceEnabled {
		t.Errorf("%d silent connections cost %s", n, e2e.MiB(grown))
	}
}

// TestHalfOpen: clients that reset at once, one after the other, leave nothing behind.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, e2e.Simple(e2e.HTTPOrigin(t, e2e.PathOrigin)))
	idle := g.Metric("go_goroutines")
	const n = 3000
	for i := range n {
		c, err := net.Dial("tcp", g.Addr)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if i%2 == 0 {
			io.WriteString(c, "GET /x HTTP/1.1\r\nHo") // it goes before its head is complete
		}
		_ = c.(*net.TCPConn).SetLinger(0) // the close resets
		c.Close()
	}
	e2e.Eventually(t, "none is left", func() bool { return g.Metric("penstock_connections{") == 0 })
	e2e.Settled(t, g, idle)
	if got := e2e.Raw(t, g.Addr, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("after the flood: %q", got)
	}
}

// TestConnectionCap: a listener that has as many connections as it may turns others away with 503 until one goes,
// and those it has are served.
func TestConnectionCap(t *testing.T) {
	t.Parallel()
	const limit = 50
	g := e2e.Start(t, strings.Replace(e2e.Simple(e2e.HTTPOrigin(t, e2e.PathOrigin)), `name = "main"`,
		fmt.Sprintf("name = \"main\"\nmax_connections = %d", limit), 1))
	held := e2e.Crowd(t, g.Addr, limit, func(int) []byte { return nil })
	e2e.Eventually(t, "the listener is full", func() bool { return g.Metric("penstock_connections{") == limit })
	for range 20 {
		got := e2e.Raw(t, g.Addr, "")
		if !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "too_many_connections") {
			t.Fatalf("a connection too many gets %q", got)
		}
	}
	for _, c := range held {
		if status, body := get(t, c, "/held"); status != 200 || body != "/held" {
			t.Errorf("a connection of a full listener gets %d %q", status, body)
		}
	}
	if got := g.Sum("penstock_connections_refused_total{", `reason="listener_full"`); got != 20 {
		t.Errorf("%v refused connections are counted, want 20", got)
	}
	held[0].Close()
	e2e.Eventually(t, "a place is free again", func() bool {
		return strings.HasPrefix(e2e.Raw(t, g.Addr, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 ")
	})
}
