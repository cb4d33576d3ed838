package pools

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// leaveAll closes the connections of clients.
func leaveAll(clients []*e2e.RawClient) {
	for _, c := range clients {
		_ = c.C.Close()
	}
}

// TestLeaveQueue: a client that leaves a queue gives its place to others at once, and its request is not
// sent: neither that for a connection nor that of the concurrency limit.
func TestLeaveQueue(t *testing.T) {
	t.Parallel()
	f := func(stands, keys, code string, waiting func(*e2e.Gateway) int, left func(*e2e.Gateway) float64) {
		t.Helper()
		busy := newStalled(t, "busy")
		g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(busy.Addr), keys))
		held := g.Occupy(busy)[0]
		var clients []*e2e.RawClient
		for range 3 {
			clients = append(clients, g.Begin(e2e.PostWith("Content-Length: 3")))
		}
		e2e.Eventually(t, stands+": they wait", func() bool { return waiting(g) == 3 })
		if a := g.Begin(e2e.GetPath("/more")).Answer("GET"); a.StatusCode != 503 || a.Code() != code {
			t.Errorf("%s: a full queue gives %d %s", stands, a.StatusCode, a.Code())
		}
		leaveAll(clients)
		e2e.Eventually(t, stands+": they have left", func() bool { return waiting(g) == 0 && left(g) == 3 })
		late := g.Begin(e2e.GetPath("/late"))
		e2e.Eventually(t, stands+": there is room for others", func() bool { return waiting(g) == 1 })
		for _, c := range []*e2e.RawClient{held, late} {
			busy.Pass <- true
			if a := c.Answer("GET"); a.StatusCode != 200 {
				t.Errorf("%s: %d %s", stands, a.StatusCode, a.Body)
			}
		}
		e2e.Eventually(t, stands+": nothing is in flight", func() bool { return g.InFlight() == 0 })
		busy.NoneButThese(t, stands, "/held", "/late")
		g.Stop()
	}
	f("for a connection", "max_connections = 1\nmax_waiting = 3\nwait_timeout = \"60s\"", "pool_busy", (*e2e.Gateway).Waiting,
		func(g *e2e.Gateway) float64 {
			return g.Metric(`penstock_pool_waits_total{outcome="client",pool="app"}`)
		})
	f("for a place of the limit", "concurrency = { limit = 1, queue = 3, queue_timeout = \"60s\", queue_target = \"60s\" }",
		"pool_overloaded",
		func(g *e2e.Gateway) int { return int(e2e.Dig(g.PoolStatus(), "concurrency", "waiting").(float64)) },
		func(g *e2e.Gateway) float64 { return e2e.Dig(g.PoolStatus(), "concurrency", "left_total").(float64) })
}

// TestLeaveWhileConnecting: nothing is sent for a client that left while the connection was opened, and the
// attempt to open it ends.
func TestLeaveWhileConnecting(t *testing.T) {
	t.Parallel()
	ca := e2e.NewAuthority(t, "origin")
	keys := ca.Issue(false, "127.0.0.1").Tls()
	var accepted, asked, ended atomic.Int64
	pass := make(chan bool)
	addr := e2e.Origin(t, func(c net.Conn) {
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
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(addr), "connect_timeout = \"60s\"\ntls = { enabled = true, ca = \""+ca.File+"\" }"))
	var clients []*e2e.RawClient
	for range 3 {
		clients = append(clients, g.Begin(e2e.PostWith("Content-Length: 3")))
	}
	e2e.Eventually(t, "the target is being connected to", func() bool { return accepted.Load() == 3 })
	leaveAll(clients)
	e2e.Eventually(t, "nothing is in flight", func() bool { return g.InFlight() == 0 })
	for range 3 {
		pass <- true
	}
	e2e.Eventually(t, "the connections have ended", func() bool { return ended.Load() == 3 })
	if asked.Load() > 0 {
		t.Errorf("%d requests were sent", asked.Load())
	}
}

