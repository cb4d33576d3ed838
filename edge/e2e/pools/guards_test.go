package pools

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestBreaker: a pool that fails is left alone, everybody can see it, and it is found again.
func TestBreaker(t *testing.T) {
	t.Parallel()
	o := e2e.NewMoody(t)
	keys := "[pool.app.breaker]\nmin_requests = 5\nopen_for = \"200ms\"\nmax_open_for = \"200ms\"\nprobes = 2\nrecovery = \"100ms\"\n"
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(o.Addr), keys))
	c := e2e.DialRaw(t, g.Addr)
	opens := func() {
		t.Helper()
		o.Status.Store(500)
		e2e.Eventually(t, "the breaker is open", func() bool {
			a := c.Get("/x")
			return a.StatusCode == 503 && a.Code() == "breaker_open" && a.Header.Get("Retry-After") == "1"
		})
	}
	opens()
	before := o.Asked.Load()
	e2e.Eventually(t, "it shows", func() bool { return e2e.Dig(g.PoolStatus(), "breaker", "state") == "open" })
	if n := g.Metric(`penstock_breaker_state{pool="app"}`); n == 0 {
		t.Error("the metric says closed")
	}
	for range 100 {
		c.Get("/x")
	}
	// Two probes each time that it is tried, and it is tried five times a second.
	if n := o.Asked.Load() - before; n > 50 {
		t.Errorf("a target behind an open breaker was asked %d times by 100 requests", n)
	}
	o.Status.Store(200)
	e2e.Eventually(t, "requests pass again", func() bool { return c.Get("/x").StatusCode == 200 })
	e2e.Eventually(t, "the breaker is closed", func() bool {
		c.Get("/x")
		return e2e.Dig(g.PoolStatus(), "breaker", "state") == "closed"
	})
	for _, line := range []string{`"msg":"breaker open"`, `"msg":"breaker closed"`} {
		if !strings.Contains(g.Log.String(), line) {
			t.Errorf("the log has no %s", line)
		}
	}
	g.Write(e2e.PoolOf(e2e.Quoted(o.Addr), keys+"[pool.app.fallback]\nstatus = 203\nbody = \"later\"\nheaders = { X-Instead = \"yes\" }\n"))
	g.Reload()
	o.Status.Store(500)
	e2e.Eventually(t, "the fixed answer", func() bool {
		a := c.Get("/x")
		return a.StatusCode == 203 && a.Body == "later" && a.Header.Get("X-Instead") == "yes"
	})
	other := e2e.NewMoody(t)
	g.Write(e2e.PoolOf(e2e.Quoted(o.Addr), keys+"[pool.app.fallback]\npool = \"spare\"\n[pool.spare]\ntargets = ["+e2e.Quoted(other.Addr)+"]\n"))
	g.Reload()
	e2e.Eventually(t, "the other pool", func() bool {
		a := c.Get("/x")
		return a.StatusCode == 200 && a.Body == other.Addr
	})
}

// TestBreakerPerTarget: one target that fails is left alone, the pool goes on.
func TestBreakerPerTarget(t *testing.T) {
	t.Parallel()
	a, b := e2e.NewMoody(t), e2e.NewMoody(t)
	a.Status.Store(500)
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(a.Addr, b.Addr), "[pool.app.breaker]\nerror_percent = 0\nconsecutive_errors = 5\n"+
		"per_target = true\nopen_for = \"100ms\"\nmax_open_for = \"100ms\"\nrecovery = \"100ms\"\n"))
	c := e2e.DialRaw(t, g.Addr)
	broken := func() bool { return e2e.Dig(g.PoolStatus(), "targets", 0, "state") == "broken" }
	e2e.Eventually(t, "the first target is broken", func() bool {
		c.Get("/x")
		return broken()
	})
	if state := e2e.Dig(g.PoolStatus(), "breaker", "state"); state != "closed" {
		t.Errorf("the pool's own breaker is %v", state)
	}
	a.Status.Store(200)
	e2e.Eventually(t, "it is asked again", func() bool {
		return c.Get("/x").Body == a.Addr && e2e.Dig(g.PoolStatus(), "targets", 0, "state") == "healthy"
	})
}

