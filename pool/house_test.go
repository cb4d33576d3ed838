package pool

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/pool/discovery"
	"github.com/penstock-edge/penstock/pool/outcome"
	"github.com/penstock-edge/penstock/pool/queue"
	"github.com/penstock-edge/penstock/pool/section"
	"github.com/penstock-edge/penstock/pool/status"
	"github.com/penstock-edge/penstock/pool/transport"
)

// house runs pools over targets in memory, one generation after the other over what outlives them.
type house struct {
	t       testing.TB
	keeper  *edge.Keeper
	metrics *metric.Registry
	answer  server         // of all targets; nil: 200. It does not change while requests are made
	h       *edge.Host     // of the generation that was loaded last
	in      *edge.Instance // the same; nil: there was none
}

func newHouse(t testing.TB) *house {
	h := &house{t: t, keeper: edge.NewKeeper(), metrics: metric.NewRegistry()}
	t.Cleanup(h.close)
	return h
}

func (h *house) close() {
	if h.in != nil {
		h.in.Close()
		h.h.Metrics.Close()
		h.h.State.Release()
		h.in = nil
	}
}

// host returns what a generation is built of.
func (h *house) host(text string) *edge.Host {
	text = strings.ReplaceAll(text, "]\ntargets", "]\nslow_start = \"0s\"\ntargets")
	return &edge.Host{Config: config.Load("t.toml", []byte(text), config.Options{}), State: h.keeper.Hold(),
		Metrics: h.metrics.Scope()}
}

// load begins another generation, and ends the one before, as a reload does.
func (h *house) load(text string) {
	h.t.Helper()
	host := h.host(text)
	in := buildOver(host, func(t *Target, _ *section.Config) transport.Transport {
		return &memory{address: t.Address, serve: func(c *call, x *edge.Exchange) (int, *edge.Fault) {
			if h.answer == nil {
				return 200, nil
			}
			return h.answer(c, x)
		}}
	})
	for _, err := range host.Config.File.Finish() {
		if strings.Contains(err.Error(), "pool") {
			h.t.Fatal(err)
		}
	}
	if in.Open != nil {
		in.Open()
	}
	in.Start()
	before := *h
	h.h, h.in = host, in
	before.close()
}

// pool returns a pool of the generation that was loaded last.
func (h *house) pool(name string) *Pool {
	p, _ := h.h.Upstream(h.h.Config.File.Root, "pool", name).(*Pool)
	return p
}

// status returns what /status has of a pool.
func (h *house) status(name string) status.Pool {
	for _, p := range h.in.Status().([]status.Pool) {
		if p.Name == name {
			return p
		}
	}
	h.t.Fatalf("there is no pool %q", name)
	return status.Pool{}
}

// order calls the admin interface.
func (h *house) order(pool, rest, query string) int {
	var ctx fasthttp.RequestCtx
	ctx.Request.SetRequestURI("http://a/?" + query)
	ctx.SetUserValue("pool", pool)
	ctx.SetUserValue("address", rest)
	h.h.Handlers()[0].Handle(&ctx)
	return ctx.Response.StatusCode()
}

// asked returns which targets so many requests were answered by.
func asked(p *Pool, n int) string {
	seen := map[string]int{}
	for range n {
		a := ask(get(p))
		seen[a.target+a.code]++
	}
	var all []string
	for _, m := range p.set.Load().members {
		if seen[m.Address] > 0 {
			all = append(all, fmt.Sprintf("%s*%d", m.Address[:1], seen[m.Address]))
		}
		delete(seen, m.Address)
	}
	for what, n := range seen {
		all = append(all, fmt.Sprintf("%s*%d", what, n))
	}
	return strings.Join(all, " ")
}