// TestLeaveBetweenAttempts: a client that leaves while the gateway waits to ask again, or beside a slow attempt,
// has nothing more sent.
func TestLeaveBetweenAttempts(t *testing.T) {
	t.Parallel()
	sorry := e2e.Record(t, func(*e2e.Recorded, net.Conn) string {
		return "HTTP/1.1 503 Wait\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
	})
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(sorry.Addr), "retry = {}", "retry_unsafe = true"))
	c := g.Begin(e2e.PostWith("Content-Length: 3"))
	e2e.Eventually(t, "it has been asked", func() bool { return len(sorry.Requests()) == 1 })
	leaveAll([]*e2e.RawClient{c})
	e2e.Eventually(t, "nothing is in flight", func() bool { return g.InFlight() == 0 })
	sorry.NoneButThese(t, "back-off", "/x")

	// Of an attempt that timed out its client hears nothing any more.
	silent := e2e.Record(t, e2e.KeepsSilent)
	g = e2e.Start(t, e2e.PoolOf(e2e.Quoted(silent.Addr, e2e.FreeAddr(t)), "retry = { attempts = 3, on = [\"connect\", \"timeout\"], "+
		"per_try_timeout = \"10s\", backoff = \"0s\" }", "retry_unsafe = true"))
	c = g.Begin(e2e.Lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n")
	e2e.Eventually(t, "it has been asked", func() bool { return len(silent.Requests()) == 1 })
	leaveAll([]*e2e.RawClient{c})
	e2e.Eventually(t, "nothing is in flight", func() bool { return g.InFlight() == 0 })
	silent.NoneButThese(t, "after a time-out", "/x")

	one, two := e2e.Record(t, e2e.KeepsSilent), e2e.Record(t, e2e.KeepsSilent)
	g = e2e.Start(t, e2e.PoolOf(e2e.Quoted(one.Addr, two.Addr), "hedge = { after = \"10s\" }"))
	c = g.Begin(e2e.GetPath("/x"))
	asked := func() int { return len(one.Requests()) + len(two.Requests()) }
	e2e.Eventually(t, "one has been asked", func() bool { return asked() == 1 })
	leaveAll([]*e2e.RawClient{c})
	e2e.Eventually(t, "nothing is in flight", func() bool { return g.InFlight() == 0 })
	if asked() != 1 {
		t.Error("a second target was asked at the side, and nobody waited for it")
	}
}

// TestLeaveFleet: a client that leaves while the limits of the fleet are asked is not charged, and nothing is
// sent.
func TestLeaveFleet(t *testing.T) {
	t.Parallel()
	redis := e2e.StartRedis(t)
	var delay atomic.Int64
	target := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.SharedBy(target.Addr, e2e.Slowly(t, redis.Addr, &delay), "rate = \"10/h\"\nburst = 10\nkey = \"global\"\n"+
		"fleet = \"exact\"\nfleet_timeout = \"10s\"\non_failure = \"allow\"", "connect_timeout = \"10s\""))
	e2e.Eventually(t, "redis answers", func() bool { return g.Metric("penstock_redis_up") == 1 })
	if a := g.Begin(e2e.PostWith("Content-Length: 3")).Answer("POST"); a.StatusCode != 200 {
		t.Fatalf("%d %s", a.StatusCode, a.Body)
	}
	delay.Store(int64(2 * time.Second))
	var clients []*e2e.RawClient
	for range 3 {
		clients = append(clients, g.Begin(e2e.PostWith("Content-Length: 3")))
	}
	e2e.Eventually(t, "they are there", func() bool { return g.Metric("penstock_connections{") >= 3 })
	leaveAll(clients)
	e2e.Eventually(t, "they have left", func() bool { return g.Metric("penstock_connections{") <= 1 })
	delay.Store(0)
	target.NoneButThese(t, "exact limit", "/x")
	e2e.Eventually(t, "nothing was charged for them", func() bool {
		resp := g.Get("/left")
		var left int
		_, err := fmt.Sscanf(resp.Header.Get("RateLimit"), `"main";r=%d`, &left)
		return err == nil && left >= 6
	})
}

// TestLeaveCache: for a client that leaves while another one's fetch brings what it wants, nothing is
// fetched.
func TestLeaveCache(t *testing.T) {
	t.Parallel()
	release := make(chan bool)
	var asked atomic.Int64
	addr := e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			select {
			case <-release:
			case <-t.Context().Done():
			}
		}
		w.Header().Set("Cache-Control", "no-store") // each would have to ask for itself
		_, _ = io.WriteString(w, "x")
	})
	g := e2e.Start(t, e2e.Cached(addr, ""))
	leader := g.Begin(e2e.GetPath("/x"))
	e2e.Eventually(t, "it is being fetched", func() bool { return asked.Load() == 1 })
	var clients []*e2e.RawClient
	for range 5 {
		clients = append(clients, g.Begin(e2e.GetPath("/x")))
	}
	e2e.Eventually(t, "they are there", func() bool { return g.Metric("penstock_connections{") == 6 })
	leaveAll(clients)
	e2e.Eventually(t, "they have left", func() bool { return g.Metric("penstock_connections{") == 1 })
	release <- true
	if a := leader.Answer("GET"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.Body)
	}
	e2e.Eventually(t, "nothing is in flight", func() bool { return g.InFlight() == 0 })
	if n := asked.Load(); n != 1 {
		t.Errorf("the target was asked %d times", n)
	}
}

// TestHalfClosed: a client that closes its side at once may only have said that it sends nothing more: it is
// answered, though a connection has to be opened for it.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, e2e.Simple(e2e.Record(t, nil).Addr))
	for range 10 {
		c := g.Begin(e2e.GetPath("/x"))
		_ = c.C.(*net.TCPConn).CloseWrite() // fails only on a closed connection
		if a := c.Answer("GET"); a.StatusCode != 200 || a.Body != "ok" {
			t.Errorf("%d %q", a.StatusCode, a.Body)
		}
	}
}
