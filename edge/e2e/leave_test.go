package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// leaveAll closes the connections of clients.
func leaveAll(clients []*rawClient) {
	for _, c := range clients {
		_ = c.c.Close()
	}
}

// noneButThese fails the test when a target has got other requests than those with these paths.
func (rec *recorder) noneButThese(t *testing.T, stands string, paths ...string) {
	t.Helper()
	var got []string
	for _, r := range rec.requests() {
		got = append(got, r.path())
	}
	if !slices.Equal(got, paths) {
		t.Errorf("%s: the target has got %q, want %q", stands, got, paths)
	}
}

// TestLeaveQueue: who leaves a queue gives its place to others at once, and its request is not sent: neither that
// for a connection nor that of the concurrency limit.
func TestLeaveQueue(t *testing.T) {
	t.Parallel()
	f := func(stands, keys, code string, waiting func(*gateway) int, left func(*gateway) float64) {
		t.Helper()
		busy := newStalled(t, "busy")
		g := start(t, poolOf(quoted(busy.addr), keys))
		held := g.occupy(busy)[0]
		var clients []*rawClient
		for range 3 {
			clients = append(clients, g.begin(postWith("Content-Length: 3")))
		}
		eventually(t, stands+": they wait", func() bool { return waiting(g) == 3 })
		if a := g.begin(getPath("/more")).answer("GET"); a.StatusCode != 503 || a.code() != code {
			t.Errorf("%s: a full queue gives %d %s", stands, a.StatusCode, a.code())
		}
		leaveAll(clients)
		eventually(t, stands+": they have left", func() bool { return waiting(g) == 0 && left(g) == 3 })
		late := g.begin(getPath("/late"))
		eventually(t, stands+": there is room for others", func() bool { return waiting(g) == 1 })
		for _, c := range []*rawClient{held, late} {
			busy.pass <- true
			if a := c.answer("GET"); a.StatusCode != 200 {
				t.Errorf("%s: %d %s", stands, a.StatusCode, a.body)
			}
		}
		eventually(t, stands+": nothing is in flight", func() bool { return g.inFlight() == 0 })
		busy.noneButThese(t, stands, "/held", "/late")
		g.stop()
	}
	f("for a connection", "max_connections = 1\nmax_waiting = 3\nwait_timeout = \"60s\"", "pool_busy", (*gateway).waiting,
		func(g *gateway) float64 { return g.metric(`penstock_pool_waits_total{outcome="client",pool="app"}`) })
	f("for a place of the limit", "concurrency = { limit = 1, queue = 3, queue_timeout = \"60s\", queue_target = \"60s\" }",
		"pool_overloaded",
		func(g *gateway) int { return int(dig(g.poolStatus(), "concurrency", "waiting").(float64)) },
		func(g *gateway) float64 { return dig(g.poolStatus(), "concurrency", "left_total").(float64) })
}

// TestLeaveWhileConnecting: nothing is sent for a client that left while the connection was opened, and the
// attempt to open it ends.
func TestLeaveWhileConnecting(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "origin")
	keys := ca.issue(false, "127.0.0.1").tls()
	var accepted, asked, ended atomic.Int64
	pass := make(chan bool)
	addr := origin(t, func(c net.Conn) {
		defer ended.Add(1)
		accepted.Add(1)
		select {
		case <-pass:
		case <-t.Context().Done():
			return
		}
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{keys}})
		if _, err := http.ReadRequest(bufio.NewReader(s)); err == nil {
			asked.Add(1)
		}
	})
	g := start(t, poolOf(quoted(addr), "connect_timeout = \"60s\"\ntls = { enabled = true, ca = \""+ca.file+"\" }"))
	var clients []*rawClient
	for range 3 {
		clients = append(clients, g.begin(postWith("Content-Length: 3")))
	}
	eventually(t, "the target is being connected to", func() bool { return accepted.Load() == 3 })
	leaveAll(clients)
	eventually(t, "nothing is in flight", func() bool { return g.inFlight() == 0 })
	for range 3 {
		pass <- true
	}
	eventually(t, "the connections have ended", func() bool { return ended.Load() == 3 })
	if asked.Load() > 0 {
		t.Errorf("%d requests were sent", asked.Load())
	}
}