// TestBreakerPerTargetWithRetries: attempts count for a target's breaker, requests for the pool's.
func TestBreakerPerTargetWithRetries(t *testing.T) {
	t.Parallel()
	a, b := e2e.NewMoody(t), e2e.NewMoody(t)
	a.Status.Store(503)
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(a.Addr, b.Addr), "[pool.app.breaker]\nconsecutive_errors = 5\nper_target = true\n"+
		"open_for = \"1m\"\n[pool.app.retry]\nbudget_percent = 100\nbackoff = \"0s\"\n"))
	c := e2e.DialRaw(t, g.Addr)
	e2e.Eventually(t, "the first target is broken", func() bool {
		if a := c.Get("/x"); a.StatusCode != 200 {
			t.Fatalf("a client saw %d", a.StatusCode)
		}
		return e2e.Dig(g.PoolStatus(), "targets", 0, "state") == "broken"
	})
	if why := e2e.Dig(g.PoolStatus(), "targets", 0, "last_error"); why != "status 503" {
		t.Errorf("its last error is %q", why)
	}
	if state := e2e.Dig(g.PoolStatus(), "targets", 1, "breaker", "state"); state != "closed" {
		t.Errorf("the other one's breaker is %v", state)
	}
	if state := e2e.Dig(g.PoolStatus(), "breaker", "state"); state != "closed" {
		t.Errorf("the pool's breaker is %v although no client saw a failure", state)
	}
}

// TestOutlierEjection: a target that fails is taken out and comes back; the last one stays.
func TestOutlierEjection(t *testing.T) {
	t.Parallel()
	a, b := e2e.NewMoody(t), e2e.NewMoody(t)
	a.Status.Store(500)
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(a.Addr, b.Addr), "slow_start = \"0s\"\n[pool.app.outlier]\neject_for = \"300ms\"\nmax_eject_for = \"300ms\"\n"))
	c := e2e.DialRaw(t, g.Addr)
	first := func(key string) any { return e2e.Dig(g.PoolStatus(), "targets", 0, key) }
	e2e.Eventually(t, "the first target is ejected", func() bool {
		c.Get("/x")
		return first("state") == "ejected"
	})
	if why := fmt.Sprint(first("why")); !strings.Contains(why, "5 errors in a row") {
		t.Errorf("why: %q", why)
	}
	if n := g.Metric(`penstock_target_ejections_total{pool="app",target="` + a.Addr); n < 1 {
		t.Errorf("%v ejections counted", n)
	}
	b.Status.Store(500)
	e2e.Eventually(t, "somebody is asked although both fail", func() bool { return c.Get("/x").Body == b.Addr })
	for range 20 {
		if a := c.Get("/x"); a.StatusCode != 500 {
			t.Errorf("%d %q", a.StatusCode, a.Body)
		}
	}
	a.Status.Store(200)
	b.Status.Store(200)
	e2e.Eventually(t, "both are back", func() bool {
		c.Get("/x")
		return first("state") == "healthy" && e2e.Dig(g.PoolStatus(), "usable") == 2.0
	})
}

// gate is an origin whose requests wait until they are let through.
func gate(t testing.TB) (addr string, inside *atomic.Int64, pass chan<- struct{}) {
	t.Helper()
	open, n := make(chan struct{}), &atomic.Int64{}
	addr = e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		defer n.Add(-1)
		select {
		case <-open:
		case <-r.Context().Done():
		}
		fmt.Fprint(w, "ok")
	})
	return addr, n, open
}