// TestOrdersOfTheAdmin: what is set holds for the choice, is shown, and outlives a reload that changes nothing of it.
func TestOrdersOfTheAdmin(t *testing.T) {
	const text = "[pool.a]\ntargets = [\"a:1\", { address = \"b:1\", weight = 2 }, \"unix:/x/y\"]\n"
	h := newHouse(t)
	h.load(text)
	f := func(rest, query string, code int, want string) {
		t.Helper()
		if got := h.order("a", rest, query); got != code {
			t.Errorf("%s?%s: %d, want %d", rest, query, got, code)
		}
		if got := asked(h.pool("a"), 12); got != want {
			t.Errorf("%s?%s: asked were %s, want %s", rest, query, got, want)
		}
	}
	f("a:1/drain", "", 204, "b*8 u*4")
	f("a:1/drain", "", 204, "b*8 u*4")
	f("unix%3A%2Fx%2Fy/drain", "", 204, "b*12")
	f("b:1/weight", "value=5", 204, "b*12")
	f("a:1/undrain", "", 204, "a*2 b*10")
	f("b:1/weight", "value=0", 204, "a*12")
	f("unix:/x/y/undrain", "", 204, "a*6 u*6")
	f("b:1/weight", "value=65536", 400, "a*6 u*6")
	f("b:1/weight", "value=-1", 400, "a*6 u*6")
	f("b:1/weight", "", 400, "a*6 u*6")
	f("b:1/drain", "value=1", 400, "a*6 u*6")
	f("b:1/stop", "", 404, "a*6 u*6")
	f("c:1/drain", "", 404, "a*6 u*6")
	f("", "", 404, "a*6 u*6")
	if code := h.order("b", "a:1/drain", ""); code != 404 {
		t.Errorf("of a pool that there is not: %d", code)
	}
	b := h.status("a").Targets[1]
	if b.State != "drained" || b.Weight != 0 || b.Set == nil || b.Usable || b.Why == "" {
		t.Errorf("%+v", b)
	}
	h.load(text + "[pool.b]\ntargets = [\"a:1\"]\n")
	if got := asked(h.pool("a"), 12); got != "a*6 u*6" {
		t.Errorf("after a reload asked were %s", got)
	}
	h.load(strings.Replace(text, "weight = 2", "weight = 4", 1)) // the file says something else now
	if got := asked(h.pool("a"), 12); got != "a*2 b*8 u*2" {
		t.Errorf("after the weight was changed in the file asked were %s", got)
	}
	if b := h.status("a").Targets[1]; b.Set != nil || b.State != "healthy" {
		t.Errorf("%+v", b)
	}
}

// TestReloadsUnderLoad: while generations, targets and orders come and go, every request is answered by somebody who is
// there, and at the end nothing is left in use.
func TestReloadsUnderLoad(t *testing.T) {
	const workers, each = 6, 150
	text := func(i int) string {
		return fmt.Sprintf("[pool.a]\nslow_start = \"0s\"\nmax_connections = 2\nwait_timeout = \"5m\"\nretry = {}\nsticky = {}\n"+
			"concurrency = { limit = 100 }\ntargets = [\"a:1\", \"b:1\", \"c%d:1\"]\n", i%3)
	}
	h := newHouse(t)
	h.answer = func(c *call, x *edge.Exchange) (int, *edge.Fault) {
		if c.served%7 == 3 && !x.Fresh { // what is asked for a fresh connection is not told that it was stale
			return 0, edge.UpstreamStale
		}
		runtime.Gosched()
		return 200, nil
	}
	h.load(text(0))
	var current atomic.Pointer[Pool]
	current.Store(h.pool("a"))
	var asks, others sync.WaitGroup
	stop := make(chan bool)
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			p := current.Load()
			p.apply([]discovery.Endpoint{{Address: fmt.Sprintf("d%d:1", i%4), Weight: 1 + int32(i%2)}})
			h.order("a", fmt.Sprintf("c%d:1/drain", i%3), "")
			if i%5 == 0 {
				h.load(text(i / 5))
				current.Store(h.pool("a"))
			}
			h.order("a", "b:1/weight", fmt.Sprint("value=", i%3))
		}
	})
	for range workers {
		asks.Go(func() {
			for range each {
				if a := ask(get(current.Load())); a.status != 200 {
					t.Errorf("status %d, %q", a.status, a.code)
				}
			}
		})
	}
	asks.Wait()
	close(stop)
	others.Wait()
	p := h.pool("a")
	if s := h.status("a"); s.Waiting != 0 || len(s.Targets) < 3 {
		t.Errorf("%+v", s)
	}
	if _, err := json.Marshal(h.in.Status()); err != nil {
		t.Error(err)
	}
	atRest(t, p)
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	for key, target := range p.shared.targets {
		if p.set.Load().of[target] == nil {
			t.Errorf("%s is kept, and nobody has it", key)
		}
	}
}

