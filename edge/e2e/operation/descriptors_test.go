package operation

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// startWith starts the gateway with so many descriptors, and without the right to raise its limit.
func startWith(t testing.TB, descriptors int, conf string) *e2e.Gateway {
	t.Helper()
	g := &e2e.Gateway{T: t, Addr: e2e.FreeAddr(t), Admin: e2e.FreeAddr(t), Log: &e2e.LockedBuffer{}}
	g.File = filepath.Join(t.TempDir(), "penstock.toml")
	g.Write(conf)
	args := []string{"sh", "-c", fmt.Sprintf("ulimit -n %d; exec %q run --config %q", descriptors, e2e.Binary, g.File)}
	if os.Geteuid() == 0 {
		e2e.Needs(t, "setpriv")
		args = slices.Concat([]string{"setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"}, args)
	}
	g.Cmd = exec.Command(args[0], args[1:]...)
	g.Run()
	t.Cleanup(g.Stop)
	g.WaitReady()
	return g
}

// TestIdleMakeRoom: with few descriptors, connections that have been idle for longest are closed for those that come,
// over plain connections and TLS, and the admin API goes on.
func TestIdleMakeRoom(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "one", ca.Issue(false, "one.example"))
	second := e2e.FreeAddr(t)
	g := startWith(t, 50, e2e.Simple(e2e.Record(t, nil).Addr, strings.ReplaceAll(e2e.SecureListener(dir, "one"),
		"main\"\naddress = \"{{addr}}", "tls\"\naddress = \""+second)))
	f := func(what, addr string, serve func(c net.Conn)) {
		t.Helper()
		before := g.Metric(closedIdle)
		var all []*e2e.RawClient
		for range 60 {
			all = append(all, e2e.DialRaw(t, addr))
		}
		all[0].Closed(what + ", the oldest")
		e2e.Eventually(t, what+": room is made for all", func() bool { return g.Metric(closedIdle) >= before+20 })
		serve(all[len(all)-1].C)
		for range 5 {
			e2e.Eventually(t, what+": /readyz answers", func() bool { // 503 while those before have not been seen to leave
				c := e2e.DialRaw(t, g.Admin)
				defer c.C.Close()
				c.Send("GET /readyz HTTP/1.1\r\nHost: " + g.Admin + "\r\n\r\n")
				return c.Answer("GET").StatusCode == 200
			})
		}
		for _, k := range all {
			k.C.Close()
		}
		for _, name := range []string{"main", "tls"} {
			g.Counted(`penstock_connections{listener="`+name+`"}`, 0)
		}
	}
	f("plain", g.Addr, func(c net.Conn) { e2e.NewRawClient(t, c).Open("the newest", "/x") })
	f("before the handshake", second, func(net.Conn) {
		c, _, err := e2e.Handshake(second, &tls.Config{ServerName: "one.example", RootCAs: ca.Pool})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		e2e.NewRawClient(t, c).Open("after all", "/x")
	})
	// A client that has made a request since has been idle for less long.
	early, late := e2e.DialRaw(t, g.Addr), e2e.DialRaw(t, g.Addr)
	late.Get("/x")
	early.Get("/x")
	late.Get("/x")
	for before := g.Metric(closedIdle); g.Metric(closedIdle) == before; {
		e2e.DialRaw(t, g.Addr).Get("/x") // it has been accepted: there is room for it
	}
	early.Closed("idle for longest")
	late.Open("idle for less long", "/x")
}

const closedIdle = "penstock_idle_connections_closed_total"

// TestFewDescriptors: more clients than there are descriptors for wait their turn, and all are served: no request
// fails, and no target is thought to be ill.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	targets := make([]string, 4)
	for i := range targets {
		targets[i] = `"` + e2e.HTTPOrigin(t, e2e.PathOrigin) + `"`
	}
	g := startWith(t, 100, strings.Replace(e2e.Simple("x", judges), `targets = ["x"]`,
		"response_timeout = \"60s\"\nwait_timeout = \"60s\"\nconnect_timeout = \"60s\"\n"+
			"targets = ["+strings.Join(targets, ", ")+"]", 1))
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			for answers := 0; answers < 4; {
				n, err := twice(g.Addr)
				if answers += n; err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	g.Healthy(t)
	if g.Metric("penstock_accept_pauses_total") == 0 {
		t.Error("accepting never paused: there were descriptors enough")
	}
}

