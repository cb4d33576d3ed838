package pool

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/pool/discovery"
	"github.com/penstock-edge/penstock/pool/outcome"
)

// states returns why each target of p is not chosen, by the bits of its state.
func states(p *Pool) string {
	var all []string
	for _, m := range p.set.Load().members {
		all = append(all, fmt.Sprint(m.state.Load()))
	}
	return strings.Join(all, " ")
}

// TestReasons: a target is chosen when nothing speaks against it, whatever the order in which reasons come and go.
func TestReasons(t *testing.T) {
	p := memoryPool(t, "", nil)
	m := p.set.Load().members[0]
	f := func(reason uint32, on bool, state uint32, name string) {
		t.Helper()
		p.shared.mark(m.Target, reason, on, "test")
		if got := m.state.Load(); got != state || stateName(m.reasons) != name {
			t.Errorf("state %b, %s; want %b, %s", got, stateName(m.reasons), state, name)
		}
	}
	f(isEjected, true, isEjected, "ejected")
	f(isUnhealthy, true, isEjected|isUnhealthy, "unhealthy")
	f(isEjected, false, isUnhealthy, "unhealthy")
	f(isBroken, true, isBroken|isUnhealthy, "unhealthy")
	f(isDrained, true, isBroken|isUnhealthy|isDrained, "drained")
	f(isDrained, false, isBroken|isUnhealthy, "unhealthy")
	f(isUnhealthy, false, isBroken, "broken")
	f(isBroken, false, 0, "healthy")
}

// TestNobodyLeft: when all are out, those that only erred are asked all the same; the ill and drained are not.
func TestNobodyLeft(t *testing.T) {
	p := memoryPool(t, "", nil)
	ms := p.set.Load().members
	p.shared.mark(ms[0].Target, isEjected, true, "test")
	p.shared.mark(ms[1].Target, isUnhealthy, true, "test")
	p.shared.mark(ms[2].Target, isDrained, true, "test")
	if got := states(p); got != fmt.Sprint(0, isUnhealthy, isDrained) {
		t.Errorf("states %s", got)
	}
	for range 5 {
		if a := ask(get(p)); a.target != "a:1" {
			t.Errorf("%q was asked, fault %q", a.target, a.code)
		}
	}
	p.shared.mark(ms[0].Target, isUnhealthy, true, "test")
	if a := ask(get(p)); a.code != "no_upstream" {
		t.Errorf("%q was asked, fault %q", a.target, a.code)
	}
}

func TestPanic(t *testing.T) {
	p := memoryPool(t, "panic_percent = 50\n", nil)
	ms := p.set.Load().members
	p.shared.mark(ms[0].Target, isUnhealthy, true, "test")
	if p.status().Panic {
		t.Error("a panic with two of three")
	}
	p.shared.mark(ms[1].Target, isUnhealthy, true, "test")
	if !p.status().Panic || states(p) != "0 0 0" {
		t.Errorf("with one of three: states %s", states(p))
	}
	p.shared.mark(ms[2].Target, isDrained, true, "test")
	if states(p) != fmt.Sprint(0, 0, isDrained) {
		t.Errorf("a panic asks who takes no clients: states %s", states(p))
	}
	p.shared.mark(ms[1].Target, isUnhealthy, false, "test")
	if p.status().Panic {
		t.Error("the panic does not end")
	}
}

// TestBackups: a backup is asked when no other target may be, and not for one that is only busy.
func TestBackups(t *testing.T) {
	p := memoryPoolOf(t, "targets = [\"a:1\", { address = \"b:1\", backup = true }]\nmax_connections = 1\n"+
		"wait_timeout = \"1ms\"\n", inMemory(nil, false))
	a := p.set.Load().find("a:1")
	if got := ask(get(p)); got.target != "a:1" {
		t.Errorf("%q was asked first", got.target)
	}
	busy := p.mustGet(t)
	if got := ask(get(p)); got.code != edge.PoolWait.Code {
		t.Errorf("while the other is busy: %q, fault %q", got.target, got.code)
	}
	p.put(busy, true)
	p.shared.mark(a.Target, isUnhealthy, true, "test")
	if got := ask(get(p)); got.target != "b:1" {
		t.Errorf("while the other is ill: %q, fault %q", got.target, got.code)
	}
}