// TestWaitersOfAnOldGeneration: who waits is served by what a reload has brought, and not kept by what it took away.
func TestWaitersOfAnOldGeneration(t *testing.T) {
	const keys = "max_connections = 1\nwait_timeout = \"5m\"\n"
	enter, leave := make(chan string), make(chan bool)
	h := newHouse(t)
	h.answer = func(c *call, _ *edge.Exchange) (int, *edge.Fault) {
		enter <- c.of.address
		<-leave
		return 200, nil
	}
	h.load("[pool.a]\ntargets = [\"a:1\"]\n" + keys)
	old := h.pool("a")
	ended := make(chan answer, 3)
	begin := func(p *Pool) { go func() { ended <- ask(get(p)) }() }
	begin(old)
	<-enter
	begin(old)
	old.waitFor(1)
	h.load("[pool.a]\ntargets = [\"a:1\", \"b:1\"]\n" + keys)
	if who := <-enter; who != "b:1" {
		t.Errorf("%s serves the one that waits", who)
	}
	begin(h.pool("a"))
	old.waitFor(1) // of the new generation, for both
	leave <- true
	<-ended
	<-enter
	close(leave)
	for range 2 {
		if a := <-ended; a.status != 200 {
			t.Errorf("status %d, %q", a.status, a.code)
		}
	}
	if n := old.waits[queue.Served].Sum(); n != 2 { // it is the counter of both
		t.Errorf("%d are counted as served after a wait", n)
	}
	atRest(t, h.pool("a"))
}

// TestNobodyLeftForWaiters: who waits for targets that are all taken out learns of it at once.
func TestNobodyLeftForWaiters(t *testing.T) {
	enter, leave := make(chan bool), make(chan bool)
	h := newHouse(t)
	h.answer = func(*call, *edge.Exchange) (int, *edge.Fault) {
		enter <- true
		<-leave
		return 200, nil
	}
	h.load("[pool.a]\ntargets = [\"a:1\"]\nmax_connections = 1\nmax_waiting = 2\nwait_timeout = \"5m\"\n")
	p := h.pool("a")
	first, others := make(chan answer), make(chan answer, 3)
	go func() { first <- ask(get(p)) }()
	<-enter
	for i := range 2 {
		go func() { others <- ask(get(p)) }()
		p.waitFor(i + 1)
	}
	if a := ask(get(p)); a.code != edge.PoolBusy.Code {
		t.Errorf("a third one that waits: %d, %q", a.status, a.code)
	}
	if s := h.status("a"); s.Waiting != 2 || s.Targets[0].Waiting != 2 || s.Targets[0].InFlight != 1 {
		t.Errorf("%+v", s)
	}
	h.order("a", "a:1/drain", "")
	for range 2 {
		if a := <-others; a.code != edge.NoUpstream.Code {
			t.Errorf("while it drains: %d, %q", a.status, a.code)
		}
	}
	close(leave)
	if a := <-first; a.status != 200 {
		t.Errorf("who was there before: %d, %q", a.status, a.code)
	}
	if n := p.waits[queue.Hopeless].Sum(); n != 2 || p.waits[queue.Full].Sum() != 1 {
		t.Errorf("%d without hope", n)
	}
	go func() { <-enter }()
	h.order("a", "a:1/undrain", "")
	if a := ask(get(p)); a.status != 200 {
		t.Errorf("after that: %d, %q", a.status, a.code)
	}
	atRest(t, p)
}

// TestConcurrencyOverReloads: the limit of a pool counts the requests of all generations.
func TestConcurrencyOverReloads(t *testing.T) {
	enter, leave := make(chan bool), make(chan bool)
	h := newHouse(t)
	h.answer = func(*call, *edge.Exchange) (int, *edge.Fault) {
		enter <- true
		<-leave
		return 200, nil
	}
	text := func(limit int) string {
		return fmt.Sprintf("[pool.a]\ntargets = [\"a:1\"]\nconcurrency = { limit = %d, queue = 0 }\n", limit)
	}
	h.load(text(2))
	ended := make(chan answer, 3)
	begin := func() {
		p := h.pool("a")
		go func() { ended <- ask(get(p)) }()
		<-enter
	}
	begin()
	h.load(text(2))
	begin()
	if a := ask(get(h.pool("a"))); a.code != "pool_overloaded" {
		t.Errorf("a third one: %d, %q", a.status, a.code)
	}
	h.load(text(3))
	begin()
	h.load("[pool.a]\ntargets = [\"a:1\"]\n") // without a limit
	close(leave)
	for range 3 {
		if a := <-ended; a.status != 200 {
			t.Errorf("status %d, %q", a.status, a.code)
		}
	}
	if n := h.pool("a").shared.all.Limiter.InFlight(); n != 0 {
		t.Errorf("%d places are in use", n)
	}
	go func() { <-enter }()
	ask(get(h.pool("a")))
	atRest(t, h.pool("a"))
}

