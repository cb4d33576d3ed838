package e2e

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
)

// startWith starts the gateway with so many descriptors, and without the right to raise its limit.
func startWith(t testing.TB, descriptors int, conf string) *gateway {
	t.Helper()
	g := &gateway{t: t, addr: freeAddr(t), admin: freeAddr(t), log: &lockedBuffer{}}
	g.file = filepath.Join(t.TempDir(), "penstock.toml")
	g.write(conf)
	args := []string{"sh", "-c", fmt.Sprintf("ulimit -n %d; exec %q run --config %q", descriptors, binary, g.file)}
	if os.Geteuid() == 0 {
		needs(t, "setpriv")
		args = slices.Concat([]string{"setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"}, args)
	}
	g.cmd = exec.Command(args[0], args[1:]...)
	g.run()
	t.Cleanup(g.stop)
	g.waitReady()
	return g
}

// TestIdleMakeRoom: with few descriptors, connections that have been idle for longest are closed for those that come,
// over plain connections and TLS, and the admin API goes on.
func TestIdleMakeRoom(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), newAuthority(t, "test authority")
	ca.write(dir, "one", ca.issue(false, "one.example"))
	second := freeAddr(t)
	g := startWith(t, 50, simple(record(t, nil).addr, strings.ReplaceAll(secureListener(dir, "one"),
		"main\"\naddress = \"{{addr}}", "tls\"\naddress = \""+second)))
	f := func(what, addr string, serve func(c net.Conn)) {
		t.Helper()
		before := g.metric(closedIdle)
		var all []*rawClient
		for range 60 {
			all = append(all, dialRaw(t, addr))
		}
		all[0].closed(what + ", the oldest")
		eventually(t, what+": room is made for all", func() bool { return g.metric(closedIdle) >= before+20 })
		serve(all[len(all)-1].c)
		for range 5 {
			c := dialRaw(t, g.admin)
			c.send("GET /readyz HTTP/1.1\r\nHost: " + g.admin + "\r\n\r\n")
			if a := c.answer("GET"); a.StatusCode != 200 {
				t.Errorf("%s: /readyz answers %d %q", what, a.StatusCode, a.body)
			}
			c.c.Close()
		}
		for _, k := range all {
			k.c.Close()
		}
		for _, name := range []string{"main", "tls"} {
			g.counted(`penstock_connections{listener="`+name+`"}`, 0)
		}
	}
	f("plain", g.addr, func(c net.Conn) { newRawClient(t, c).open("the newest", "/x") })
	f("before the handshake", second, func(net.Conn) {
		c, _, err := handshake(second, &tls.Config{ServerName: "one.example", RootCAs: ca.pool})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		newRawClient(t, c).open("after all", "/x")
	})
	// Who has made a request since has been idle for less long.
	early, late := dialRaw(t, g.addr), dialRaw(t, g.addr)
	late.get("/x")
	early.get("/x")
	late.get("/x")
	for before := g.metric(closedIdle); g.metric(closedIdle) == before; {
		dialRaw(t, g.addr).get("/x") // it has been accepted: there is room for it
	}
	early.closed("idle for longest")
	late.open("idle for less long", "/x")
}

const closedIdle = "penstock_idle_connections_closed_total"

// TestFewDescriptors: more clients than there are descriptors for wait their turn, and all are served: no request
// fails, and no target is thought to be ill.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	targets := make([]string, 4)
	for i := range targets {
		targets[i] = `"` + httpOrigin(t, pathOrigin) + `"`
	}
	g := startWith(t, 100, strings.Replace(simple("x", judges), `targets = ["x"]`,
		"response_timeout = \"60s\"\nwait_timeout = \"60s\"\nconnect_timeout = \"60s\"\n"+
			"targets = ["+strings.Join(targets, ", ")+"]", 1))
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			for answers := 0; answers < 4; {
				n, err := twice(g.addr)
				if answers += n; err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	g.healthy(t)
	if g.metric("penstock_accept_pauses_total") == 0 {
		t.Error("accepting never paused: there were descriptors enough")
	}
}

// twice makes two requests on a connection, or one: it may be closed as long as it is idle. It returns how many were
// answered.
func twice(addr string) (answers int, err error) {
	c, err := net.DialTimeout("tcp", addr, 3*patience)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(6 * patience)) // fails only on a closed connection
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

// healthy fails the test when a target has been taken out, or an attempt counted as its failure.
func (g *gateway) healthy(t testing.TB) {
	t.Helper()
	for _, outcome := range []string{"connect", "reset", "timeout", "error"} {
		if n := g.sum("penstock_upstream_requests_total{", `outcome="`+outcome+`"`); n != 0 {
			t.Errorf("%v attempts with outcome %s", n, outcome)
		}
	}
	if n := g.sum("penstock_target_ejections_total{", ""); n != 0 {
		t.Errorf("%v ejections", n)
	}
	for _, bad := range []string{"target unhealthy", "target ejected", "breaker open"} {
		if strings.Contains(g.log.String(), bad) {
			t.Errorf("the log says %q", bad)
		}
	}
}

// TestNoDescriptor: when the gateway has no descriptor for a connection to a target, that is its own fault: 503, said
// once, and held against no target. What accepts goes on when there are descriptors again.
func TestNoDescriptor(t *testing.T) {
	t.Parallel()
	closing := func() string {
		return `"` + httpOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			fmt.Fprint(w, r.URL.Path)
		}) + `"`
	}
	g := start(t, strings.Replace(simple("x", judges), `"x"`, closing()+", "+closing(), 1))
	pid := g.cmd.Process.Pid
	c := dialRaw(t, g.addr)
	if a := c.get("/before"); a.StatusCode != 200 {
		t.Fatalf("%d %q", a.StatusCode, a.body)
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
		if a := c.get("/x"); a.StatusCode != 503 || a.code() != "gateway_exhausted" || a.Header.Get("Retry-After") == "" {
			t.Errorf("%d %q", a.StatusCode, a.body)
		}
	}
	fresh, admin := dialRaw(t, g.addr), dialRaw(t, g.admin)
	fresh.send("GET /after HTTP/1.1\r\nHost: example.com\r\n\r\n")
	admin.send("GET /readyz HTTP/1.1\r\nHost: " + g.admin + "\r\n\r\n")
	eventually(t, "all that accepts has found no descriptor", func() bool {
		return strings.Contains(g.log.String(), "cannot accept a connection\"") &&
			strings.Contains(g.log.String(), "admin API cannot accept a connection")
	})
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	if a := fresh.answer("GET"); a.StatusCode != 200 {
		t.Errorf("a client that had to wait: %d %q", a.StatusCode, a.body)
	}
	if a := admin.answer("GET"); a.StatusCode != 200 {
		t.Errorf("/readyz after all: %d %q", a.StatusCode, a.body)
	}
	g.healthy(t)
	if n := g.sum("penstock_upstream_requests_total{", `outcome="gateway"`); n != 3 {
		t.Errorf("%v attempts with outcome gateway, want 3", n)
	}
	for _, line := range []string{"the gateway has no descriptors or memory left", `"cannot accept a connection"`,
		"admin API cannot accept a connection"} {
		if n := strings.Count(g.log.String(), line); n != 1 {
			t.Errorf("%q stands %d times in the log", line, n)
		}
	}
}