// TestConcurrencyQueue: beyond the limit requests wait, beyond the queue they are refused, and a client that
// leaves gives its place up.
func TestConcurrencyQueue(t *testing.T) {
	t.Parallel()
	addr, inside, pass := gate(t)
	conf := func(timeout string) string {
		return e2e.PoolOf(e2e.Quoted(addr), "[pool.app.concurrency]\nlimit = 1\nqueue = 2\nqueue_target = \"1m\"\nqueue_timeout = \""+timeout+"\"\n")
	}
	g := e2e.Start(t, conf("30s"))
	ask := func() *e2e.RawClient {
		c := e2e.DialRaw(t, g.Addr)
		c.Send(e2e.Lines("GET /x HTTP/1.1"))
		return c
	}
	waiting := func(n float64) {
		t.Helper()
		e2e.Eventually(t, fmt.Sprintf("%v wait", n), func() bool { return g.Metric(`penstock_pool_waiting{pool="app"}`) == n })
	}
	first := ask()
	e2e.Eventually(t, "the first one is with the target", func() bool { return inside.Load() == 1 })
	second := ask()
	waiting(1)
	leaves := ask()
	waiting(2)
	if a := ask().Answer("GET"); a.StatusCode != 503 || a.Code() != "pool_overloaded" || a.Header.Get("Retry-After") != "1" {
		t.Errorf("beyond the queue: %d %q %v", a.StatusCode, a.Body, a.Header)
	}
	leaves.C.Close()
	waiting(1)
	third := ask()
	waiting(2)
	if n := inside.Load(); n != 1 {
		t.Errorf("%d requests at once, want 1", n)
	}
	for _, c := range []*e2e.RawClient{first, second, third} {
		pass <- struct{}{}
		if a := c.Answer("GET"); a.StatusCode != 200 {
			t.Errorf("%d %q", a.StatusCode, a.Body)
		}
	}
	g.Write(conf("100ms"))
	g.Reload()
	first = ask()
	e2e.Eventually(t, "the first one is with the target", func() bool { return inside.Load() == 1 })
	if a := ask().Answer("GET"); a.StatusCode != 503 || a.Code() != "pool_queue_timeout" {
		t.Errorf("waited in vain: %d %q", a.StatusCode, a.Body)
	}
	pass <- struct{}{}
	first.Answer("GET")
	waiting(0)
	g.Counted(`penstock_pool_in_flight{pool="app"}`, 0)
}

// TestAdmission: when targets refuse nearly all, most requests end at the gateway; when they accept again, all
// pass again.
func TestAdmission(t *testing.T) {
	t.Parallel()
	o := e2e.NewMoody(t)
	o.Status.Store(503)
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(o.Addr), "[pool.app.admission]\nwindow = \"1s\"\nmin_requests = 10\n"))
	c := e2e.DialRaw(t, g.Addr)
	e2e.Eventually(t, "some are refused here", func() bool {
		a := c.Get("/x")
		return a.StatusCode == 503 && a.Code() == "upstream_throttled"
	})
	o.Status.Store(200)
	good := 0
	e2e.Eventually(t, "all pass", func() bool {
		if good++; c.Get("/x").StatusCode != 200 {
			good = 0
		}
		return good == 100
	})
}

// TestPanic: with few healthy targets all are tried, when the pool says so.
func TestPanic(t *testing.T) {
	t.Parallel()
	health := "[pool.app.health]\npath = \"/healthz\"\ninterval = \"100ms\"\nunhealthy_interval = \"100ms\"\n"
	var all []*e2e.Moody
	var addrs []string
	for range 4 {
		o := e2e.NewMoody(t)
		all, addrs = append(all, o), append(addrs, o.Addr)
	}
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(addrs...), health))
	for _, o := range all[1:] {
		o.Status.Store(503)
	}
	c := e2e.DialRaw(t, g.Addr)
	e2e.Eventually(t, "three are unhealthy", func() bool { return e2e.Dig(g.PoolStatus(), "usable") == 1.0 })
	for range 20 {
		if a := c.Get("/x"); a.Body != addrs[0] {
			t.Fatalf("%s answered", a.Body)
		}
	}
	g.Write(e2e.PoolOf(e2e.Quoted(addrs...), "panic_percent = 50\n"+health))
	g.Reload()
	e2e.Eventually(t, "the panic shows", func() bool { return e2e.Dig(g.PoolStatus(), "panic") == true })
	e2e.Eventually(t, "an unhealthy one is asked", func() bool { return c.Get("/x").Body != addrs[0] })
	for _, o := range all {
		o.Status.Store(200)
	}
	e2e.Eventually(t, "the panic is over", func() bool { return e2e.Dig(g.PoolStatus(), "panic") == false })
}

