package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// stalled is a target that keeps each request until it is let go.
type stalled struct {
	*recorder
	pass chan bool
}

func newStalled(t testing.TB, name string) *stalled {
	s := &stalled{pass: make(chan bool)}
	s.recorder = record(t, func(*recorded, net.Conn) string {
		select {
		case <-s.pass:
		case <-t.Context().Done():
		}
		return string(ok(name))
	})
	return s
}

// waiting is how many requests wait for a connection.
func (g *gateway) waiting() int {
	g.t.Helper()
	n := 0.0
	for _, target := range g.poolStatus()["targets"].([]any) {
		n = max(n, dig(target, "waiting").(float64))
	}
	return int(n)
}

// begin sends a request on a connection of its own.
func (g *gateway) begin(request string) *rawClient {
	g.t.Helper()
	c := dialRaw(g.t, g.addr)
	c.send(request)
	return c
}

func getPath(path string) string { return lines("GET " + path + " HTTP/1.1") }

// occupy keeps the one connection of each target busy.
func (g *gateway) occupy(targets ...*stalled) (held []*rawClient) {
	g.t.Helper()
	for n := range targets {
		held = append(held, g.begin(getPath("/held")))
		eventually(g.t, "the targets are busy", func() bool {
			busy := 0
			for _, o := range targets {
				busy += len(o.of("/held"))
			}
			return busy > n
		})
	}
	return held
}

// TestQueueWhoeverIsFree: who waits, waits for the pool. One target that hangs keeps one request, and the other
// target serves all the others, whatever the policy.
func TestQueueWhoeverIsFree(t *testing.T) {
	t.Parallel()
	for _, balance := range []string{"round_robin", "least_connections", "consistent_hash", "ewma", "random"} {
		slow, quick := newStalled(t, "slow"), record(t, nil)
		g := start(t, poolOf(quoted(slow.addr, quick.addr), "balance = \""+balance+"\"\nslow_start = \"0s\"\n"+
			"max_connections = 1\nwait_timeout = \"3s\"\nsticky = {}"))
		const n = 12
		var ended, bad atomic.Int64
		var clients sync.WaitGroup
		for range n {
			clients.Go(func() {
				resp, err := http.Post("http://"+g.addr+"/", "", strings.NewReader("abc"))
				if err != nil || resp.StatusCode != 200 {
					bad.Add(1)
				}
				if err == nil {
					resp.Body.Close()
				}
				ended.Add(1)
			})
		}
		eventually(t, balance+": all but those at the slow one are served", func() bool {
			return int(ended.Load())+len(slow.requests()) == n
		})
		for range slow.requests() {
			slow.pass <- true
		}
		clients.Wait()
		if n := bad.Load(); n > 0 {
			t.Errorf("%s: %d were not served", balance, n)
		}
		eventually(t, balance+": nothing is left", func() bool { return g.inFlight() == 0 && g.waiting() == 0 })
	}
}

// TestQueueInOrder: those who wait are served in the order in which they came, and nobody overtakes them.
func TestQueueInOrder(t *testing.T) {
	t.Parallel()
	one, two := newStalled(t, "one"), newStalled(t, "two")
	g := start(t, poolOf(quoted(one.addr, two.addr), "max_connections = 1\nwait_timeout = \"20s\""))
	held := g.occupy(one, two)
	var waiting []*rawClient
	for i := range 6 {
		waiting = append(waiting, g.begin(getPath(fmt.Sprint("/", i))))
		eventually(t, "it waits", func() bool { return g.waiting() == i+1 })
	}
	for i := range waiting {
		two.pass <- true // all of it by one target
		eventually(t, "the next one is served", func() bool { return len(two.of(fmt.Sprint("/", i))) == 1 })
	}
	if n := len(one.requests()); n != 1 {
		t.Errorf("the other one has got %d", n)
	}
	two.pass <- true
	one.pass <- true
	for _, c := range append(held, waiting...) {
		if a := c.answer("GET"); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.code())
		}
	}
}

