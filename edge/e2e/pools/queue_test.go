package pools

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

	"github.com/penstock-edge/penstock/edge/e2e"
)

func newStalled(t testing.TB, name string) *e2e.Stalled {
	s := &e2e.Stalled{Pass: make(chan bool)}
	s.Recorder = e2e.Record(t, func(*e2e.Recorded, net.Conn) string {
		select {
		case <-s.Pass:
		case <-t.Context().Done():
		}
		return string(e2e.OK(name))
	})
	return s
}

// TestQueueWhoeverIsFree: a waiter waits for the pool. One target that hangs keeps one request, and the
// other target serves all the others, whatever the policy.
func TestQueueWhoeverIsFree(t *testing.T) {
	t.Parallel()
	for _, balance := range []string{"round_robin", "least_connections", "consistent_hash", "ewma", "random"} {
		slow, quick := newStalled(t, "slow"), e2e.Record(t, nil)
		g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(slow.Addr, quick.Addr), "balance = \""+balance+"\"\nslow_start = \"0s\"\n"+
			"max_connections = 1\nwait_timeout = \"3s\"\nsticky = {}"))
		const n = 12
		var ended, bad atomic.Int64
		var clients sync.WaitGroup
		for range n {
			clients.Go(func() {
				resp, err := http.Post("http://"+g.Addr+"/", "", strings.NewReader("abc"))
				if err != nil || resp.StatusCode != 200 {
					bad.Add(1)
				}
				if err == nil {
					resp.Body.Close()
				}
				ended.Add(1)
			})
		}
		e2e.Eventually(t, balance+": all but those at the slow one are served", func() bool {
			return int(ended.Load())+len(slow.Requests()) == n
		})
		for range slow.Requests() {
			slow.Pass <- true
		}
		clients.Wait()
		if n := bad.Load(); n > 0 {
			t.Errorf("%s: %d were not served", balance, n)
		}
		e2e.Eventually(t, balance+": nothing is left", func() bool { return g.InFlight() == 0 && g.Waiting() == 0 })
	}
}

// TestQueueInOrder: those who wait are served in the order in which they came, and nobody overtakes them.
func TestQueueInOrder(t *testing.T) {
	t.Parallel()
	one, two := newStalled(t, "one"), newStalled(t, "two")
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(one.Addr, two.Addr), "max_connections = 1\nwait_timeout = \"20s\""))
	held := g.Occupy(one, two)
	var waiting []*e2e.RawClient
	for i := range 6 {
		waiting = append(waiting, g.Begin(e2e.GetPath(fmt.Sprint("/", i))))
		e2e.Eventually(t, "it waits", func() bool { return g.Waiting() == i+1 })
	}
	for i := range waiting {
		two.Pass <- true // all of it by one target
		e2e.Eventually(t, "the next one is served", func() bool { return len(two.Of(fmt.Sprint("/", i))) == 1 })
	}
	if n := len(one.Requests()); n != 1 {
		t.Errorf("the other one has got %d", n)
	}
	two.Pass <- true
	one.Pass <- true
	for _, c := range append(held, waiting...) {
		if a := c.Answer("GET"); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.Code())
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
		if err := os.WriteFile(next, []byte("targets = ["+e2e.Quoted(addrs...)+"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, file); err != nil {
			t.Fatal(err)
		}
	}
	const keys = "max_connections = 1\nwait_timeout = \"20s\"\n"
	reload := func(g *e2e.Gateway, conf string) {
		g.Write(conf)
		if status, text := g.Reload(); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	discovered := "[[listener]]\naddress = \"{{addr}}\"\n[pool.app]\ndiscover = { file = \"" + file + "\" }\n" + keys +
		"[[route]]\nprefix = \"/\"\npool = \"app\"\n"
	f := func(stands, conf string, first func(*e2e.Gateway, *e2e.Moody), then func(*e2e.Gateway, *e2e.Stalled, *e2e.Moody)) {
		t.Helper()
		busy, other := newStalled(t, "busy"), e2e.NewMoody(t)
		other.Status.Store(503)
		found(busy.Addr)
		if conf == "" {
			conf = e2e.PoolOf(e2e.Quoted(busy.Addr, other.Addr), keys)
		}
		if conf == "one" {
			conf = e2e.PoolOf(e2e.Quoted(busy.Addr), keys)
		}
		g := e2e.Start(t, conf)
		if first != nil {
			first(g, other)
		}
		held := g.Occupy(busy)
		waiting := []*e2e.RawClient{g.Begin(e2e.GetPath("/a")), g.Begin(e2e.PostWith("Content-Length: 3"))}
		e2e.Eventually(t, stands+": they wait", func() bool { return g.Waiting() == 2 })
		other.Status.Store(200)
		then(g, busy, other)
		for _, c := range waiting {
			if a := c.Answer("GET"); a.StatusCode != 200 || a.Body != other.Addr {
				t.Errorf("%s: %d %s", stands, a.StatusCode, a.Body)
			}
		}
		if n := len(busy.Of("/held")); n != 1 {
			t.Errorf("%s: the busy one has got %d", stands, n)
		}
		busy.Pass <- true
		held[0].Answer("GET")
		g.Stop()
	}
	drained := func(g *e2e.Gateway, other *e2e.Moody) { g.DrainTarget("drain", other.Addr) }
	f("undrained", "", drained, func(g *e2e.Gateway, _ *e2e.Stalled, other *e2e.Moody) { g.DrainTarget("undrain", other.Addr) })
	f("added by a reload", "one", nil, func(g *e2e.Gateway, busy *e2e.Stalled, other *e2e.Moody) {
		reload(g, e2e.PoolOf(e2e.Quoted(busy.Addr, other.Addr), keys))
	})
	f("replaced by a reload", "one", nil, func(g *e2e.Gateway, _ *e2e.Stalled, other *e2e.Moody) {
		reload(g, e2e.PoolOf(e2e.Quoted(other.Addr), keys))
	})
	f("discovered", discovered, nil, func(_ *e2e.Gateway, busy *e2e.Stalled, other *e2e.Moody) { found(busy.Addr, other.Addr) })
	f("replaced by discovery", discovered, nil, func(_ *e2e.Gateway, _ *e2e.Stalled, other *e2e.Moody) { found(other.Addr) })
}

