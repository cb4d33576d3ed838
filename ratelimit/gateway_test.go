package ratelimit

import (
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway runs limits as the house does: one generation after the other over what outlives them. Its target answers
// what the test says.
type gateway struct {
	t       testing.TB
	keeper  *edge.Keeper
	metrics *metric.Registry
	current edge.Current
	loaded  uint64
	h       *edge.Host     // of the generation that was loaded last
	in      *edge.Instance // the same
	// answer makes the target's answer; nil: 200 and nothing else.
	answer func(x *edge.Exchange) edge.Verdict
}

// newGateway returns a gateway with the limits of a file, until the test ends. Without a [[route]] there is "/", which
// has all of them.
func newGateway(t testing.TB, text string) *gateway {
	t.Helper()
	g := &gateway{t: t, keeper: edge.NewKeeper(), metrics: metric.NewRegistry()}
	g.reload(text)
	t.Cleanup(func() { g.current.Swap(edge.NewGeneration(0, func() {})) })
	return g
}

// reload makes another file hold, which has no mistakes.
func (g *gateway) reload(text string) {
	g.t.Helper()
	if errs := g.load(text); errs != "" {
		g.t.Fatal(errs)
	}
}

// load makes another file hold, and returns the mistakes for which it does not.
func (g *gateway) load(text string) string {
	if !strings.Contains(text, "[[route]]") {
		var names []string
		for _, t := range config.Parse("t.toml", []byte(text), config.Options{}).Root.Children("rate_limit") {
			names = append(names, `"`+t.Name()+`"`)
		}
		text += "\n[[route]]\nname = \"all\"\nprefix = \"/\"\nrate_limits = [" + strings.Join(names, ", ") + "]\n"
	}
	h := &edge.Host{Config: config.Load("t.toml", []byte(text+"[[listener]]\naddress = \":1\"\n"), config.Options{}),
		Log: slog.New(slog.DiscardHandler), State: g.keeper.Hold(), Metrics: g.metrics.Scope()}
	in := build(h)
	var plans []*edge.Plan
	var rules []route.Rule
	for _, r := range h.Config.Routes {
		p := &edge.Plan{Name: r.Name}
		s := &edge.RouteSetup{Name: r.Name, Plan: p, Table: r.Table}
		in.Route(s)
		s.Add(edge.Admit, target{g})
		plans = append(plans, p)
		rules = append(rules, route.Rule{Name: r.Name, Path: r.Path, Prefix: r.Prefix})
	}
	if errs := h.Config.File.Finish(); len(errs) > 0 {
		h.State.Release()
		h.Metrics.Close()
		return errs.Error()
	}
	table, errs := route.NewTable(rules)
	if errs != nil {
		g.t.Fatal(errs)
	}
	g.loaded++
	gen := edge.NewGeneration(g.loaded, func() {
		h.Metrics.Close()
		h.State.Release()
	})
	gen.Routes, gen.Plans, gen.Nowhere, gen.Slots = table, plans, &edge.Plan{}, h.Slots()
	in.Start()
	g.h, g.in = h, in
	g.current.Swap(gen)
	return ""
}

// target is the filter that answers.
type target struct{ g *gateway }

func (t target) Run(x *edge.Exchange) edge.Verdict {
	if t.g.answer == nil {
		x.Answer(200, "", nil)
		return edge.Answered
	}
	return t.g.answer(x)
}

// reply is how a request has ended.
type reply struct {
	status int
	code   string // of the fault
	head   map[string]string
	waited bool // it left the loop
}

// Send implements edge.Sender.
func (r *reply) Send(x *edge.Exchange, _ bool) (edge.Outcome, *edge.Fault) {
	r.status, r.head = x.Status(), map[string]string{}
	if x.Fault != nil {
		r.code = x.Fault.Code
	}
	for _, name := range []string{"RateLimit", "RateLimit-Policy", "Retry-After", "X-RateLimit-Limit",
		"X-RateLimit-Remaining", "X-RateLimit-Reset", "WWW-Authenticate", "Content-Type", "X-Cost", "X-A"} {
		if x.Resp.Has(name) {
			r.head[name] = string(x.Resp.AppendList(nil, name))
		}
	}
	return edge.Ended, nil
}

// client is a connection; gone: it was closed.
type client struct{ gone bool }

func (c client) Gone() bool { return c.gone }
func (client) Abort()       {}

// ask serves a GET of / by 192.0.2.7, changed by has.
func (g *gateway) ask(has ...func(x *edge.Exchange)) *reply {
	gen := g.current.Pin(0)
	defer gen.Unpin(0)
	x, r := &edge.Exchange{}, &reply{}
	x.Reset()
	x.Conn = client{}
	x.Method, x.Path, x.Host = []byte("GET"), []byte("/"), []byte("example.com")
	x.Client = netip.MustParseAddr("192.0.2.7")
	x.Times.Start = clock.Now()
	x.Times.Head = x.Times.Start
	for _, f := range has {
		f(x)
	}
	if edge.Serve(gen, x, r, false) == edge.Blocked {
		r.waited = true
		edge.Resume(x, r, true)
	}
	return r
}

// expect makes a request and fails the test unless it is answered so.
func (g *gateway) expect(status int, has ...func(x *edge.Exchange)) *reply {
	g.t.Helper()
	r := g.ask(has...)
	if r.status != status {
		g.t.Errorf("status %d (%s), want %d; %v", r.status, r.code, status, r.head)
	}
	return r
}

// status returns what /status has of a limit.
func (g *gateway) status(name string) Status {
	for _, s := range g.in.Status().([]Status) {
		if s.Name == name {
			return s
		}
	}
	g.t.Fatalf("there is no limit %q", name)
	return Status{}
}

// decided returns how often a limit has said what.
func (g *gateway) decided(name string, d decision) uint64 {
	return g.status(name).Decisions[decisionNames[d]]
}

// counter returns the value of a series.
func (g *gateway) counter(series string) string {
	var b strings.Builder
	if err := g.metrics.Write(&b); err != nil {
		g.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(b.String(), "\n"+series+" ")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// What a request may have.

func from(address string) func(x *edge.Exchange) {
	return func(x *edge.Exchange) { x.Client = netip.MustParseAddr(address) }
}

func with(name, value string) func(x *edge.Exchange) {
	return func(x *edge.Exchange) { x.Req.Add(name, value) }
}

func cookie(text string) func(x *edge.Exchange) {
	return func(x *edge.Exchange) { x.Cookie = []byte(text) }
}

func query(text string) func(x *edge.Exchange) {
	return func(x *edge.Exchange) { x.Query, x.HasQuery = []byte(text), true }
}

func path(text string) func(x *edge.Exchange) {
	return func(x *edge.Exchange) { x.Path = []byte(text) }
}

// await blocks until something that goroutines do is done.
func await(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}