// TestLeaveBetweenAttempts: a client that leaves while the gateway waits to ask again, or beside a slow attempt,
// has nothing more sent.
func TestLeaveBetweenAttempts(t *testing.T) {
	t.Parallel()
	sorry := record(t, func(*recorded, net.Conn) string {
		return "HTTP/1.1 503 Wait\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
	})
	g := start(t, poolOf(quoted(sorry.addr), "retry = {}", "retry_unsafe = true"))
	c := g.begin(postWith("Content-Length: 3"))
	eventually(t, "it has been asked", func() bool { return len(sorry.requests()) == 1 })
	leaveAll([]*rawClient{c})
	eventually(t, "nothing is in flight", func() bool { return g.inFlight() == 0 })
	sorry.noneButThese(t, "back-off", "/x")

	// Of an attempt that timed out its client hears nothing any more.
	silent := record(t, keepsSilent)
	g = start(t, poolOf(quoted(silent.addr, freeAddr(t)), "retry = { attempts = 3, on = [\"connect\", \"timeout\"], "+
		"per_try_timeout = \"10s\", backoff = \"0s\" }", "retry_unsafe = true"))
	c = g.begin(lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n")
	eventually(t, "it has been asked", func() bool { return len(silent.requests()) == 1 })
	leaveAll([]*rawClient{c})
	eventually(t, "nothing is in flight", func() bool { return g.inFlight() == 0 })
	silent.noneButThese(t, "after a time-out", "/x")

	one, two := record(t, keepsSilent), record(t, keepsSilent)
	g = start(t, poolOf(quoted(one.addr, two.addr), "hedge = { after = \"10s\" }"))
	c = g.begin(getPath("/x"))
	asked := func() int { return len(one.requests()) + len(two.requests()) }
	eventually(t, "one has been asked", func() bool { return asked() == 1 })
	leaveAll([]*rawClient{c})
	eventually(t, "nothing is in flight", func() bool { return g.inFlight() == 0 })
	if asked() != 1 {
		t.Error("a second target was asked at the side, and nobody waited for it")
	}
}

// TestLeaveFleet: a client that leaves while the limits of the fleet are asked is not charged, and nothing is
// sent.
func TestLeaveFleet(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	var delay atomic.Int64
	target := record(t, nil)
	g := start(t, sharedBy(target.addr, slowly(t, redis.addr, &delay), "rate = \"10/h\"\nburst = 10\nkey = \"global\"\n"+
		"fleet = \"exact\"\nfleet_timeout = \"10s\"\non_failure = \"allow\"", "connect_timeout = \"10s\""))
	eventually(t, "redis answers", func() bool { return g.metric("penstock_redis_up") == 1 })
	if a := g.begin(postWith("Content-Length: 3")).answer("POST"); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	delay.Store(int64(2 * time.Second))
	var clients []*rawClient
	for range 3 {
		clients = append(clients, g.begin(postWith("Content-Length: 3")))
	}
	eventually(t, "they are there", func() bool { return g.metric("penstock_connections{") >= 3 })
	leaveAll(clients)
	eventually(t, "they have left", func() bool { return g.metric("penstock_connections{") <= 1 })
	delay.Store(0)
	target.noneButThese(t, "exact limit", "/x")
	eventually(t, "nothing was charged for them", func() bool {
		resp := g.get("/left")
		var left int
		_, err := fmt.Sscanf(resp.Header.Get("RateLimit"), `"main";r=%d`, &left)
		return err == nil && left >= 6
	})
}

// TestLeaveCache: who leaves while somebody else fetches what it wants has nothing fetched for it.
func TestLeaveCache(t *testing.T) {
	t.Parallel()
	release := make(chan bool)
	var asked atomic.Int64
	addr := httpOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			select {
			case <-release:
			case <-t.Context().Done():
			}
		}
		w.Header().Set("Cache-Control", "no-store") // each would have to ask for itself
		_, _ = io.WriteString(w, "x")
	})
	g := start(t, cached(addr, ""))
	leader := g.begin(getPath("/x"))
	eventually(t, "it is being fetched", func() bool { return asked.Load() == 1 })
	var clients []*rawClient
	for range 5 {
		clients = append(clients, g.begin(getPath("/x")))
	}
	eventually(t, "they are there", func() bool { return g.metric("penstock_connections{") == 6 })
	leaveAll(clients)
	eventually(t, "they have left", func() bool { return g.metric("penstock_connections{") == 1 })
	release <- true
	if a := leader.answer("GET"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	eventually(t, "nothing is in flight", func() bool { return g.inFlight() == 0 })
	if n := asked.Load(); n != 1 {
		t.Errorf("the target was asked %d times", n)
	}
}

// TestHalfClosed: a client that closes its side at once may only have said that it sends nothing more: it is
// answered, though a connection has to be opened for it.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	g := start(t, simple(record(t, nil).addr))
	for range 10 {
		c := g.begin(getPath("/x"))
		_ = c.c.(*net.TCPConn).CloseWrite() // fails only on a closed connection
		if a := c.answer("GET"); a.StatusCode != 200 || a.body != "ok" {
			t.Errorf("%d %q", a.StatusCode, a.body)
		}
	}
}
