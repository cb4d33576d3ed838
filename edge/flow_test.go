package edge

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/route"
)

// house is a generation with one route "/" whose filters and upstream a test chooses.
type house struct {
	t     *testing.T
	g     *Generation
	plan  *Plan
	told  []string // what happened, in order
	front testFront
}

// testFront sends nowhere and remembers what it was given.
type testFront struct {
	status int
	body   string
	fault  *Fault // what Send returns
	panics bool
	quick  bool // it need not wait
}

func (f *testFront) Send(x *Exchange, wait bool) (Outcome, *Fault) {
	if !wait && !f.quick {
		return Blocked, nil
	}
	if f.panics {
		panic("while sending")
	}
	f.status = x.Status()
	if x.Out != nil {
		b, _ := io.ReadAll(x.Out) // the bodies of these tests do not fail
		f.body = string(b)
	}
	return Ended, f.fault
}

// client is a connection that never goes.
type client struct{}

func (client) Gone() bool { return false }
func (client) Abort()     {}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, plan: &Plan{Name: "all"}}
	h.g = NewGeneration(1, func() {})
	table, errs := route.NewTable([]route.Rule{{Name: "all", Prefix: "/", Methods: []string{"GET", "POST"}}})
	if errs != nil {
		t.Fatal(errs)
	}
	h.g.Routes, h.g.Plans, h.g.Nowhere = table, []*Plan{h.plan}, &Plan{Name: "none"}
	for _, p := range []*Plan{h.plan, h.g.Nowhere} {
		(&RouteSetup{Plan: p}).Add(Log, step{h, "log", Next, nil})
		(&RouteSetup{Plan: p}).Add(Respond, step{h, "respond", Next, nil})
	}
	return h
}

func (h *house) add(p Phase, name string, v Verdict, do func(*Exchange)) {
	(&RouteSetup{Plan: h.plan}).Add(p, step{h, name, v, do})
}

func (h *house) serve(method string) *Exchange {
	x := &Exchange{}
	x.Reset()
	x.Conn = client{}
	x.Method, x.Path, x.RequestID = []byte(method), []byte("/x"), []byte("id-1")
	if Serve(h.g, x, &h.front, false) == Blocked { // as in a loop
		Resume(x, &h.front, true)
	}
	return x
}

func (h *house) expect(want ...string) {
	h.t.Helper()
	if got := strings.Join(h.told, " "); got != strings.Join(want, " ") {
		h.t.Fatalf("happened: %s\nwanted:   %s", got, strings.Join(want, " "))
	}
}

// step is a filter that records that it ran.
type step struct {
	h    *house
	name string
	v    Verdict
	do   func(*Exchange)
}

func (s step) Run(x *Exchange) Verdict {
	s.h.told = append(s.h.told, s.name)
	if s.do != nil {
		s.do(x)
	}
	return s.v
}

// upstream answers attempts from a list of faults; nil is success.
type upstream struct {
	h      *house
	faults []*Fault
	pick   *Fault
}

func (u *upstream) Pick(*Exchange) (Peer, *Fault) {
	u.h.told = append(u.h.told, "pick")
	return u, u.pick
}

func (u *upstream) RoundTrip(x *Exchange) *Fault {
	u.h.told = append(u.h.told, "try")
	f := u.faults[0]
	u.faults = u.faults[1:]
	if f == nil {
		x.SetStatus(200)
		x.Out = NewBytesBody([]byte("from the upstream"))
	}
	return f
}

func (u *upstream) Release(_ *Exchange, f *Fault) {
	name := "release"
	if f != nil {
		name += ":" + f.Code
	}
	u.h.told = append(u.h.told, name)
}

func TestServeInOrder(t *testing.T) {
	h := newHouse(t)
	h.g.Early = []Filter{step{h, "early", Next, nil}}
	for _, p := range []Phase{Access, Rewrite, Lookup, Admit, Receive, Respond, Log} {
		h.add(p, p.String()+"2", Next, nil)
	}
	h.plan.Upstream = &upstream{h: h, faults: []*Fault{nil}}
	h.serve("GET")
	h.expect("early", "access2", "rewrite2", "lookup2", "admit2", "pick", "try", "receive2",
		"respond2", "respond", "release", "log2", "log")
	if h.front.status != 200 || h.front.body != "from the upstream" {
		t.Fatalf("sent %d %q", h.front.status, h.front.body)
	}
}

func TestServeAnsweredByAFilter(t *testing.T) {
	h := newHouse(t)
	h.add(Access, "access", Answered, func(x *Exchange) { x.Answer(403, "text/plain", []byte("no")) })
	h.add(Rewrite, "rewrite", Next, nil)
	x := h.serve("GET")
	h.expect("access", "respond", "log")
	if h.front.status != 403 || h.front.body != "no" || !x.Local {
		t.Fatalf("sent %d %q", h.front.status, h.front.body)
	}
}