// TestZones: the own zone is asked as long as enough of it is usable.
func TestZones(t *testing.T) {
	t.Parallel()
	a, b, far := e2e.NewMoody(t), e2e.NewMoody(t), e2e.NewMoody(t)
	g := e2e.Start(t, e2e.PoolOf(fmt.Sprintf(`{ address = %q, zone = "here" }, { address = %q, zone = "here" },
		{ address = %q, zone = "there" }`, a.Addr, b.Addr, far.Addr), "slow_start = \"0s\"", "[server]\nzone = \"here\"\n"))
	c := e2e.DialRaw(t, g.Addr)
	asks := func() {
		for range 30 {
			c.Get("/x")
		}
	}
	asks()
	g.DrainTarget("drain", a.Addr)
	asks() // half of the zone is enough
	if n := far.Asked.Load(); n != 0 {
		t.Errorf("another zone was asked %d times", n)
	}
	g.DrainTarget("drain", b.Addr)
	asks()
	if n := far.Asked.Load(); n != 30 {
		t.Errorf("without a usable target at home the other zone was asked %d times of 30", n)
	}
	g.DrainTarget("undrain", b.Addr)
	asks()
	if n := far.Asked.Load(); n != 30 {
		t.Errorf("the other zone was asked again: %d", n)
	}
}

// TestSlowStart: a target that comes back gets its share little by little.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	a, b := e2e.NewMoody(t), e2e.NewMoody(t)
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(a.Addr, b.Addr), "slow_start = \"2s\"\n"))
	c := e2e.DialRaw(t, g.Addr)
	share := func() float64 { return e2e.Dig(g.PoolStatus(), "targets", 0, "share").(float64) }
	if s := share(); s != 1 {
		t.Errorf("at the first start its share is %v", s)
	}
	g.DrainTarget("drain", a.Addr)
	g.DrainTarget("undrain", a.Addr)
	before := share()
	if before >= 0.9 {
		t.Errorf("the share begins with %v", before)
	}
	e2e.Eventually(t, "it grows", func() bool { s := share(); return s > before && s < 1 })
	e2e.Eventually(t, "it is whole", func() bool { return share() == 1 })
	from := a.Asked.Load()
	for range 40 {
		c.Get("/x")
	}
	if n := a.Asked.Load() - from; n != 20 {
		t.Errorf("of 40 requests it got %d", n)
	}
}

// TestHealthOnAnotherPort: two pools check one target in different ways, and do not disturb each other.
func TestHealthOnAnotherPort(t *testing.T) {
	t.Parallel()
	o, checks := e2e.NewMoody(t), e2e.NewMoody(t)
	_, port, _ := net.SplitHostPort(checks.Addr)
	health := "health = { path = \"/healthz\", interval = \"50ms\", unhealthy_interval = \"50ms\""
	conf := `
[[listener]]
address = "{{addr}}"
[pool.a]
targets = ["` + o.Addr + `"]
` + health + `, port = ` + port + ` }
[pool.b]
targets = ["` + o.Addr + `"]
` + health + ` }
[[route]]
path = "/a"
pool = "a"
[[route]]
path = "/b"
pool = "b"
`
	g := e2e.Start(t, conf)
	c := e2e.DialRaw(t, g.Addr)
	want := func(when string, a, b int) {
		t.Helper()
		e2e.Eventually(t, when, func() bool { return c.Get("/a").StatusCode == a && c.Get("/b").StatusCode == b })
	}
	want("both healthy", 200, 200)
	checks.Status.Store(503)
	want("the port of the checks fails", 503, 200)
	before := strings.Count(g.Log.String(), "target unhealthy")
	for range 5 {
		g.Write(conf + "# again\n")
		g.Reload()
		if status := c.Get("/a").StatusCode; status != 503 {
			t.Errorf("a reload has lost what the checks found: %d", status)
		}
	}
	if n := strings.Count(g.Log.String(), "target unhealthy"); n != before {
		t.Errorf("%d changes of state were logged by reloads", n-before)
	}
	checks.Status.Store(200)
	want("all is well again", 200, 200)
}

