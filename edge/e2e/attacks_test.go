package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// attackers is how many connections an attack may have here: both ends of each are files of this machine.
func attackers(t testing.TB) int {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	return int(min(1000, l.Cur/3))
}

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
		client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
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

// slowHTTPTest runs slowhttptest and returns what its statistics say at the end: connections that were
// closed by the gateway, among those made.
func slowHTTPTest(t *testing.T, args ...string) (closed, connected int) {
	t.Helper()
	needs(t, "slowhttptest")
	prefix := filepath.Join(t.TempDir(), "report")
	args = append(args, "-c", strconv.Itoa(attackers(t)), "-r", "500", "-p", "10", "-v", "0", "-g", "-o", prefix)
	out, err := exec.Command("slowhttptest", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("slowhttptest: %v\n%s", err, out)
	}
	text, err := os.ReadFile(prefix + ".csv")
	if err != nil {
		t.Fatalf("slowhttptest left no report: %v\n%s", err, out)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("cannot read the report: %v\n%s", err, text)
	}
	for _, row := range rows[1:] { // Seconds,Closed,Pending,Connected,Service Available
		c, err1 := strconv.Atoi(strings.TrimSpace(row[1]))
		n, err2 := strconv.Atoi(strings.TrimSpace(row[3]))
		if err1 != nil || err2 != nil {
			t.Fatalf("cannot read the report: %q", row)
		}
		closed, connected = max(closed, c), max(connected, n)
		if strings.TrimSpace(row[4]) == "0" {
			t.Errorf("slowhttptest found the service down after %s seconds", row[0])
		}
	}
	return closed, connected
}

// needs skips the test where a program is missing; not where everything must be there.
func needs(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no %s; make deps brings it", program)
		}
		t.Skipf("no %s; make deps brings it", program)
	}
}

// TestSlowClients is what slowhttptest does: heads, bodies and reads that go on for ever on a thousand
// connections. All are cut, and nobody else notices.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	_, long := soak(t, 0)
	length := "12"
	switch {
	case long:
		length = "60"
	case raceEnabled: // a thousand large answers take their time to get under way
		length = "36"
	}
	f := func(what, path, settings string, cut func(g *gateway) int, args ...string) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			conf := strings.Replace(simple(httpOrigin(t, attackTarget)), `name = "main"`, "name = \"main\"\n"+settings, 1)
			g := start(t, strings.Replace(conf, "[pool.app]", "[pool.app]\nmax_connections = 2000", 1))
			before := memoryOf(t, g.cmd.Process.Pid)
			end := probe(g.addr)
			closed, connected := slowHTTPTest(t, append(args, "-l", length, "-u", "http://"+g.addr+path)...)
			n, worst, errs := end()
			for _, err := range errs {
				t.Errorf("a probe failed: %s", err)
			}
			if n == 0 {
				t.Error("no probe was made")
			}
			all := attackers(t)
			if got := cut(g); got < all*9/10 {
				t.Errorf("%d of %d were cut, want nine in ten at least", got, all)
			}
			eventually(t, "all attackers are gone", func() bool { return g.metric("penstock_connections{") == 0 })
			after := memoryOf(t, g.cmd.Process.Pid)
			t.Logf("slowhttptest saw %d of %d closed, at most %d open; the gateway cut %d; %d probes, the slowest "+
				"took %v; RSS before %s, peak %s", closed, all, connected, cut(g), n, worst, mib(before.rss), mib(after.peak))
			if grown := after.peak - before.rss; grown > int64(all)*96<<10 && !raceEnabled {
				t.Errorf("memory has grown by %s", mib(grown))
			}
		})
	}
	heads, reads := "header_timeout = \"3s\"", "min_send_rate = \"16KiB/s\""
	code := func(name string) func(g *gateway) int {
		return func(g *gateway) int { return int(g.sum("penstock_rejections_total{", `code="`+name+`"`)) }
	}
	if long { // the defaults
		heads, reads = "", ""
	}
	f("heads", "/x", heads, code("request_timeout"), "-H", "-i", "1", "-x", "10", "-t", "GET")
	f("bodies", "/x", "", code("body_too_slow"), "-B", "-i", "1", "-s", "8192", "-x", "10")
	f("reads", "/big", reads, code("client_too_slow"), "-X", "-n", "1", "-z", "8", "-w", "64", "-y", "128", "-k", "1", "-t", "GET")
}

// sum adds up all series of a metric that hold label.
func (g *gateway) sum(prefix, label string) (sum float64) {
	g.t.Helper()
	for line := range strings.Lines(g.metrics()) {
		if !strings.HasPrefix(line, prefix) || !strings.Contains(line, label) {
			continue
		}
		if v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64); err == nil {
			sum += v
		}
	}
	return sum
}

// metrics returns the text of /metrics.
func (g *gateway) metrics() string {
	g.t.Helper()
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(b)
}