// TestQueueOfWhoIsGone: a target that is drained while requests wait for it keeps none of them: the other one
// serves them when it is free, and when no target is left they hear so at once.
func TestQueueOfWhoIsGone(t *testing.T) {
	t.Parallel()
	one, two := newStalled(t, "one"), newStalled(t, "two")
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(one.Addr, two.Addr), "max_connections = 1\nwait_timeout = \"60s\""))
	held := g.Occupy(one, two)
	var waiting []*e2e.RawClient
	for i := range 3 {
		waiting = append(waiting, g.Begin(e2e.GetPath(fmt.Sprint("/", i))))
		e2e.Eventually(t, "it waits", func() bool { return g.Waiting() == i+1 })
	}
	g.DrainTarget("drain", one.Addr)
	for i := range 2 {
		two.Pass <- true
		e2e.Eventually(t, "the other one serves it", func() bool { return len(two.Of(fmt.Sprint("/", i))) == 1 })
	}
	g.DrainTarget("drain", two.Addr)
	if a := waiting[2].Answer("GET"); a.StatusCode != 503 || a.Code() != "no_upstream" {
		t.Errorf("the last one: %d %s", a.StatusCode, a.Body)
	}
	one.Pass <- true
	two.Pass <- true
	for _, c := range append(held, waiting[:2]...) {
		if a := c.Answer("GET"); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.Body)
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
		targets[i] = e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
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
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(targets...), "max_connections = 1\nwait_timeout = \"60s\"\nslow_start = \"0s\"\n"+
		"[pool.app.health]\npath = \"/healthz\"\ninterval = \"50ms\"\nunhealthy_interval = \"50ms\"\n"+
		"healthy_after = 1\nunhealthy_after = 1"))
	usable := func(n float64) {
		t.Helper()
		e2e.Eventually(t, fmt.Sprint(n, " are usable"), func() bool { return g.PoolStatus()["usable"] == n })
	}
	usable(1)
	held := g.Begin(e2e.GetPath("/held"))
	e2e.Eventually(t, "the well one is busy", func() bool { return served[0].Load() == 1 })
	waiting := g.Begin(e2e.GetPath("/a"))
	e2e.Eventually(t, "it waits", func() bool { return g.Waiting() == 1 })
	sick[1].Store(false)
	if a := waiting.Answer("GET"); a.StatusCode != 200 || served[1].Load() != 1 {
		t.Errorf("%d %s", a.StatusCode, a.Body)
	}
	sick[1].Store(true)
	usable(1)
	waiting.Send(e2e.GetPath("/b"))
	e2e.Eventually(t, "it waits", func() bool { return g.Waiting() == 1 })
	sick[0].Store(true)
	if a := waiting.Answer("GET"); a.StatusCode != 503 || a.Code() != "no_upstream" {
		t.Errorf("%d %s", a.StatusCode, a.Body)
	}
	close(pass)
	held.Answer("GET")
}