// TestRetryReachesBackups: the targets that have not been tried come first, backups among them last.
func TestRetryReachesBackups(t *testing.T) {
	var asked []string
	p := memoryPoolOf(t, "targets = [\"a:1\", \"b:1\", { address = \"c:1\", backup = true }]\n"+
		"retry = { attempts = 4, backoff = \"0s\" }\n", inMemory(func(c *call, _ *edge.Exchange) (int, *edge.Fault) {
		asked = append(asked, c.of.address)
		return 503, nil
	}, false))
	ask(get(p))
	if len(asked) != 4 || asked[0] == asked[1] || asked[2] != "c:1" {
		t.Errorf("asked were %v", asked)
	}
}

func TestZones(t *testing.T) {
	h := newHost("[server]\nzone = \"here\"\n[pool.a]\nslow_start = \"0s\"\ntargets = [{ address = \"a:1\", zone = \"here\" }, " +
		"{ address = \"b:1\", zone = \"here\" }, { address = \"c:1\", zone = \"there\" }]\nzone_min_percent = 100\n")
	in := buildOver(h, inMemory(nil, false))
	defer in.Close()
	p, _ := h.Upstream(h.Config.File.Root, "pool", "a").(*Pool)
	in.Start()
	spread := func() map[string]bool {
		seen := map[string]bool{}
		for range 30 {
			seen[ask(get(p)).target] = true
		}
		return seen
	}
	if seen := spread(); len(seen) != 2 || seen["c:1"] {
		t.Errorf("asked were %v", seen)
	}
	p.shared.mark(p.set.Load().find("a:1").Target, isUnhealthy, true, "test")
	if seen := spread(); !seen["b:1"] || !seen["c:1"] {
		t.Errorf("with half of the zone asked were %v", seen)
	}
}

func TestSlowStart(t *testing.T) {
	conf := testConfig(1, 1)
	conf.SlowStart = 10 * time.Second
	p := poolOf(conf, "a:1", "b:1")
	p.shared.leader = p // nobody looks after it but the test
	k := &keeper{p: p}
	m := p.set.Load().members[0]
	p.shared.mark(m.Target, isUnhealthy, true, "test")
	p.shared.mark(m.Target, isUnhealthy, false, "test")
	if m.ramp.Load() != rampLeast {
		t.Fatalf("it begins with %d", m.ramp.Load())
	}
	from := m.warmFrom
	f := func(after time.Duration, want uint32) {
		t.Helper()
		k.warm(p.set.Load().members, from+int64(after))
		if got := m.ramp.Load(); got != want {
			t.Errorf("after %v its share is %d, want %d", after, got, want)
		}
	}
	f(time.Millisecond, rampLeast)
	f(5*time.Second, 32768)
	f(10*time.Second, 0)
	f(11*time.Second, 0)
}

// TestEjection: no more targets are taken out than may be, and each comes back when its time is over.
func TestEjection(t *testing.T) {
	p := memoryPool(t, "outlier = { max_ejected_percent = 50, eject_for = \"30s\" }\n", nil)
	ms := p.set.Load().members
	ms[0].eject("test")
	ms[0].eject("again")
	ms[1].eject("test")
	if got := states(p); got != fmt.Sprint(isEjected, 0, 0) || ms[0].ejections.Sum() != 1 {
		t.Errorf("states %s, %d ejections", got, ms[0].ejections.Sum())
	}
	until := ms[0].ejection.Until()
	p.keeper.readmit(ms, until-1)
	if states(p) != fmt.Sprint(isEjected, 0, 0) {
		t.Error("it comes back before its time")
	}
	p.keeper.readmit(ms, until)
	if states(p) != "0 0 0" {
		t.Error("it does not come back")
	}
}