// TestStickyCookies: which cookie a client gets, and whose it takes.
func TestStickyCookies(t *testing.T) {
	const text = "[pool.a]\ntargets = [\"a:1\", \"b:1\", { address = \"c:1\", backup = true }]\nsticky = { cookie = \"seat\", secret = \"s\", ttl = \"1h\" }\n"
	h := newHouse(t)
	h.load(text)
	serve := func(cookies, scheme string, own string) (target, set string) {
		t.Helper()
		x := get(h.pool("a"))
		x.Cookie, x.Scheme = []byte(cookies), scheme
		if f := edge.Fetch(x); f != nil {
			t.Fatal(f)
		}
		if own != "" {
			x.Resp.Add("Set-Cookie", own)
		}
		had := x.Resp.Count("Set-Cookie")
		stick{}.Run(x)
		if x.Resp.Count("Set-Cookie") > had {
			set = string(x.Resp.Last("Set-Cookie"))
		}
		target = string(x.Resp.Get("X-Target"))
		x.Finish(nil)
		return target, set
	}
	who, line := serve("", "http", "")
	value, rest, _ := strings.Cut(line, "; ")
	if !strings.HasPrefix(value, "seat=~") || rest != "Path=/; HttpOnly; SameSite=Lax; Max-Age=3600" {
		t.Fatalf("%q", line)
	}
	if _, line := serve("", "https", ""); !strings.HasSuffix(line, "; Secure") {
		t.Errorf("under TLS: %q", line)
	}
	for i, cookies := range []string{value, "a=b; " + value, "seat=~forged; " + value + "; c=d", value + "; seat=" + value[6:]} {
		for range 4 {
			if got, line := serve(cookies, "http", ""); got != who || line != "" {
				t.Errorf("%d: %q went to %s with %q, want %s", i, cookies, got, line, who)
			}
		}
	}
	for _, cookies := range []string{"seat=~", "seat=" + value[5:30], "SEAT=" + value[5:], "seat=~" + strings.Repeat("A", 32)} {
		if _, line := serve(cookies, "http", ""); line == "" {
			t.Errorf("%q is taken for a good one", cookies)
		}
	}
	for _, taken := range []struct{ cookies, own string }{{"seat=7", ""}, {"", "seat=7; Path=/"}} {
		if _, line := serve(taken.cookies, "http", taken.own); line != "" {
			t.Errorf("%+v: the application's cookie is overruled by %q", taken, line)
		}
	}
	if n := h.pool("a").conflicts.Sum(); n != 2 {
		t.Errorf("%d conflicts", n)
	}
	h.load(text) // the secret is that of the file
	if got, _ := serve(value, "http", ""); got != who {
		t.Errorf("after a reload it went to %s", got)
	}
	h.order("a", who+"/drain", "")
	if got, line := serve(value, "http", ""); got != who || line != "" {
		t.Errorf("while it drains it went to %s with %q", got, line)
	}
	h.load(strings.Replace(text, `"`+who+`"`, `"z:1"`, 1))
	if got, line := serve(value, "http", ""); got == who || line == "" {
		t.Errorf("when it is gone it went to %s with %q", got, line)
	}
}

// TestStickyWaits: who is tied to a target waits for a place there, though others have room; who is not goes to them.
func TestStickyWaits(t *testing.T) {
	enter, leave := make(chan bool, 1), make(chan bool)
	h := newHouse(t)
	h.answer = func(c *call, _ *edge.Exchange) (int, *edge.Fault) {
		if c.of.address == "a:1" {
			enter <- true
			<-leave
		}
		return 200, nil
	}
	h.load("[pool.a]\ntargets = [\"a:1\", \"b:1\"]\nmax_connections = 1\nwait_timeout = \"5m\"\nsticky = { cookie = \"seat\" }\n")
	p, ended := h.pool("a"), make(chan answer, 2)
	tied := func() {
		x := get(p)
		x.Cookie = []byte("seat=" + p.sticky.Key.Value("a", "a:1"))
		go func() { ended <- ask(x) }()
	}
	tied()
	<-enter
	for range 3 {
		if a := ask(get(p)); a.target != "b:1" {
			t.Errorf("%q of %q, while the other one is busy", a.code, a.target)
		}
	}
	tied()
	p.waitFor(1)
	leave <- true
	<-ended
	<-enter
	close(leave)
	if a := <-ended; a.target != "a:1" {
		t.Errorf("%q of %q, after a wait for its target", a.code, a.target)
	}
	atRest(t, p)
}