// twice makes two requests on a connection, or one: it may be closed as long as it is idle. It returns how many were
// answered.
func twice(addr string) (answers int, err error) {
	c, err := net.DialTimeout("tcp", addr, 3*e2e.Patience)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(6 * e2e.Patience)) // fails only on a closed connection
	br := bufio.NewReader(c)
	for answers < 2 {
		_, _ = io.WriteString(c, "GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n") // reading tells of an error
		if _, err := br.Peek(1); errors.Is(err, os.ErrDeadlineExceeded) {
			return answers, err
		} else if err != nil {
			return answers, nil // not a byte: it was idle
		}
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return answers, err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
			return answers, fmt.Errorf("status %d, %w", resp.StatusCode, err)
		}
		answers++
	}
	return answers, nil
}

// judges take a target out, or its pool, at the first fault.
const judges = `
[pool.app.health]
path = "/healthz"
interval = "100ms"
timeout = "30s"
unhealthy_after = 1
[pool.app.outlier]
consecutive_errors = 1
[pool.app.breaker]
min_requests = 1
error_percent = 1
[pool.app.retry]
attempts = 3
`

// TestNoDescriptor: when the gateway has no descriptor for a connection to a target, that is its own fault: 503, said
// once, and held against no target. What accepts goes on when there are descriptors again.
func TestNoDescriptor(t *testing.T) {
	t.Parallel()
	closing := func() string {
		return `"` + e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			fmt.Fprint(w, r.URL.Path)
		}) + `"`
	}
	g := e2e.Start(t, strings.Replace(e2e.Simple("x", judges), `"x"`, closing()+", "+closing(), 1))
	pid := g.Cmd.Process.Pid
	c := e2e.DialRaw(t, g.Addr)
	if a := c.Get("/before"); a.StatusCode != 200 {
		t.Fatalf("%d %q", a.StatusCode, a.Body)
	}
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 3, Max: limit.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &none, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if a := c.Get("/x"); a.StatusCode != 503 || a.Code() != "gateway_exhausted" || a.Header.Get("Retry-After") == "" {
			t.Errorf("%d %q", a.StatusCode, a.Body)
		}
	}
	fresh, admin := e2e.DialRaw(t, g.Addr), e2e.DialRaw(t, g.Admin)
	fresh.Send("GET /after HTTP/1.1\r\nHost: example.com\r\n\r\n")
	admin.Send("GET /readyz HTTP/1.1\r\nHost: " + g.Admin + "\r\n\r\n")
	e2e.Eventually(t, "all that accepts has found no descriptor", func() bool {
		return strings.Contains(g.Log.String(), "cannot accept a connection\"") &&
			strings.Contains(g.Log.String(), "admin API cannot accept a connection")
	})
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	if a := fresh.Answer("GET"); a.StatusCode != 200 {
		t.Errorf("a client that had to wait: %d %q", a.StatusCode, a.Body)
	}
	if a := admin.Answer("GET"); a.StatusCode != 200 {
		t.Errorf("/readyz after all: %d %q", a.StatusCode, a.Body)
	}
	g.Healthy(t)
	if n := g.Sum("penstock_upstream_requests_total{", `outcome="gateway"`); n != 3 {
		t.Errorf("%v attempts with outcome gateway, want 3", n)
	}
	for _, line := range []string{"the gateway has no descriptors or memory left", `"cannot accept a connection"`,
		"admin API cannot accept a connection"} {
		if n := strings.Count(g.Log.String(), line); n != 1 {
			t.Errorf("%q stands %d times in the log", line, n)
		}
	}
}