func TestServeDrops(t *testing.T) {
	h := newHouse(t)
	h.add(Access, "access", Drop, nil)
	x := h.serve("GET")
	h.expect("access", "log")
	if h.front.status != 0 || !x.Close {
		t.Fatalf("status %d was sent, close %v", h.front.status, x.Close)
	}
}

func TestServeWithoutRoute(t *testing.T) {
	h := newHouse(t)
	x := h.serve("PUT")
	h.expect("respond", "log")
	if h.front.status != 405 || string(x.Resp.Get("Allow")) == "" || x.Plan != h.g.Nowhere {
		t.Fatalf("status %d, Allow %q", h.front.status, x.Resp.Get("Allow"))
	}
}

func TestServeRefusedHead(t *testing.T) {
	h := newHouse(t)
	h.g.Early = []Filter{step{h, "early", Next, nil}}
	x := &Exchange{}
	x.Reset()
	x.Conn = client{}
	x.Fault = x.Refuse(400, SideClient, "bad_request", "why")
	Serve(h.g, x, &h.front, true)
	h.expect("early", "respond", "log")
	if h.front.status != 400 || !strings.Contains(h.front.body, `"code":"bad_request"`) {
		t.Fatalf("sent %d %q", h.front.status, h.front.body)
	}
}

func TestAttempts(t *testing.T) {
	method := "GET"
	f := func(name string, u upstream, spoil func(*Exchange), status int, want ...string) {
		t.Helper()
		h := newHouse(t)
		u.h = h
		h.plan.Upstream = &u
		if spoil != nil {
			h.add(Admit, "admit", Next, spoil)
			want = append([]string{"admit"}, want...)
		}
		h.serve(method)
		h.expect(want...)
		if h.front.status != status {
			t.Fatalf("%s: status %d, want %d", name, h.front.status, status)
		}
	}
	stale, reset := UpstreamStale, UpstreamReset
	f("nobody", upstream{pick: NoUpstream}, nil, 503, "pick", "respond", "log")
	f("a stale connection is replaced", upstream{faults: []*Fault{stale, nil}}, nil, 200,
		"pick", "try", "release:upstream_reset", "pick", "try", "respond", "release", "log")
	f("but only once", upstream{faults: []*Fault{stale, stale}}, nil, 502,
		"pick", "try", "release:upstream_reset", "pick", "try", "release:upstream_reset", "respond", "log")
	f("a fresh connection that died is not", upstream{faults: []*Fault{reset}}, nil, 502,
		"pick", "try", "release:upstream_reset", "respond", "log")
	f("nor is a body that is half gone sent again", upstream{faults: []*Fault{stale}}, func(x *Exchange) {
		x.In, x.InBytes = ReaderBody{R: strings.NewReader("rest")}, 3
	}, 502, "pick", "try", "release:upstream_reset", "respond", "log")
	f("a body nobody has read is", upstream{faults: []*Fault{stale, nil}}, func(x *Exchange) {
		x.In = ReaderBody{R: strings.NewReader("all")}
	}, 200, "pick", "try", "release:upstream_reset", "pick", "try", "respond", "release", "log")
	method = "POST"
	f("a POST that may have been seen is not", upstream{faults: []*Fault{stale}}, nil, 502,
		"pick", "try", "release:upstream_reset", "respond", "log")
	f("unless its client says that it may", upstream{faults: []*Fault{stale, nil}}, func(x *Exchange) {
		x.Req.Set("Idempotency-Key", "7")
	}, 200, "pick", "try", "release:upstream_reset", "pick", "try", "respond", "release", "log")
	f("a POST that was not sent is", upstream{faults: []*Fault{UpstreamUnsent, nil}}, nil, 200,
		"pick", "try", "release:upstream_reset", "pick", "try", "respond", "release", "log")
}

func TestRescue(t *testing.T) {
	h := newHouse(t)
	h.plan.Upstream = &upstream{h: h, pick: NoUpstream}
	h.add(Rescue, "rescue", Answered, func(x *Exchange) { x.Answer(200, "text/plain", []byte("stale")) })
	x := h.serve("GET")
	h.expect("pick", "rescue", "respond", "log")
	if h.front.status != 200 || h.front.body != "stale" || x.Fault != NoUpstream {
		t.Fatalf("sent %d %q, fault %v", h.front.status, h.front.body, x.Fault)
	}
}