// TestOverloaded: a gateway without memory refuses requests, can still be asked, and recovers by a reload.
func TestOverloaded(t *testing.T) {
	t.Parallel()
	o := e2e.NewMoody(t)
	conf := e2e.PoolOf(e2e.Quoted(o.Addr), "")
	g := e2e.Start(t, conf+"[overload]\nmemory_limit = \"1MiB\"\n")
	c := e2e.DialRaw(t, g.Addr)
	e2e.Eventually(t, "requests are refused", func() bool {
		a := c.Get("/x")
		return a.StatusCode == 503 && a.Code() == "overloaded" && a.Header.Get("Retry-After") == "1"
	})
	before := o.Asked.Load()
	for range 20 {
		c.Get("/x")
	}
	if n := o.Asked.Load() - before; n != 0 {
		t.Errorf("%d of 20 requests reached the target", n)
	}
	if p := g.Metric(`penstock_overload_pressure{resource="memory"}`); p != 1 {
		t.Errorf("the pressure is %v", p)
	}
	if n := g.Metric(`penstock_shed_total{class="default"}`); n < 20 {
		t.Errorf("%v refusals counted", n)
	}
	if n := strings.Count(g.Log.String(), "the gateway is overloaded"); n != 1 {
		t.Errorf("%d lines of the log say so, want one", n)
	}
	g.Write(conf + "[overload]\nmemory_limit = \"4GiB\"\n")
	g.Reload()
	e2e.Eventually(t, "requests pass again", func() bool { return c.Get("/x").StatusCode == 200 })
}

// TestPriority: important requests pass others that wait, and push them out; strangers may not call theirs important.
func TestPriority(t *testing.T) {
	t.Parallel()
	addr, inside, pass := gate(t)
	conf := func(trusted string) string {
		return e2e.PoolOf(e2e.Quoted(addr), "concurrency = { limit = 1, queue = 2, queue_target = \"1m\", queue_timeout = \"30s\" }",
			"[overload]\npriority_header = \"X-Priority\"\n[server]\ntrusted_proxies = ["+trusted+"]\n")
	}
	g := e2e.Start(t, conf(`"127.0.0.0/8"`))
	ask := func(class string) *e2e.RawClient {
		c := e2e.DialRaw(t, g.Addr)
		c.Send(e2e.Lines("GET /x HTTP/1.1", "X-Priority: "+class))
		return c
	}
	waiting := func(n float64) {
		t.Helper()
		e2e.Eventually(t, fmt.Sprintf("%v wait", n), func() bool { return g.Metric(`penstock_pool_waiting{pool="app"}`) == n })
	}
	first := ask("default")
	e2e.Eventually(t, "the first one is with the target", func() bool { return inside.Load() == 1 })
	ordinary := ask("nonsense")
	waiting(1)
	lesser := ask("sheddable")
	if a := lesser.Answer("GET"); a.Code() != "pool_overloaded" {
		t.Errorf("a sheddable one may use half of the queue: %d %q", a.StatusCode, a.Body)
	}
	second := ask("default")
	waiting(2)
	critical := ask("critical")
	if a := second.Answer("GET"); a.Code() != "pool_overloaded" {
		t.Errorf("the newest of the ordinary ones makes room: %d %q", a.StatusCode, a.Body)
	}
	pass <- struct{}{}
	first.Answer("GET")
	pass <- struct{}{}
	if a := critical.Answer("GET"); a.StatusCode != 200 {
		t.Errorf("the critical one comes next: %d %q", a.StatusCode, a.Body)
	}
	pass <- struct{}{}
	ordinary.Answer("GET")

	g.Write(conf(""))
	g.Reload()
	first = ask("default")
	e2e.Eventually(t, "the first one is with the target", func() bool { return inside.Load() == 1 })
	one, two := ask("default"), ask("default")
	waiting(2)
	if a := ask("critical").Answer("GET"); a.Code() != "pool_overloaded" {
		t.Errorf("a stranger's critical request: %d %q", a.StatusCode, a.Body)
	}
	for range 3 {
		pass <- struct{}{}
	}
	for _, c := range []*e2e.RawClient{first, one, two} {
		c.Answer("GET")
	}
}