// TestStumbles: errors in a row are counted apart by whether the target has answered.
func TestStumbles(t *testing.T) {
	p := memoryPool(t, "outlier = { consecutive_errors = 3, consecutive_gateway_errors = 2 }\n", nil)
	m := p.set.Load().members[0]
	x := get(p)
	x.Attempts = 1
	m.account(x, 500, nil, 0)
	m.account(x, 500, nil, 0)
	m.account(x, 200, nil, 0)
	m.account(x, 500, nil, 0)
	m.account(x, 500, nil, 0)
	if m.state.Load() != 0 {
		t.Error("it is out after two in a row")
	}
	m.account(x, 500, nil, 0)
	if m.state.Load() != isEjected {
		t.Error("it is not out after three in a row")
	}
	other := p.set.Load().members[1]
	other.account(x, 0, edge.ClientGone, 0)
	other.account(x, 0, edge.UpstreamReset, 0)
	if other.state.Load() != 0 {
		t.Error("it is out after one")
	}
	s := m.sample()
	if s.Errors != 5 || s.Requests != 6 || s.GatewayErrors != 0 {
		t.Errorf("the judge sees %+v", s)
	}
	if s := other.sample(); s.GatewayErrors != 1 || s.Requests != 1 || other.outcomes[outcome.Client].Sum() != 1 {
		t.Errorf("the judge sees %+v", s)
	}
}

func TestBackoff(t *testing.T) {
	p := memoryPool(t, "retry = { attempts = 10, backoff = \"10ms\", max_backoff = \"40ms\" }\n", nil)
	m := p.set.Load().members[0]
	f := func(name string, retries int, fault *edge.Fault, unsent, other bool, after string, least, most time.Duration) {
		t.Helper()
		x := get(p)
		x.Call.Retries = retries
		if after != "" {
			x.Resp.Set("Retry-After", after)
		}
		for range 100 {
			if got := m.backoff(x, fault, unsent, other); got < least || got > most {
				t.Fatalf("%s: %v, want %v to %v", name, got, least, most)
			}
		}
	}
	f("unsent, and another", 0, edge.UpstreamConnect, true, true, "", 0, 0)
	f("the first", 0, edge.UpstreamReset, false, true, "", 0, 10*time.Millisecond)
	f("the second", 1, edge.UpstreamReset, false, true, "", 0, 20*time.Millisecond)
	f("the ninth", 8, edge.UpstreamReset, false, true, "", 0, 40*time.Millisecond)
	f("the same target has said when", 0, nil, false, false, "1", time.Second, time.Second)
	f("another one has", 0, nil, false, true, "1", 0, 10*time.Millisecond)
	f("too long", 0, nil, false, false, "3", -1, -1)
	f("a date", 0, nil, false, false, "Wed, 21 Oct 2026 07:28:00 GMT", -1, -1)
}

// TestRetryNeedsTime: nothing is repeated that could not be answered in time, and no upload under way.
func TestRetryNeedsTime(t *testing.T) {
	p := memoryPool(t, "retry = { attempts = 3, backoff = \"1m\", max_backoff = \"1m\" }\n", nil)
	m := p.set.Load().members[0]
	f := func(name string, want bool, change func(x *edge.Exchange)) {
		t.Helper()
		x := get(p)
		x.Attempts = 1
		change(x)
		if again, _ := m.Retry(x, edge.UpstreamReset); again != want {
			t.Errorf("%s: %v", name, again)
		}
	}
	f("no bound", true, func(*edge.Exchange) {})
	f("no time", false, func(x *edge.Exchange) { x.Deadline = clock.Now() })
	f("uploading", false, func(x *edge.Exchange) { x.Uploading = true })
	f("an upgrade", false, func(x *edge.Exchange) { x.Upgrade = []byte("websocket") })
	f("enough", false, func(x *edge.Exchange) { x.Call.Retries = 2 })
	f("not idempotent", false, func(x *edge.Exchange) { x.Method = []byte("PATCH") })
	f("as the route wants it", true, func(x *edge.Exchange) {
		x.Method = []byte("PATCH")
		x.Plan.RetryUnsafe = true
	})
}