func TestPanics(t *testing.T) {
	f := func(p Phase, front bool, want ...string) {
		t.Helper()
		h := newHouse(t)
		h.plan.Upstream = &upstream{h: h, faults: []*Fault{nil}}
		h.front.panics = front
		if p != phases {
			h.add(p, "bad", Next, func(*Exchange) { panic("bad filter") })
		}
		x := h.serve("GET")
		h.expect(want...)
		if !front && p != Log && (h.front.status != 500 || !strings.Contains(h.front.body, `"code":"internal"`)) {
			t.Fatalf("%s: sent %d %q", p, h.front.status, h.front.body)
		}
		if strings.Contains(h.front.body, "bad filter") {
			t.Fatalf("%s: the answer shows the panic", p)
		}
		if !x.Close {
			t.Fatalf("%s: the connection goes on", p)
		}
	}
	f(Access, false, "bad", "respond", "log")
	f(Receive, false, "pick", "try", "bad", "release:internal", "respond", "log")
	f(Respond, false, "pick", "try", "bad", "release:internal", "log")
	f(Log, false, "pick", "try", "respond", "release", "bad")
	f(phases, true, "pick", "try", "respond", "release:internal", "log")
}

func TestCutAnswerReachesLogAndPeer(t *testing.T) {
	h := newHouse(t)
	h.plan.Upstream = &upstream{h: h, faults: []*Fault{nil}}
	h.front.fault = UpstreamTruncated
	x := h.serve("GET")
	h.expect("pick", "try", "respond", "release:upstream_truncated", "log")
	if x.Fault != UpstreamTruncated || !x.Close {
		t.Fatalf("fault %v, close %v", x.Fault, x.Close)
	}
}

func TestProblemForms(t *testing.T) {
	f := func(accept, contentType, holds string) {
		t.Helper()
		h := newHouse(t)
		x := &Exchange{}
		x.Reset()
		x.Conn = client{}
		x.RequestID = []byte(`a<b"`)
		if accept != "" {
			x.Req.Set("Accept", accept)
		}
		x.Fault = NoUpstream
		Serve(h.g, x, &h.front, true)
		if got := string(x.Resp.Get("Content-Type")); got != contentType {
			t.Fatalf("Accept %q: %q, want %q", accept, got, contentType)
		}
		if !strings.Contains(h.front.body, holds) || string(x.Resp.Get("Retry-After")) != "1" {
			t.Fatalf("Accept %q: body %q", accept, h.front.body)
		}
	}
	const json, html, text = "application/problem+json", "text/html; charset=utf-8", "text/plain; charset=utf-8"
	f("", json, `"instance":"a<b\""`)
	f("*/*", json, `"status":503`)
	f("application/json", json, `"code":"no_upstream"`)
	f("text/html,application/xhtml+xml", html, "a&lt;b&#34;")
	f("application/json, text/html", json, `"title":"Service Unavailable"`)
	f("text/plain", text, "code: no_upstream")
}

func TestGenerationClosesAfterItsLastPin(t *testing.T) {
	var c Current
	closed := 0
	a, b := NewGeneration(1, func() { closed++ }), NewGeneration(2, func() {})
	if c.Pin(0) != nil {
		t.Fatal("a pin before the first generation")
	}
	c.Swap(a)
	one, two := c.Pin(3), c.Pin(4)
	c.Swap(b)
	if one != a || two != a || closed != 0 || a.Pins() != 2 {
		t.Fatalf("closed %d times with %d pins", closed, a.Pins())
	}
	one.Unpin(3)
	if closed != 0 {
		t.Fatal("closed under a pin")
	}
	two.Unpin(4)
	two2 := c.Pin(4)
	if closed != 1 || two2 != b {
		t.Fatalf("closed %d times", closed)
	}
	two2.Unpin(4)
}

func TestKeepCountsHolders(t *testing.T) {
	k := NewKeeper()
	made, dropped := 0, 0
	hold := func() *Holder {
		h := k.Hold()
		v, err := Keep(h, "x", func() (int, error) { made++; return made, nil }, func(int) { dropped++ })
		if v != 1 || err != nil {
			t.Fatalf("value %d, error %v", v, err)
		}
		return h
	}
	a, b := hold(), hold()
	a.Release()
	if made != 1 || dropped != 0 {
		t.Fatalf("made %d, dropped %d", made, dropped)
	}
	b.Release()
	if dropped != 1 {
		t.Fatal("the last holder let go and nothing was dropped")
	}
	c := k.Hold()
	if _, err := Keep(c, "x", func() (int, error) { return 0, errors.New("no") }, nil); err == nil {
		t.Fatal("a failed create was kept")
	}
	c.Release()
}