// TestBreakersOverReloads: what opened stays open when the file is read again, and is forgotten where it is asked for no
// more.
func TestBreakersOverReloads(t *testing.T) {
	const open = ", open_for = \"1h\", max_open_for = \"1h\", consecutive_errors = 2 }\n"
	h := newHouse(t)
	h.answer = func(c *call, _ *edge.Exchange) (int, *edge.Fault) {
		if c.of.address == "a:1" {
			return 500, nil
		}
		return 200, nil
	}
	const own = "[pool.a]\ntargets = [\"a:1\", \"b:1\"]\nbreaker = { per_target = true, error_percent = 0" + open
	h.load(own)
	asked(h.pool("a"), 10)
	f := func(text, want, states string) {
		t.Helper()
		h.load(text)
		if got := asked(h.pool("a"), 4); got != want {
			t.Errorf("%s: asked were %s, want %s", text, got, want)
		}
		var all []string
		for _, s := range h.status("a").Targets {
			all = append(all, s.State)
		}
		if got := strings.Join(all, " "); got != states {
			t.Errorf("%s: %s, want %s", text, got, states)
		}
	}
	f(own, "b*4", "broken healthy")
	f("[pool.a]\ntargets = [\"a:1\", \"b:1\"]\n", "a*2 b*2", "healthy healthy")
	f("[pool.a]\ntargets = [\"a:1\"]\nbreaker = { error_percent = 0"+open, "a*2 breaker_open*2", "healthy")
	f("[pool.a]\ntargets = [\"a:1\", \"c:1\"]\nbreaker = { error_percent = 0"+open, "breaker_open*4", "healthy healthy")
	f("[pool.a]\ntargets = [\"c:1\"]\n", "c*4", "healthy")
}

// TestMistakesOfPools: what the keys of pools and routes may not say, where it stands.
func TestMistakesOfPools(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		h := newHouse(t)
		host := h.host("[[listener]]\naddress = \":1\"\n" + text)
		in := build(host)
		for _, r := range host.Config.Routes {
			in.Route(&edge.RouteSetup{Name: r.Name, Plan: &edge.Plan{}, Table: r.Table, Answerers: []string{"pool"}})
		}
		if errs := host.Config.File.Finish().Error(); !strings.Contains(errs, want) {
			t.Errorf("%s: %q, want %q", text, errs, want)
		}
		in.Close()
	}
	const a = "[pool.a]\ntargets = [\"a:1\"]\n"
	f(a+"fallback = { pool = \"a\" }\n", "in a circle")
	f(a+"fallback = { pool = \"b\" }\n[pool.b]\ntargets = [\"b:1\"]\nfallback = { pool = \"a\" }\n", "in a circle")
	f(a+"fallback = { pool = \"ab\" }\n", "pool.a.fallback.pool")
	f(a+"balance = \"fair\"\n", "pool.a.balance")
	f("[pool.a]\n", "pool.a")
	f(a+"[[route]]\nprefix = \"/\"\npool = \"b\"\n", "pool")
	f(a+"[[route]]\nprefix = \"/\"\npool = 7\n", "must be a string")
	f(a+"[[route]]\nprefix = \"/\"\npool = \"a\"\nexpect = \"never\"\n", "expect")
	f(a+"[[route]]\nprefix = \"/\"\npool = \"a\"\nretry_unsafe = \"yes\"\n", "retry_unsafe")
}

// TestOutcomesAreCounted: each attempt is counted once, as how it ended.
func TestOutcomesAreCounted(t *testing.T) {
	h := newHouse(t)
	all := map[outcome.Outcome]*edge.Fault{outcome.Connect: edge.UpstreamConnect, outcome.Reset: edge.UpstreamReset,
		outcome.Timeout: edge.UpstreamTimeout, outcome.Protocol: edge.UpstreamProtocol, outcome.Client: edge.ClientGone,
		outcome.Gateway: edge.Exhausted, outcome.OK: nil, outcome.Error: nil}
	h.load("[pool.a]\ntargets = [\"a:1\"]\n")
	for o, f := range all {
		h.answer = func(*call, *edge.Exchange) (int, *edge.Fault) {
			if o == outcome.Error {
				return 502, nil
			}
			return 200, f
		}
		ask(get(h.pool("a")))
	}
	m := h.pool("a").set.Load().members[0]
	for o := range all {
		if n := m.outcomes[o].Sum(); n != 1 {
			t.Errorf("%s: %d", o, n)
		}
	}
	var b strings.Builder
	if err := h.metrics.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`penstock_upstream_requests_total{outcome="timeout",pool="a",target="a:1"} 1`,
		`penstock_pool_targets_usable{pool="a"} 1`, `penstock_target_in_flight{pool="a",target="a:1"} 0`} {
		if !strings.Contains(b.String(), "\n"+want+"\n") {
			t.Errorf("%s is not in the metrics", want)
		}
	}
	atRest(t, h.pool("a"))
}