// TestStatusOfAPool: /status has each target with its reasons, and is JSON.
func TestStatusOfAPool(t *testing.T) {
	p := memoryPool(t, "outlier = {}\nbreaker = { per_target = true }\nconcurrency = { limit = 3 }\nadmission = {}\n"+
		"retry = {}\nhedge = { after = \"1s\" }\n", nil)
	ask(get(p))
	ms := p.set.Load().members
	ms[1].eject("it errs")
	ms[2].stumble.Note(edge.UpstreamReset, 0)
	s := p.status()
	if s.Name != "a" || s.Usable != 2 || len(s.Targets) != 3 || s.BudgetLeft == nil || s.HedgeAfter != 1 ||
		s.Breaker == nil || s.Concurrency == nil || s.Admission == nil || s.Discovery != nil {
		t.Errorf("%+v", s)
	}
	out := s.Targets[1]
	if out.State != "ejected" || out.Why != "it errs" || out.EjectedTill == nil || out.Usable || out.Ejections != 1 {
		t.Errorf("%+v", out)
	}
	if last := s.Targets[2]; last.LastError != "upstream_reset" || last.LastErrorAt == nil {
		t.Errorf("%+v", last)
	}
	if b, err := json.Marshal(s); err != nil || !strings.Contains(string(b), `"state":"ejected"`) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestDiscoveredTargets: those of the file stay, the gateway itself is left out, and a failed answer changes
// nothing.
func TestDiscoveredTargets(t *testing.T) {
	p := memoryPool(t, "", nil)
	addresses := func() string {
		var all []string
		for _, m := range p.set.Load().members {
			all = append(all, fmt.Sprintf("%s*%d", m.Address, m.weight))
		}
		return strings.Join(all, " ")
	}
	f := func(eps []discovery.Endpoint, want string) {
		t.Helper()
		if p.apply(eps); addresses() != want {
			t.Errorf("%s, want %s", addresses(), want)
		}
	}
	f([]discovery.Endpoint{{Address: "d:1", Weight: 3}, {Address: "a:1", Weight: 9}}, "a:1*1 b:1*1 c:1*1 d:1*3")
	d := p.set.Load().find("d:1").Target
	f([]discovery.Endpoint{{Address: "d:1", Weight: 4}}, "a:1*1 b:1*1 c:1*1 d:1*4")
	before := p.set.Load()
	f([]discovery.Endpoint{{Address: "d:1", Weight: 4}}, "a:1*1 b:1*1 c:1*1 d:1*4")
	if p.set.Load() != before {
		t.Error("an answer that changes nothing begins a new round")
	}
	if p.set.Load().find("d:1").Target != d {
		t.Error("a target that has another weight is another one")
	}
	f([]discovery.Endpoint{{Address: "d:1", Weight: 4, Drain: true}}, "a:1*1 b:1*1 c:1*1 d:1*4")
	if d.state.Load() != isDrained {
		t.Error("it takes new clients")
	}
	f(nil, "a:1*1 b:1*1 c:1*1")
	if !d.gone.Load() {
		t.Error("what nobody uses is not let go of")
	}
}

// TestReload: a target that both generations have keeps what is known of it, and its places.
func TestReload(t *testing.T) {
	state := newHost("").State
	build := func(targets string) (*Pool, func()) {
		h := newHost("[pool.a]\nslow_start = \"0s\"\ntargets = [" + targets + "]\n")
		h.State = state
		in := buildOver(h, inMemory(nil, false))
		p, _ := h.Upstream(h.Config.File.Root, "pool", "a").(*Pool)
		in.Start()
		return p, in.Close
	}
	one, closeOne := build(`"a:1", "b:1"`)
	for range 2 {
		ask(get(one))
	}
	a, b := one.set.Load().find("a:1").Target, one.set.Load().find("b:1").Target
	one.shared.mark(a, isUnhealthy, true, "test")
	two, closeTwo := build(`"a:1", "c:1"`)
	if m := two.set.Load().find("a:1"); m.Target != a || m.transport.Open() != 1 {
		t.Error("the target that stays is another one")
	}
	busy := one.mustGet(t)
	closeOne()
	if b.transport.Open() != 1 {
		t.Error("the place in use is gone, or the idle one is not")
	}
	one.put(busy, true)
	if n := b.transport.Open(); n != 0 {
		t.Errorf("%d places of a target that is gone", n)
	}
	if got := ask(get(two)); got.target != "c:1" {
		t.Errorf("%q was asked", got.target)
	}
	closeTwo()
	if n := a.transport.Open(); n != 0 {
		t.Errorf("%d places are left at the end", n)
	}
}
