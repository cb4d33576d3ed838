package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// moody is an origin that answers with its status, which a test may change.
type moody struct {
	addr   string
	status atomic.Int64
	asked  atomic.Int64
}

func newMoody(t testing.TB) *moody {
	t.Helper()
	o := &moody{}
	o.status.Store(200)
	o.addr = httpOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			o.asked.Add(1)
		}
		w.WriteHeader(int(o.status.Load()))
		fmt.Fprint(w, o.addr)
	})
	return o
}

// poolOf is a configuration with one pool of targets, as TOML.
func poolOf(targets, keys string, more ...string) string {
	return "[[listener]]\naddress = \"{{addr}}\"\n[pool.app]\ntargets = [" + targets + "]\n" + keys +
		"\n[[route]]\nprefix = \"/\"\npool = \"app\"\n" + strings.Join(more, "\n")
}

func quoted(addrs ...string) string { return `"` + strings.Join(addrs, `", "`) + `"` }

// poolStatus returns what /status says of the first pool.
func (g *gateway) poolStatus() map[string]any {
	g.t.Helper()
	return dig(g.status(), "pools", 0).(map[string]any)
}

// drainTarget takes a target out, or with verb undrain brings it back.
func (g *gateway) drainTarget(verb, addr string) {
	g.t.Helper()
	resp, err := http.Post("http://"+g.admin+"/pools/app/targets/"+addr+"/"+verb, "", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 204 {
		g.t.Fatalf("%s %s: %d", verb, addr, resp.StatusCode)
	}
}

// TestBreaker: a pool that fails is left alone, everybody can see it, and it is found again.
func TestBreaker(t *testing.T) {
	t.Parallel()
	o := newMoody(t)
	keys := "[pool.app.breaker]\nmin_requests = 5\nopen_for = \"200ms\"\nmax_open_for = \"200ms\"\nprobes = 2\nrecovery = \"100ms\"\n"
	g := start(t, poolOf(quoted(o.addr), keys))
	c := dialRaw(t, g.addr)
	opens := func() {
		t.Helper()
		o.status.Store(500)
		eventually(t, "the breaker is open", func() bool {
			a := c.get("/x")
			return a.StatusCode == 503 && a.code() == "breaker_open" && a.Header.Get("Retry-After") == "1"
		})
	}
	opens()
	before := o.asked.Load()
	eventually(t, "it shows", func() bool { return dig(g.poolStatus(), "breaker", "state") == "open" })
	if n := g.metric(`penstock_breaker_state{pool="app"}`); n == 0 {
		t.Error("the metric says closed")
	}
	for range 100 {
		c.get("/x")
	}
	// Two probes each time that it is tried, and it is tried five times a second.
	if n := o.asked.Load() - before; n > 50 {
		t.Errorf("a target behind an open breaker was asked %d times by 100 requests", n)
	}
	o.status.Store(200)
	eventually(t, "requests pass again", func() bool { return c.get("/x").StatusCode == 200 })
	eventually(t, "the breaker is closed", func() bool {
		c.get("/x")
		return dig(g.poolStatus(), "breaker", "state") == "closed"
	})
	for _, line := range []string{`"msg":"breaker open"`, `"msg":"breaker closed"`} {
		if !strings.Contains(g.log.String(), line) {
			t.Errorf("the log has no %s", line)
		}
	}
	g.write(poolOf(quoted(o.addr), keys+"[pool.app.fallback]\nstatus = 203\nbody = \"later\"\nheaders = { X-Instead = \"yes\" }\n"))
	g.reload()
	o.status.Store(500)
	eventually(t, "the fixed answer", func() bool {
		a := c.get("/x")
		return a.StatusCode == 203 && a.body == "later" && a.Header.Get("X-Instead") == "yes"
	})
	other := newMoody(t)
	g.write(poolOf(quoted(o.addr), keys+"[pool.app.fallback]\npool = \"spare\"\n[pool.spare]\ntargets = ["+quoted(other.addr)+"]\n"))
	g.reload()
	eventually(t, "the other pool", func() bool {
		a := c.get("/x")
		return a.StatusCode == 200 && a.body == other.addr
	})
}

// TestBreakerPerTarget: one target that fails is left alone, the pool goes on.
func TestBreakerPerTarget(t *testing.T) {
	t.Parallel()
	a, b := newMoody(t), newMoody(t)
	a.status.Store(500)
	g := start(t, poolOf(quoted(a.addr, b.addr), "[pool.app.breaker]\nerror_percent = 0\nconsecutive_errors = 5\n"+
		"per_target = true\nopen_for = \"100ms\"\nmax_open_for = \"100ms\"\nrecovery = \"100ms\"\n"))
	c := dialRaw(t, g.addr)
	broken := func() bool { return dig(g.poolStatus(), "targets", 0, "state") == "broken" }
	eventually(t, "the first target is broken", func() bool {
		c.get("/x")
		return broken()
	})
	if state := dig(g.poolStatus(), "breaker", "state"); state != "closed" {
		t.Errorf("the pool's own breaker is %v", state)
	}
	a.status.Store(200)
	eventually(t, "it is asked again", func() bool {
		return c.get("/x").body == a.addr && dig(g.poolStatus(), "targets", 0, "state") == "healthy"
	})
}

// TestBreakerPerTargetWithRetries: attempts count for a target's breaker, requests for the pool's.
func TestBreakerPerTargetWithRetries(t *testing.T) {
	t.Parallel()
	a, b := newMoody(t), newMoody(t)
	a.status.Store(503)
	g := start(t, poolOf(quoted(a.addr, b.addr), "[pool.app.breaker]\nconsecutive_errors = 5\nper_target = true\n"+
		"open_for = \"1m\"\n[pool.app.retry]\nbudget_percent = 100\nbackoff = \"0s\"\n"))
	c := dialRaw(t, g.addr)
	eventually(t, "the first target is broken", func() bool {
		if a := c.get("/x"); a.StatusCode != 200 {
			t.Fatalf("a client saw %d", a.StatusCode)
		}
		return dig(g.poolStatus(), "targets", 0, "state") == "broken"
	})
	if why := dig(g.poolStatus(), "targets", 0, "last_error"); why != "status 503" {
		t.Errorf("its last error is %q", why)
	}
	if state := dig(g.poolStatus(), "targets", 1, "breaker", "state"); state != "closed" {
		t.Errorf("the other one's breaker is %v", state)
	}
	if state := dig(g.poolStatus(), "breaker", "state"); state != "closed" {
		t.Errorf("the pool's breaker is %v although no client saw a failure", state)
	}
}

// TestOutlierEjection: a target that fails is taken out and comes back; the last one stays.
func TestOutlierEjection(t *testing.T) {
	t.Parallel()
	a, b := newMoody(t), newMoody(t)
	a.status.Store(500)
	g := start(t, poolOf(quoted(a.addr, b.addr), "slow_start = \"0s\"\n[pool.app.outlier]\neject_for = \"300ms\"\nmax_eject_for = \"300ms\"\n"))
	c := dialRaw(t, g.addr)
	first := func(key string) any { return dig(g.poolStatus(), "targets", 0, key) }
	eventually(t, "the first target is ejected", func() bool {
		c.get("/x")
		return first("state") == "ejected"
	})
	if why := fmt.Sprint(first("why")); !strings.Contains(why, "5 errors in a row") {
		t.Errorf("why: %q", why)
	}
	if n := g.metric(`penstock_target_ejections_total{pool="app",target="` + a.addr); n < 1 {
		t.Errorf("%v ejections counted", n)
	}
	b.status.Store(500)
	eventually(t, "somebody is asked although both fail", func() bool { return c.get("/x").body == b.addr })
	for range 20 {
		if a := c.get("/x"); a.StatusCode != 500 {
			t.Errorf("%d %q", a.StatusCode, a.body)
		}
	}
	a.status.Store(200)
	b.status.Store(200)
	eventually(t, "both are back", func() bool {
		c.get("/x")
		return first("state") == "healthy" && dig(g.poolStatus(), "usable") == 2.0
	})
}

// gate is an origin whose requests wait until they are let through.
func gate(t testing.TB) (addr string, inside *atomic.Int64, pass chan<- struct{}) {
	t.Helper()
	open, n := make(chan struct{}), &atomic.Int64{}
	addr = httpOrigin(t, func(w http.ResponseWriter, r *http.Request) {
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
		return poolOf(quoted(addr), "[pool.app.concurrency]\nlimit = 1\nqueue = 2\nqueue_target = \"1m\"\nqueue_timeout = \""+timeout+"\"\n")
	}
	g := start(t, conf("30s"))
	ask := func() *rawClient {
		c := dialRaw(t, g.addr)
		c.send(lines("GET /x HTTP/1.1"))
		return c
	}
	waiting := func(n float64) {
		t.Helper()
		eventually(t, fmt.Sprintf("%v wait", n), func() bool { return g.metric(`penstock_pool_waiting{pool="app"}`) == n })
	}
	first := ask()
	eventually(t, "the first one is with the target", func() bool { return inside.Load() == 1 })
	second := ask()
	waiting(1)
	leaves := ask()
	waiting(2)
	if a := ask().answer("GET"); a.StatusCode != 503 || a.code() != "pool_overloaded" || a.Header.Get("Retry-After") != "1" {
		t.Errorf("beyond the queue: %d %q %v", a.StatusCode, a.body, a.Header)
	}
	leaves.c.Close()
	waiting(1)
	third := ask()
	waiting(2)
	if n := inside.Load(); n != 1 {
		t.Errorf("%d requests at once, want 1", n)
	}
	for _, c := range []*rawClient{first, second, third} {
		pass <- struct{}{}
		if a := c.answer("GET"); a.StatusCode != 200 {
			t.Errorf("%d %q", a.StatusCode, a.body)
		}
	}
	g.write(conf("100ms"))
	g.reload()
	first = ask()
	eventually(t, "the first one is with the target", func() bool { return inside.Load() == 1 })
	if a := ask().answer("GET"); a.StatusCode != 503 || a.code() != "pool_queue_timeout" {
		t.Errorf("waited in vain: %d %q", a.StatusCode, a.body)
	}
	pass <- struct{}{}
	first.answer("GET")
	waiting(0)
	g.counted(`penstock_pool_in_flight{pool="app"}`, 0)
}

// TestAdmission: when targets refuse nearly all, most requests end at the gateway; when they accept again, all
// pass again.
func TestAdmission(t *testing.T) {
	t.Parallel()
	o := newMoody(t)
	o.status.Store(503)
	g := start(t, poolOf(quoted(o.addr), "[pool.app.admission]\nwindow = \"1s\"\nmin_requests = 10\n"))
	c := dialRaw(t, g.addr)
	eventually(t, "some are refused here", func() bool {
		a := c.get("/x")
		return a.StatusCode == 503 && a.code() == "upstream_throttled"
	})
	o.status.Store(200)
	good := 0
	eventually(t, "all pass", func() bool {
		if good++; c.get("/x").StatusCode != 200 {
			good = 0
		}
		return good == 100
	})
}

// TestPanic: with few healthy targets all are tried, when the pool says so.
func TestPanic(t *testing.T) {
	t.Parallel()
	health := "[pool.app.health]\npath = \"/healthz\"\ninterval = \"100ms\"\nunhealthy_interval = \"100ms\"\n"
	var all []*moody
	var addrs []string
	for range 4 {
		o := newMoody(t)
		all, addrs = append(all, o), append(addrs, o.addr)
	}
	g := start(t, poolOf(quoted(addrs...), health))
	for _, o := range all[1:] {
		o.status.Store(503)
	}
	c := dialRaw(t, g.addr)
	eventually(t, "three are unhealthy", func() bool { return dig(g.poolStatus(), "usable") == 1.0 })
	for range 20 {
		if a := c.get("/x"); a.body != addrs[0] {
			t.Fatalf("%s answered", a.body)
		}
	}
	g.write(poolOf(quoted(addrs...), "panic_percent = 50\n"+health))
	g.reload()
	eventually(t, "the panic shows", func() bool { return dig(g.poolStatus(), "panic") == true })
	eventually(t, "an unhealthy one is asked", func() bool { return c.get("/x").body != addrs[0] })
	for _, o := range all {
		o.status.Store(200)
	}
	eventually(t, "the panic is over", func() bool { return dig(g.poolStatus(), "panic") == false })
}

// TestZones: the own zone is asked as long as enough of it is usable.
func TestZones(t *testing.T) {
	t.Parallel()
	a, b, far := newMoody(t), newMoody(t), newMoody(t)
	g := start(t, poolOf(fmt.Sprintf(`{ address = %q, zone = "here" }, { address = %q, zone = "here" },
		{ address = %q, zone = "there" }`, a.addr, b.addr, far.addr), "slow_start = \"0s\"", "[server]\nzone = \"here\"\n"))
	c := dialRaw(t, g.addr)
	asks := func() {
		for range 30 {
			c.get("/x")
		}
	}
	asks()
	g.drainTarget("drain", a.addr)
	asks() // half of the zone is enough
	if n := far.asked.Load(); n != 0 {
		t.Errorf("another zone was asked %d times", n)
	}
	g.drainTarget("drain", b.addr)
	asks()
	if n := far.asked.Load(); n != 30 {
		t.Errorf("without a usable target at home the other zone was asked %d times of 30", n)
	}
	g.drainTarget("undrain", b.addr)
	asks()
	if n := far.asked.Load(); n != 30 {
		t.Errorf("the other zone was asked again: %d", n)
	}
}

// TestSlowStart: a target that comes back gets its share little by little.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	a, b := newMoody(t), newMoody(t)
	g := start(t, poolOf(quoted(a.addr, b.addr), "slow_start = \"2s\"\n"))
	c := dialRaw(t, g.addr)
	share := func() float64 { return dig(g.poolStatus(), "targets", 0, "share").(float64) }
	if s := share(); s != 1 {
		t.Errorf("at the first start its share is %v", s)
	}
	g.drainTarget("drain", a.addr)
	g.drainTarget("undrain", a.addr)
	before := share()
	if before >= 0.9 {
		t.Errorf("the share begins with %v", before)
	}
	eventually(t, "it grows", func() bool { s := share(); return s > before && s < 1 })
	eventually(t, "it is whole", func() bool { return share() == 1 })
	from := a.asked.Load()
	for range 40 {
		c.get("/x")
	}
	if n := a.asked.Load() - from; n != 20 {
		t.Errorf("of 40 requests it got %d", n)
	}
}

// TestHealthOnAnotherPort: two pools check one target in different ways, and do not disturb each other.
func TestHealthOnAnotherPort(t *testing.T) {
	t.Parallel()
	o, checks := newMoody(t), newMoody(t)
	_, port, _ := net.SplitHostPort(checks.addr)
	health := "health = { path = \"/healthz\", interval = \"50ms\", unhealthy_interval = \"50ms\""
	conf := `
[[listener]]
address = "{{addr}}"
[pool.a]
targets = ["` + o.addr + `"]
` + health + `, port = ` + port + ` }
[pool.b]
targets = ["` + o.addr + `"]
` + health + ` }
[[route]]
path = "/a"
pool = "a"
[[route]]
path = "/b"
pool = "b"
`
	g := start(t, conf)
	c := dialRaw(t, g.addr)
	want := func(when string, a, b int) {
		t.Helper()
		eventually(t, when, func() bool { return c.get("/a").StatusCode == a && c.get("/b").StatusCode == b })
	}
	want("both healthy", 200, 200)
	checks.status.Store(503)
	want("the port of the checks fails", 503, 200)
	before := strings.Count(g.log.String(), "target unhealthy")
	for range 5 {
		g.write(conf + "# again\n")
		g.reload()
		if status := c.get("/a").StatusCode; status != 503 {
			t.Errorf("a reload has lost what the checks found: %d", status)
		}
	}
	if n := strings.Count(g.log.String(), "target unhealthy"); n != before {
		t.Errorf("%d changes of state were logged by reloads", n-before)
	}
	checks.status.Store(200)
	want("all is well again", 200, 200)
}

// TestOverloaded: a gateway without memory refuses requests, can still be asked, and recovers by a reload.
func TestOverloaded(t *testing.T) {
	t.Parallel()
	o := newMoody(t)
	conf := poolOf(quoted(o.addr), "")
	g := start(t, conf+"[overload]\nmemory_limit = \"1MiB\"\n")
	c := dialRaw(t, g.addr)
	eventually(t, "requests are refused", func() bool {
		a := c.get("/x")
		return a.StatusCode == 503 && a.code() == "overloaded" && a.Header.Get("Retry-After") == "1"
	})
	before := o.asked.Load()
	for range 20 {
		c.get("/x")
	}
	if n := o.asked.Load() - before; n != 0 {
		t.Errorf("%d of 20 requests reached the target", n)
	}
	if p := g.metric(`penstock_overload_pressure{resource="memory"}`); p != 1 {
		t.Errorf("the pressure is %v", p)
	}
	if n := g.metric(`penstock_shed_total{class="default"}`); n < 20 {
		t.Errorf("%v refusals counted", n)
	}
	if n := strings.Count(g.log.String(), "the gateway is overloaded"); n != 1 {
		t.Errorf("%d lines of the log say so, want one", n)
	}
	g.write(conf + "[overload]\nmemory_limit = \"4GiB\"\n")
	g.reload()
	eventually(t, "requests pass again", func() bool { return c.get("/x").StatusCode == 200 })
}

// TestPriority: important requests pass others that wait, and push them out; strangers may not call theirs important.
func TestPriority(t *testing.T) {
	t.Parallel()
	addr, inside, pass := gate(t)
	conf := func(trusted string) string {
		return poolOf(quoted(addr), "concurrency = { limit = 1, queue = 2, queue_target = \"1m\", queue_timeout = \"30s\" }",
			"[overload]\npriority_header = \"X-Priority\"\n[server]\ntrusted_proxies = ["+trusted+"]\n")
	}
	g := start(t, conf(`"127.0.0.0/8"`))
	ask := func(class string) *rawClient {
		c := dialRaw(t, g.addr)
		c.send(lines("GET /x HTTP/1.1", "X-Priority: "+class))
		return c
	}
	waiting := func(n float64) {
		t.Helper()
		eventually(t, fmt.Sprintf("%v wait", n), func() bool { return g.metric(`penstock_pool_waiting{pool="app"}`) == n })
	}
	first := ask("default")
	eventually(t, "the first one is with the target", func() bool { return inside.Load() == 1 })
	ordinary := ask("nonsense")
	waiting(1)
	lesser := ask("sheddable")
	if a := lesser.answer("GET"); a.code() != "pool_overloaded" {
		t.Errorf("a sheddable one may use half of the queue: %d %q", a.StatusCode, a.body)
	}
	second := ask("default")
	waiting(2)
	critical := ask("critical")
	if a := second.answer("GET"); a.code() != "pool_overloaded" {
		t.Errorf("the newest of the ordinary ones makes room: %d %q", a.StatusCode, a.body)
	}
	pass <- struct{}{}
	first.answer("GET")
	pass <- struct{}{}
	if a := critical.answer("GET"); a.StatusCode != 200 {
		t.Errorf("the critical one comes next: %d %q", a.StatusCode, a.body)
	}
	pass <- struct{}{}
	ordinary.answer("GET")

	g.write(conf(""))
	g.reload()
	first = ask("default")
	eventually(t, "the first one is with the target", func() bool { return inside.Load() == 1 })
	one, two := ask("default"), ask("default")
	waiting(2)
	if a := ask("critical").answer("GET"); a.code() != "pool_overloaded" {
		t.Errorf("a stranger's critical request: %d %q", a.StatusCode, a.body)
	}
	for range 3 {
		pass <- struct{}{}
	}
	for _, c := range []*rawClient{first, one, two} {
		c.answer("GET")
	}
}

// TestDeadline: a client's own deadline holds, and the target hears what is left of it.
func TestDeadline(t *testing.T) {
	t.Parallel()
	rec := record(t, func(r *recorded, c net.Conn) string {
		if r.path() == "/silent" {
			return keepsSilent(r, c)
		}
		return string(ok("ok"))
	})
	g := start(t, simple(rec.addr, "timeout = \"20s\"\ntrust_deadline = true\n"))
	g.want("its deadline is over", lines("GET /silent HTTP/1.1", "X-Request-Timeout: 100ms"), 504, "upstream_timeout")
	g.want("and in gRPC's form", lines("GET /silent HTTP/1.1", "grpc-timeout: 100m"), 504, "upstream_timeout")
	field := func(request, name string) time.Duration {
		t.Helper()
		before := len(rec.requests())
		c := dialRaw(t, g.addr)
		c.send(request)
		c.answer("GET")
		head := rec.requests()[before].head
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
	f(lines("GET /x HTTP/1.1", "X-Request-Timeout: 5"), "x-request-timeout", 5*time.Second)
	f(lines("GET /x HTTP/1.1", "grpc-timeout: 5S"), "grpc-timeout", 5*time.Second)
	f(lines("GET /x HTTP/1.1", "X-Request-Timeout: 1h"), "x-request-timeout", 20*time.Second) // the route's is shorter
	f(lines("GET /x HTTP/1.1"), "x-request-timeout", 20*time.Second)
}

// TestStatusShowsAll: /status and metrics have what is known of every target and pool.
func TestStatusShowsAll(t *testing.T) {
	t.Parallel()
	o, gone := newMoody(t), freeAddr(t)
	g := start(t, fmt.Sprintf(robust, quoted(o.addr, gone)))
	c := dialRaw(t, g.addr)
	eventually(t, "the dead target is found", func() bool {
		c.get("/x")
		return dig(g.poolStatus(), "targets", 1, "state") == "unhealthy"
	})
	st := g.poolStatus()
	has := func(what any, keys ...string) {
		t.Helper()
		for _, key := range keys {
			if v, ok := what.(map[string]any)[key]; !ok || v == "" || v == nil {
				t.Errorf("no %s: %v", key, what)
			}
		}
	}
	has(st, "name", "balance", "usable", "panic", "targets", "breaker", "concurrency", "retry_budget_left")
	has(dig(st, "breaker"), "state", "requests", "error_percent", "opened")
	has(dig(st, "concurrency"), "limit", "adaptive", "in_flight", "waiting", "oldest_wait_seconds", "shed_total")
	has(dig(st, "targets", 0), "address", "state", "since", "usable", "in_flight", "ewma_seconds", "ejections", "health")
	has(dig(st, "targets", 1), "address", "state", "since", "why", "last_error", "last_error_at", "health")
	for _, series := range []string{
		`penstock_target_healthy{pool="app",target="` + o.addr, `penstock_pool_targets{pool="app"}`,
		`penstock_pool_targets_usable{pool="app"}`, `penstock_upstream_duration_seconds_count{pool="app"}`,
		`penstock_pool_concurrency_limit{pool="app"}`, `penstock_target_ewma_seconds{pool="app",target="` + o.addr,
	} {
		if g.metric(series) <= 0 {
			t.Errorf("%s is not above 0", series)
		}
	}
	if n := strings.Count(g.log.String(), `"msg":"target unhealthy"`); n != 1 {
		t.Errorf("%d lines of the log say that the target is unhealthy, want one", n)
	}
}