// TestDeadline: a client's own deadline holds, and the target hears what is left of it.
func TestDeadline(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, func(r *e2e.Recorded, c net.Conn) string {
		if r.Path() == "/silent" {
			return e2e.KeepsSilent(r, c)
		}
		return string(e2e.OK("ok"))
	})
	g := e2e.Start(t, e2e.Simple(rec.Addr, "timeout = \"20s\"\ntrust_deadline = true\n"))
	g.Want("its deadline is over", e2e.Lines("GET /silent HTTP/1.1", "X-Request-Timeout: 100ms"), 504, "upstream_timeout")
	g.Want("and in gRPC's form", e2e.Lines("GET /silent HTTP/1.1", "grpc-timeout: 100m"), 504, "upstream_timeout")
	field := func(request, name string) time.Duration {
		t.Helper()
		before := len(rec.Requests())
		c := e2e.DialRaw(t, g.Addr)
		c.Send(request)
		c.Answer("GET")
		head := rec.Requests()[before].Head
		_, value, found := strings.Cut(strings.ToLower(head), "\r\n"+name+": ")
		if !found {
			t.Fatalf("the target got no %s:\n%s", name, head)
		}
		value, _, _ = strings.Cut(value, "\r")
		if name == "grpc-timeout" {
			value = strings.NewReplacer("m", "ms", "u", "us", "n", "ns").Replace(value)
		} else if strings.Trim(value, "0123456789.") == "" {
			value += "s"
		}
		d, err := time.ParseDuration(value)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	f := func(request, name string, most time.Duration) {
		t.Helper()
		if d := field(request, name); d <= 0 || d >= most {
			t.Errorf("%s: %v is left, want less than %v", name, d, most)
		}
	}
	f(e2e.Lines("GET /x HTTP/1.1", "X-Request-Timeout: 5"), "x-request-timeout", 5*time.Second)
	f(e2e.Lines("GET /x HTTP/1.1", "grpc-timeout: 5S"), "grpc-timeout", 5*time.Second)
	f(e2e.Lines("GET /x HTTP/1.1", "X-Request-Timeout: 1h"), "x-request-timeout", 20*time.Second) // the route's is shorter
	f(e2e.Lines("GET /x HTTP/1.1"), "x-request-timeout", 20*time.Second)
}

// TestStatusShowsAll: /status and metrics have what is known of every target and pool.
func TestStatusShowsAll(t *testing.T) {
	t.Parallel()
	o, gone := e2e.NewMoody(t), e2e.FreeAddr(t)
	g := e2e.Start(t, fmt.Sprintf(robust, e2e.Quoted(o.Addr, gone)))
	c := e2e.DialRaw(t, g.Addr)
	e2e.Eventually(t, "the dead target is found", func() bool {
		c.Get("/x")
		return e2e.Dig(g.PoolStatus(), "targets", 1, "state") == "unhealthy"
	})
	st := g.PoolStatus()
	has := func(what any, keys ...string) {
		t.Helper()
		for _, key := range keys {
			if v, ok := what.(map[string]any)[key]; !ok || v == "" || v == nil {
				t.Errorf("no %s: %v", key, what)
			}
		}
	}
	has(st, "name", "balance", "usable", "panic", "targets", "breaker", "concurrency", "retry_budget_left")
	has(e2e.Dig(st, "breaker"), "state", "requests", "error_percent", "opened")
	has(e2e.Dig(st, "concurrency"), "limit", "adaptive", "in_flight", "waiting", "oldest_wait_seconds", "shed_total")
	has(e2e.Dig(st, "targets", 0), "address", "state", "since", "usable", "in_flight", "ewma_seconds", "ejections", "health")
	has(e2e.Dig(st, "targets", 1), "address", "state", "since", "why", "last_error", "last_error_at", "health")
	for _, series := range []string{
		`penstock_target_healthy{pool="app",target="` + o.Addr, `penstock_pool_targets{pool="app"}`,
		`penstock_pool_targets_usable{pool="app"}`, `penstock_upstream_duration_seconds_count{pool="app"}`,
		`penstock_pool_concurrency_limit{pool="app"}`, `penstock_target_ewma_seconds{pool="app",target="` + o.Addr,
	} {
		if g.Metric(series) <= 0 {
			t.Errorf("%s is not above 0", series)
		}
	}
	if n := strings.Count(g.Log.String(), `"msg":"target unhealthy"`); n != 1 {
		t.Errorf("%d lines of the log say that the target is unhealthy, want one", n)
	}
}