// TestQueueSticky: a client that is tied to a target waits for it while others are free, and not longer than it
// may be asked.
func TestQueueSticky(t *testing.T) {
	t.Parallel()
	one, two := newStalled(t, "one"), newStalled(t, "two")
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(one.Addr, two.Addr), "max_connections = 1\nwait_timeout = \"60s\"\nsticky = {}\ndrain_timeout = \"0s\""))
	held := g.Occupy(one, two)
	one.Pass <- true
	two.Pass <- true
	var cookie, tied string
	for _, c := range held {
		if a := c.Answer("GET"); a.Body == "one" {
			cookie = a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
			tied = one.Addr
		}
	}
	mine := func(path string) string { return e2e.Lines("GET "+path+" HTTP/1.1", "Cookie: "+cookie) }
	first := g.Begin(mine("/first"))
	e2e.Eventually(t, "its target is busy", func() bool { return len(one.Of("/first")) == 1 })
	second := g.Begin(mine("/second"))
	e2e.Eventually(t, "it waits for its target", func() bool { return g.Waiting() == 1 })
	other := g.Begin(e2e.GetPath("/other")) // overtakes nobody: the waiter does not want its place
	e2e.Eventually(t, "the other one serves others", func() bool { return len(two.Of("/other")) == 1 })
	two.Pass <- true
	if a := other.Answer("GET"); a.Body != "two" {
		t.Errorf("%d %s", a.StatusCode, a.Body)
	}
	one.Pass <- true
	e2e.Eventually(t, "its own target serves it", func() bool { return len(one.Of("/second")) == 1 })
	third := g.Begin(mine("/third"))
	e2e.Eventually(t, "it waits for its target", func() bool { return g.Waiting() == 1 })
	g.DrainTarget("drain", tied)
	e2e.Eventually(t, "another one serves it", func() bool { return len(two.Of("/third")) == 1 })
	one.Pass <- true
	two.Pass <- true
	for _, c := range []*e2e.RawClient{first, second, third} {
		if a := c.Answer("GET"); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.Body)
		}
	}
}

// TestQueueStickyDrains: a request that waits for the target its client sticks to is served by it while it
// is drained, and nobody else is.
func TestQueueStickyDrains(t *testing.T) {
	t.Parallel()
	one, two := newStalled(t, "one"), newStalled(t, "two")
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(one.Addr, two.Addr), "max_connections = 1\nwait_timeout = \"60s\"\nsticky = {}\n"+
		"drain_timeout = \"1h\""))
	held := g.Occupy(one, two)
	one.Pass <- true
	two.Pass <- true
	var cookie string
	for _, c := range held {
		if a := c.Answer("GET"); a.Body == "one" {
			cookie = a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
		}
	}
	mine := func(path string) string { return e2e.Lines("GET "+path+" HTTP/1.1", "Cookie: "+cookie) }
	first := g.Begin(mine("/first"))
	e2e.Eventually(t, "its target is busy", func() bool { return len(one.Of("/first")) == 1 })
	other := g.Begin(e2e.GetPath("/other"))
	e2e.Eventually(t, "the other one is busy", func() bool { return len(two.Of("/other")) == 1 })
	second := g.Begin(mine("/second"))
	e2e.Eventually(t, "it waits", func() bool { return g.Waiting() == 1 })
	newcomer := g.Begin(e2e.GetPath("/newcomer"))
	e2e.Eventually(t, "a newcomer waits", func() bool { return g.Waiting() == 2 })
	g.DrainTarget("drain", one.Addr)
	one.Pass <- true
	e2e.Eventually(t, "its own target serves it", func() bool { return len(one.Of("/second")) == 1 })
	two.Pass <- true
	e2e.Eventually(t, "the other one serves the newcomer", func() bool { return len(two.Of("/newcomer")) == 1 })
	one.Pass <- true
	two.Pass <- true
	for _, c := range []*e2e.RawClient{first, other, second, newcomer} {
		if a := c.Answer("GET"); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.Body)
		}
	}
}