// TestQueueFollowsTargets: what is drained, removed or unhealthy keeps nobody waiting, and what comes serves
// those who wait.
func TestQueueFollowsTargets(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "targets.toml")
	found := func(addrs ...string) {
		next := file + ".next"
		if err := os.WriteFile(next, []byte("targets = ["+quoted(addrs...)+"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, file); err != nil {
			t.Fatal(err)
		}
	}
	const keys = "max_connections = 1\nwait_timeout = \"20s\"\n"
	reload := func(g *gateway, conf string) {
		g.write(conf)
		if status, text := g.reload(); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	discovered := "[[listener]]\naddress = \"{{addr}}\"\n[pool.app]\ndiscover = { file = \"" + file + "\" }\n" + keys +
		"[[route]]\nprefix = \"/\"\npool = \"app\"\n"
	f := func(stands, conf string, first func(*gateway, *moody), then func(*gateway, *stalled, *moody)) {
		t.Helper()
		busy, other := newStalled(t, "busy"), newMoody(t)
		other.status.Store(503)
		found(busy.addr)
		if conf == "" {
			conf = poolOf(quoted(busy.addr, other.addr), keys)
		}
		if conf == "one" {
			conf = poolOf(quoted(busy.addr), keys)
		}
		g := start(t, conf)
		if first != nil {
			first(g, other)
		}
		held := g.occupy(busy)
		waiting := []*rawClient{g.begin(getPath("/a")), g.begin(postWith("Content-Length: 3"))}
		eventually(t, stands+": they wait", func() bool { return g.waiting() == 2 })
		other.status.Store(200)
		then(g, busy, other)
		for _, c := range waiting {
			if a := c.answer("GET"); a.StatusCode != 200 || a.body != other.addr {
				t.Errorf("%s: %d %s", stands, a.StatusCode, a.body)
			}
		}
		if n := len(busy.of("/held")); n != 1 {
			t.Errorf("%s: the busy one has got %d", stands, n)
		}
		busy.pass <- true
		held[0].answer("GET")
		g.stop()
	}
	drained := func(g *gateway, other *moody) { g.drainTarget("drain", other.addr) }
	f("undrained", "", drained, func(g *gateway, _ *stalled, other *moody) { g.drainTarget("undrain", other.addr) })
	f("added by a reload", "one", nil, func(g *gateway, busy *stalled, other *moody) {
		reload(g, poolOf(quoted(busy.addr, other.addr), keys))
	})
	f("replaced by a reload", "one", nil, func(g *gateway, _ *stalled, other *moody) {
		reload(g, poolOf(quoted(other.addr), keys))
	})
	f("discovered", discovered, nil, func(_ *gateway, busy *stalled, other *moody) { found(busy.addr, other.addr) })
	f("replaced by discovery", discovered, nil, func(_ *gateway, _ *stalled, other *moody) { found(other.addr) })
}

// TestQueueOfWhoIsGone: a target that is drained while requests wait for it keeps none of them: the other one
// serves them when it is free, and when no target is left they hear so at once.
func TestQueueOfWhoIsGone(t *testing.T) {
	t.Parallel()
	one, two := newStalled(t, "one"), newStalled(t, "two")
	g := start(t, poolOf(quoted(one.addr, two.addr), "max_connections = 1\nwait_timeout = \"60s\""))
	held := g.occupy(one, two)
	var waiting []*rawClient
	for i := range 3 {
		waiting = append(waiting, g.begin(getPath(fmt.Sprint("/", i))))
		eventually(t, "it waits", func() bool { return g.waiting() == i+1 })
	}
	g.drainTarget("drain", one.addr)
	for i := range 2 {
		two.pass <- true
		eventually(t, "the other one serves it", func() bool { return len(two.of(fmt.Sprint("/", i))) == 1 })
	}
	g.drainTarget("drain", two.addr)
	if a := waiting[2].answer("GET"); a.StatusCode != 503 || a.code() != "no_upstream" {
		t.Errorf("the last one: %d %s", a.StatusCode, a.body)
	}
	one.pass <- true
	two.pass <- true
	for _, c := range append(held, waiting[:2]...) {
		if a := c.answer("GET"); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
}

// TestQueueHealth: the same with checks: a target that fails them keeps nobody waiting, and one that passes them
// again serves.
func TestQueueHealth(t *testing.T) {
	t.Parallel()
	var sick [2]atomic.Bool
	pass := make(chan bool)
	var served [2]atomic.Int64
	targets := make([]string, 2)
	for i := range targets {
		targets[i] = httpOrigin(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" {
				if sick[i].Load() {
					w.WriteHeader(500)
				}
				return
			}
			served[i].Add(1)
			if i == 0 {
				select {
				case <-pass:
				case <-r.Context().Done():
				}
			}
		})
	}
	sick[1].Store(true)
	g := start(t, poolOf(quoted(targets...), "max_connections = 1\nwait_timeout = \"60s\"\nslow_start = \"0s\"\n"+
		"[pool.app.health]\npath = \"/healthz\"\ninterval = \"50ms\"\nunhealthy_interval = \"50ms\"\n"+
		"healthy_after = 1\nunhealthy_after = 1"))
	usable := func(n float64) {
		t.Helper()
		eventually(t, fmt.Sprint(n, " are usable"), func() bool { return g.poolStatus()["usable"] == n })
	}
	usable(1)
	held := g.begin(getPath("/held"))
	eventually(t, "the well one is busy", func() bool { return served[0].Load() == 1 })
	waiting := g.begin(getPath("/a"))
	eventually(t, "it waits", func() bool { return g.waiting() == 1 })
	sick[1].Store(false)
	if a := waiting.answer("GET"); a.StatusCode != 200 || served[1].Load() != 1 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	sick[1].Store(true)
	usable(1)
	waiting.send(getPath("/b"))
	eventually(t, "it waits", func() bool { return g.waiting() == 1 })
	sick[0].Store(true)
	if a := waiting.answer("GET"); a.StatusCode != 503 || a.code() != "no_upstream" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	close(pass)
	held.answer("GET")
}