// crowd opens n connections to addr, says hello on each, and returns those that could be made; they are closed
// when the test ends.
func crowd(t testing.TB, addr string, n int, hello func(i int) []byte) []net.Conn {
	t.Helper()
	var list []net.Conn
	for i := range n {
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		t.Cleanup(func() { c.Close() })
		if b := hello(i); len(b) > 0 {
			c.Write(b) // the gateway may have closed already
		}
		list = append(list, c)
	}
	return list
}

// TestGarbageHellos: whatever comes in place of a TLS handshake costs no more than its own connection.
func TestGarbageHellos(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), newAuthority(t, "test authority")
	ca.write(dir, "one", ca.issue(false, "one.example"))
	listener := strings.Replace(secureListener(dir, "one"), "address", "header_timeout = \"1s\"\naddress", 1)
	g := start(t, secure(listener, httpOrigin(t, pathOrigin)))
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
		{0x80, 0x2e, 1, 0, 2},                                                 // SSL 2
		random(4096), bytes.Repeat([]byte{0}, 1<<16),
	}
	before := memoryOf(t, g.cmd.Process.Pid)
	n := attackers(t) / 2
	crowd(t, g.addr, n, func(i int) []byte { return hellos[i%len(hellos)] })
	c, _, err := handshake(g.addr, &tls.Config{ServerName: "one.example", RootCAs: ca.pool})
	if err != nil {
		t.Fatalf("a good client among %d bad ones: %v", n, err)
	}
	defer c.Close()
	if status, _ := get(t, c, "/x"); status != 200 {
		t.Errorf("a good client among bad ones: %d", status)
	}
	eventually(t, "the bad ones are gone", func() bool { return g.metric("penstock_connections{") <= 1 })
	if got := int(g.sum("penstock_bad_greetings_total{", `what="tls"`)); got != n {
		t.Errorf("%d bad greetings are counted, want %d", got, n)
	}
	t.Logf("%d garbage hellos; RSS before %s, peak %s", n, mib(before.rss), mib(memoryOf(t, g.cmd.Process.Pid).peak))
}

// TestSilentConnections: connections that say nothing are cut after the time for a head, and keep nobody out.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	g := start(t, strings.Replace(simple(httpOrigin(t, pathOrigin)), `name = "main"`,
		"name = \"main\"\nheader_timeout = \"1s\"", 1))
	before := memoryOf(t, g.cmd.Process.Pid)
	n := attackers(t)
	var closed atomic.Int64
	for _, c := range crowd(t, g.addr, n, func(int) []byte { return nil }) {
		go func() {
			io.Copy(io.Discard, c)
			closed.Add(1)
		}()
	}
	if got := raw(t, g.addr, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("among %d silent connections: %q", n, got)
	}
	during := memoryOf(t, g.cmd.Process.Pid)
	eventually(t, "all are cut", func() bool { return closed.Load() == int64(n) })
	eventually(t, "none is counted", func() bool { return g.metric("penstock_connections{") == 0 })
	grown := during.peak - before.rss
	t.Logf("%d silent connections cost %s, %d bytes each", n, mib(grown), grown/int64(n))
	if grown > int64(n)*32<<10 && !raceEnabled {
		t.Errorf("%d silent connections cost %s", n, mib(grown))
	}
}

// TestHalfOpen: clients that reset at once, one after the other, leave nothing behind.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	g := start(t, simple(httpOrigin(t, pathOrigin)))
	idle := g.metric("go_goroutines")
	const n = 3000
	for i := range n {
		c, err := net.Dial("tcp", g.addr)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		if i%2 == 0 {
			io.WriteString(c, "GET /x HTTP/1.1\r\nHo") // it goes before its head is complete
		}
		_ = c.(*net.TCPConn).SetLinger(0) // the close resets
		c.Close()
	}
	eventually(t, "none is left", func() bool { return g.metric("penstock_connections{") == 0 })
	settled(t, g, idle)
	if got := raw(t, g.addr, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("after the flood: %q", got)
	}
}

// TestConnectionCap: a listener that has as many connections as it may turns others away with 503 until one goes,
// and those it has are served.
func TestConnectionCap(t *testing.T) {
	t.Parallel()
	const limit = 50
	g := start(t, strings.Replace(simple(httpOrigin(t, pathOrigin)), `name = "main"`,
		fmt.Sprintf("name = \"main\"\nmax_connections = %d", limit), 1))
	held := crowd(t, g.addr, limit, func(int) []byte { return nil })
	eventually(t, "the listener is full", func() bool { return g.metric("penstock_connections{") == limit })
	for range 20 {
		got := raw(t, g.addr, "")
		if !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "too_many_connections") {
			t.Fatalf("a connection too many gets %q", got)
		}
	}
	for _, c := range held {
		if status, body := get(t, c, "/held"); status != 200 || body != "/held" {
			t.Errorf("a connection of a full listener gets %d %q", status, body)
		}
	}
	if got := g.sum("penstock_connections_refused_total{", `reason="listener_full"`); got != 20 {
		t.Errorf("%v refused connections are counted, want 20", got)
	}
	held[0].Close()
	eventually(t, "a place is free again", func() bool {
		return strings.HasPrefix(raw(t, g.addr, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 ")
	})
}
