package operation

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// idleConns is how many connections TestIdleConnections holds: in long runs, what the limit of open files leaves
// room for, beside those to the target, in the gateway's process and in the test's, which is the origin too.
func idleConns(t *testing.T) int {
	t.Helper()
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	most := uint64(1_500)
	if _, long := e2e.Soak(t, 0); long {
		most = 18_000
	}
	return int(min(most, files.Cur-min(files.Cur/2, 2_500)))
}

// inParallel calls f with the numbers below n, from as many goroutines as there are processors.
func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	workers := 2 * runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}

// TestIdleConnections: idle connections, half of them under TLS, cost no goroutine; used again at once, all of
// them are answered. Not parallel: it may take all descriptors there are.
func TestIdleConnections(t *testing.T) {
	n := idleConns(t)
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "one", ca.Issue(false, "one.example"))
	target := e2e.HTTPOrigin(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "served") })
	plain := e2e.FreeAddr(t)
	g := e2e.Start(t, e2e.SecureListener(dir, "one")+fmt.Sprintf("[[listener]]\nname = \"plain\"\naddress = %q\n"+
		"[pool.app]\ntargets = [%q]\nmax_connections = 500\nmax_waiting = 20000\nwait_timeout = \"60s\"\nconnect_timeout = \"60s\"\n"+
		"[[route]]\nprefix = \"/\"\npool = \"app\"\n", plain, target))
	dial := func(i int) (net.Conn, error) {
		if i%2 == 0 {
			return net.Dial("tcp", plain)
		}
		return tls.Dial("tcp", g.Addr, &tls.Config{ServerName: "one.example", RootCAs: ca.Pool})
	}
	goroutines := func() float64 { return g.Metric("go_goroutines") }
	before, memory := goroutines(), g.Metric("process_resident_memory_bytes")

	conns, started := make([]net.Conn, n), time.Now()
	defer func() {
		for _, c := range conns {
			if c == nil {
				continue
			}
			if secured, ok := c.(*tls.Conn); ok {
				c = secured.NetConn()
			}
			_ = c.(*net.TCPConn).SetLinger(0) // the ports are free again at once
			c.Close()
		}
	}()
	ask := func(when string, i int) {
		if _, err := io.WriteString(conns[i], "GET /x HTTP/1.1\r\nHost: one.example\r\n\r\n"); err != nil {
			t.Errorf("%s: connection %d: %v", when, i, err)
		}
	}
	hear := func(when string, i int) {
		_ = conns[i].SetReadDeadline(time.Now().Add(60 * time.Second)) // fails only on a closed connection
		b := make([]byte, 0, 1<<10)
		for !bytes.HasSuffix(b, []byte("served")) {
			m, err := conns[i].Read(b[len(b):cap(b)])
			if b = b[:len(b)+m]; err != nil {
				t.Errorf("%s: connection %d: %v after %q", when, i, err, b)
				return
			}
		}
		if !bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) {
			t.Errorf("%s: connection %d: %q", when, i, b)
		}
	}
	inParallel(n, func(i int) {
		c, err := dial(i)
		if err != nil {
			t.Errorf("connection %d: %v", i, err)
			return
		}
		conns[i] = c
		ask("first use", i)
		hear("first use", i)
	})
	if t.Failed() {
		t.FailNow()
	}
	t.Logf("%d connections opened and used in %v", n, time.Since(started).Round(time.Millisecond))
	parked := func(when string) {
		t.Helper()
		e2e.Eventually(t, when+": goroutines are as many as without a connection", func() bool {
			return goroutines() <= before+10
		})
		rss := g.Metric("process_resident_memory_bytes")
		t.Logf("%s: %.0f goroutines (%.0f without connections), resident memory %.1f MiB over %.1f MiB", when,
			goroutines(), before, (rss-memory)/(1<<20), memory/(1<<20))
	}
	parked("idle")
	started = time.Now()
	inParallel(n, func(i int) { ask("all at once", i) })
	inParallel(n, func(i int) { hear("all at once", i) })
	t.Logf("all used at once, and answered in %v", time.Since(started).Round(time.Millisecond))
	parked("idle again")
	held := g.Metric(`penstock_connections{listener="main"}`) + g.Metric(`penstock_connections{listener="plain"}`)
	if held != float64(n) {
		t.Errorf("the gateway holds %.0f connections, want %d", held, n)
	}
}