// TestQueueSticky: a client that is tied to a target waits for it while others are free, and not longer than it
// may be asked.
func TestQueueSticky(t *testing.T) {
	t.Parallel()
	one, two := newStalled(t, "one"), newStalled(t, "two")
	g := start(t, poolOf(quoted(one.addr, two.addr), "max_connections = 1\nwait_timeout = \"60s\"\nsticky = {}\ndrain_timeout = \"0s\""))
	held := g.occupy(one, two)
	one.pass <- true
	two.pass <- true
	var cookie, tied string
	for _, c := range held {
		if a := c.answer("GET"); a.body == "one" {
			cookie = a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
			tied = one.addr
		}
	}
	mine := func(path string) string { return lines("GET "+path+" HTTP/1.1", "Cookie: "+cookie) }
	first := g.begin(mine("/first"))
	eventually(t, "its target is busy", func() bool { return len(one.of("/first")) == 1 })
	second := g.begin(mine("/second"))
	eventually(t, "it waits for its target", func() bool { return g.waiting() == 1 })
	other := g.begin(getPath("/other")) // overtakes nobody: who waits does not want its place
	eventually(t, "the other one serves others", func() bool { return len(two.of("/other")) == 1 })
	two.pass <- true
	if a := other.answer("GET"); a.body != "two" {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	one.pass <- true
	eventually(t, "its own target serves it", func() bool { return len(one.of("/second")) == 1 })
	third := g.begin(mine("/third"))
	eventually(t, "it waits for its target", func() bool { return g.waiting() == 1 })
	g.drainTarget("drain", tied)
	eventually(t, "another one serves it", func() bool { return len(two.of("/third")) == 1 })
	one.pass <- true
	two.pass <- true
	for _, c := range []*rawClient{first, second, third} {
		if a := c.answer("GET"); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
}

// TestQueueStickyDrains: who waits for the target that his client sticks to is served by it while it is drained,
// and nobody else is.
func TestQueueStickyDrains(t *testing.T) {
	t.Parallel()
	one, two := newStalled(t, "one"), newStalled(t, "two")
	g := start(t, poolOf(quoted(one.addr, two.addr), "max_connections = 1\nwait_timeout = \"60s\"\nsticky = {}\n"+
		"drain_timeout = \"1h\""))
	held := g.occupy(one, two)
	one.pass <- true
	two.pass <- true
	var cookie string
	for _, c := range held {
		if a := c.answer("GET"); a.body == "one" {
			cookie = a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
		}
	}
	mine := func(path string) string { return lines("GET "+path+" HTTP/1.1", "Cookie: "+cookie) }
	first := g.begin(mine("/first"))
	eventually(t, "its target is busy", func() bool { return len(one.of("/first")) == 1 })
	other := g.begin(getPath("/other"))
	eventually(t, "the other one is busy", func() bool { return len(two.of("/other")) == 1 })
	second := g.begin(mine("/second"))
	eventually(t, "it waits", func() bool { return g.waiting() == 1 })
	newcomer := g.begin(getPath("/newcomer"))
	eventually(t, "a newcomer waits", func() bool { return g.waiting() == 2 })
	g.drainTarget("drain", one.addr)
	one.pass <- true
	eventually(t, "its own target serves it", func() bool { return len(one.of("/second")) == 1 })
	two.pass <- true
	eventually(t, "the other one serves the newcomer", func() bool { return len(two.of("/newcomer")) == 1 })
	one.pass <- true
	two.pass <- true
	for _, c := range []*rawClient{first, other, second, newcomer} {
		if a := c.answer("GET"); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
}
