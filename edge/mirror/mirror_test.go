package mirror

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/pool"
)

// origin is an upstream, and its own peer.
type origin struct {
	pick    func() *edge.Fault                 // nil: picked
	answer  func(x *edge.Exchange) *edge.Fault // nil: 200 without a body
	mu      sync.Mutex
	seen    []string // head and body of each request, guarded by mu
	faults  []*edge.Fault
	arrived chan string // each request, when it has been released
}

func newOrigin() *origin { return &origin{arrived: make(chan string, 10000)} }

func (o *origin) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) {
	if o.pick != nil {
		if f := o.pick(); f != nil {
			return nil, f
		}
	}
	return o, nil
}

func (o *origin) RoundTrip(x *edge.Exchange) *edge.Fault {
	text := string(x.AppendHead(nil, "origin")) + "\r\n" + strconv.FormatInt(x.InLen, 10) + ":"
	if x.In != nil {
		body, err := io.ReadAll(x.In)
		x.InBytes = int64(len(body))
		text += string(body)
		var f *edge.Fault
		if errors.As(err, &f) {
			return f
		}
	}
	o.mu.Lock()
	o.seen = append(o.seen, text)
	o.mu.Unlock()
	x.SetStatus(200)
	if o.answer != nil {
		return o.answer(x)
	}
	return nil
}

func (o *origin) Release(_ *edge.Exchange, f *edge.Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, f)
	last := ""
	if n := len(o.seen); n > 0 {
		last = o.seen[n-1]
	}
	o.arrived <- last
}

func (o *origin) released() []*edge.Fault {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]*edge.Fault(nil), o.faults...)
}

// bench is a gateway with one route from app, mirrored to shadow.
type bench struct {
	t           testing.TB
	app, shadow *origin
	built       *live.Built
	instance    *edge.Instance
	registry    *metric.Registry
	gen         *edge.Generation
}

func newBench(t testing.TB, keys string) *bench {
	t.Helper()
	b := &bench{t: t, app: newOrigin(), shadow: newOrigin(), registry: metric.NewRegistry()}
	var err error
	b.built, err = b.check(keys)
	if err != nil {
		t.Fatal(err)
	}
	b.gen = edge.NewGeneration(1, func() {})
	b.gen.Routes, b.gen.Plans, b.gen.Nowhere = b.built.Routes, b.built.Plans, b.built.Nowhere
	b.gen.Early, b.gen.Slots = b.built.Early, b.built.Slots
	return b
}

func (b *bench) check(keys string) (*live.Built, error) {
	pools := edge.Feature{Name: "pools", Answers: []string{"pool"}, New: func(h *edge.Host) *edge.Instance {
		h.Metrics = b.registry.Scope()
		h.Offer("app", b.app)
		h.Offer("shadow", b.shadow)
		return &edge.Instance{Route: func(r *edge.RouteSetup) {
			if !r.Unrouted {
				r.Answers("pool")
				r.Plan.Upstream = b.app
			}
		}}
	}}
	ours := edge.Feature{Name: "mirror", New: func(h *edge.Host) *edge.Instance {
		b.instance = build(h)
		return b.instance
	}}
	text := "[[listener]]\naddress = \":8080\"\n[[route]]\nname = \"r\"\nprefix = \"/\"\npool = \"app\"\n" + keys
	return live.Check("test.toml", []byte(text), []edge.Feature{pools, ours})
}

// Send implements edge.Sender.
func (b *bench) Send(x *edge.Exchange, _ bool) (edge.Outcome, *edge.Fault) {
	if x.Out != nil {
		_, _ = io.Copy(io.Discard, x.Out)
	}
	return edge.Ended, nil
}

// serve sends one request through the flow and returns its status.
func (b *bench) serve(body edge.Body, length int64, edit ...func(*edge.Exchange)) int {
	b.t.Helper()
	x := new(edge.Exchange)
	x.Req.SetLines([]byte("Host: h\r\nX-Forwarded-For: 192.0.2.1\r\nCookie: b=\"2\"; a=1\r\n"), nil)
	x.Method, x.Path, x.Query, x.HasQuery = []byte("POST"), []byte("/search"), []byte("q=1"), true
	x.Host, x.Authority = []byte("h"), []byte("H:80")
	x.Peer, x.RequestID, x.Conn = netip.MustParseAddr("192.0.2.1"), []byte("id"), edge.Discard{}
	x.In, x.InLen, x.InMax = body, length, 1<<30
	for _, f := range edit {
		f(x)
	}
	edge.Serve(b.gen, x, b, true)
	return x.Status()
}

// counts returns the outcomes, in their order.
func (b *bench) counts() string {
	var parts []string
	for _, c := range b.mirror().outcomes {
		parts = append(parts, strconv.FormatUint(c.Sum(), 10))
	}
	return strings.Join(parts, " ")
}

func (b *bench) mirror() *mirror { return b.built.Plans[0].Filters(edge.Admit)[0].(*mirror) }

// stop ends the workers; after it all outcomes are counted.
func (b *bench) stop() { b.instance.Close() }

// stream is a body that comes in pieces and is in memory nowhere.
type stream struct {
	edge.Opaque
	pieces  []string
	err     error // instead of io.EOF
	closed  int
	trailer []byte
}

func (s *stream) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}
func (s *stream) Close() error    { s.closed++; return nil }
func (s *stream) Trailer() []byte { return s.trailer }

const all = `mirror = { pool = "shadow", max_body_bytes = "10B" }`

func TestCopy(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f := func(body edge.Body, length int64, want string) {
		t.Helper()
		b := newBench(t, all)
		b.instance.Start()
		if status := b.serve(body, length); status != 200 {
			t.Fatalf("status %d", status)
		}
		got := <-b.shadow.arrived
		b.stop()
		head, sent, _ := strings.Cut(got, "\r\n\r\n")
		if sent != want {
			t.Errorf("body %q, want %q", sent, want)
		}
		const wantHead = "POST /search?q=1 HTTP/1.1\r\nHost: origin\r\nX-Forwarded-For: 192.0.2.1\r\n" +
			"Cookie: b=\"2\"; a=1\r\nX-Penstock-Mirror: 1"
		if head != wantHead {
			t.Errorf("head %q", head)
		}
		if b.counts() != "1 0 0 0 0" {
			t.Errorf("counts %s", b.counts())
		}
		if strings.Contains(b.app.seen[0], "Mirror") || !strings.HasSuffix(b.app.seen[0], ":"+want[strings.Index(want, ":")+1:]) {
			t.Errorf("the request itself has changed: %q", b.app.seen[0])
		}
	}
	f(nil, 0, "0:")
	f(edge.NewBytesBody([]byte("0123456789")), 10, "10:0123456789")
	f(&stream{pieces: []string{"01234", "56789"}}, 10, "10:0123456789")
	f(&stream{pieces: []string{"01234", "56789"}}, -1, "10:0123456789")
	f(&stream{pieces: nil}, -1, "0:")
}

func TestNotCopied(t *testing.T) {
	f := func(keys string, body edge.Body, length int64, want string, edit ...func(*edge.Exchange)) {
		t.Helper()
		b := newBench(t, keys)
		b.instance.Start()
		b.serve(body, length, edit...)
		b.stop()
		if len(b.shadow.seen) != 0 || b.counts() != want {
			t.Errorf("%d arrived, counts %s, want %s", len(b.shadow.seen), b.counts(), want)
		}
		if s, ok := body.(*stream); ok && s.closed != 1 {
			t.Errorf("the body was closed %d times", s.closed)
		}
	}
	f(all, edge.NewBytesBody([]byte("0123456789a")), 11, "0 0 0 1 0")
	f(all, &stream{pieces: []string{"0123456789a"}}, 11, "0 0 0 1 0")
	f(all, &stream{pieces: []string{"01234", "56789", "a"}}, -1, "0 0 0 1 0")
	f(all, &stream{pieces: []string{"01234"}, err: edge.ClientGone}, -1, "0 0 0 0 1")
	f(all, &stream{pieces: []string{"01234"}, err: edge.ClientGone}, 10, "0 0 0 0 1")
	f(all, nil, 0, "0 0 0 0 0", func(x *edge.Exchange) { x.Upgrade = []byte("websocket") })
	f(all, nil, 0, "0 0 0 0 0", func(x *edge.Exchange) { x.Conn = hasLeft{} })
	f(`mirror = { pool = "shadow", percent = 0 }`, nil, 0, "0 0 0 0 0")
}

// hasLeft is a client that waited for something before, and has left meanwhile.
type hasLeft struct{ edge.Discard }

func (hasLeft) Gone() bool { return true }

// A body that nobody reads is given up when the exchange ends.
func TestUnread(t *testing.T) {
	b := newBench(t, all)
	b.app.pick = func() *edge.Fault { return edge.NoUpstream }
	if status := b.serve(&stream{pieces: []string{"x"}}, -1); status != 503 || b.counts() != "0 0 0 0 1" {
		t.Errorf("status %d, counts %s", status, b.counts())
	}
	b.stop()
}

func TestPercent(t *testing.T) {
	b := newBench(t, `mirror = { pool = "shadow", percent = 10, max_waiting = 5000 }`)
	for range 5000 {
		b.serve(nil, 0)
	}
	if n := len(b.mirror().queue); n < 380 || n > 620 { // more than five standard deviations
		t.Errorf("%d of 5000 were copied, want about 500", n)
	}
	b.stop()
}

func TestFullQueue(t *testing.T) {
	b := newBench(t, `mirror = { pool = "shadow", max_waiting = 2 }`)
	for range 5 {
		b.serve(nil, 0)
	}
	late := &stream{pieces: []string{"x"}} // the queue fills while its body is being read
	d := <-b.mirror().queue
	b.serve(late, -1, func(*edge.Exchange) {
		b.app.answer = func(*edge.Exchange) *edge.Fault { return nil }
		b.app.pick = func() *edge.Fault { b.mirror().enqueue(d); return nil }
	})
	if got := b.counts(); got != "0 0 4 0 0" {
		t.Errorf("counts %s", got)
	}
	b.stop()
	if got := b.counts(); got != "0 0 6 0 0" {
		t.Errorf("after the end: %s", got)
	}
}

// The request does not wait for the copy, and the end does.
func TestSlowShadow(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	b := newBench(t, `mirror = { pool = "shadow", max_in_flight = 2 }`)
	entered, leave := make(chan bool), make(chan bool)
	b.shadow.answer = func(*edge.Exchange) *edge.Fault {
		entered <- true
		<-leave
		return nil
	}
	b.instance.Start()
	for range 3 {
		if status := b.serve(nil, 0); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
	<-entered
	<-entered
	if s := b.instance.Status().([]Status)[0]; s != (Status{"r", "shadow", 2, 1}) {
		t.Errorf("%+v", s)
	}
	ended := make(chan bool)
	go func() {
		b.stop()
		close(ended)
	}()
	<-b.mirror().stop
	select {
	case <-ended:
		t.Error("the end did not wait for the copies under way")
	default:
	}
	leave <- true
	leave <- true
	for {
		select {
		case <-entered: // a worker may have taken up the third before it saw the end
			leave <- true
			continue
		case <-ended:
		}
		break
	}
	if got := b.counts(); got != "2 0 1 0 0" && got != "3 0 0 0 0" {
		t.Errorf("counts %s", got)
	}
}

func TestFailures(t *testing.T) {
	f := func(prepare func(o *origin), want string, releases ...*edge.Fault) {
		t.Helper()
		b := newBench(t, all)
		prepare(b.shadow)
		b.instance.Start()
		b.serve(nil, 0)
		for b.counts() == "0 0 0 0 0" || b.mirror().busy.Load() > 0 {
			runtime.Gosched() // poll: the outcome is counted after the release
		}
		b.stop()
		if b.counts() != want {
			t.Errorf("counts %s, want %s", b.counts(), want)
		}
		got := b.shadow.released()
		if len(got) != len(releases) {
			t.Fatalf("released %v, want %v", got, releases)
		}
		for i := range got {
			if got[i] != releases[i] {
				t.Errorf("release %d: %v, want %v", i, got[i], releases[i])
			}
		}
	}
	answer := func(fault *edge.Fault) func(*origin) {
		return func(o *origin) { o.answer = func(*edge.Exchange) *edge.Fault { return fault } }
	}
	body := func(in edge.Body) func(*origin) {
		return func(o *origin) {
			o.answer = func(x *edge.Exchange) *edge.Fault {
				x.Out = in
				return nil
			}
		}
	}
	f(func(o *origin) { o.pick = func() *edge.Fault { return edge.NoUpstream } }, "0 1 0 0 0")
	f(answer(edge.UpstreamTimeout), "0 1 0 0 0", edge.UpstreamTimeout)
	f(answer(edge.UpstreamStale), "0 1 0 0 0", edge.UpstreamStale, edge.UpstreamStale)
	f(func(o *origin) {
		o.answer = func(x *edge.Exchange) *edge.Fault {
			if !x.Fresh {
				return edge.UpstreamStale
			}
			return nil
		}
	}, "1 0 0 0 0", edge.UpstreamStale, nil)
	f(body(&stream{pieces: []string{"a", "b"}}), "1 0 0 0 0", nil)
	f(body(&stream{pieces: []string{"a"}, err: edge.UpstreamTruncated}), "0 1 0 0 0", edge.UpstreamTruncated)
	f(body(&stream{err: io.ErrUnexpectedEOF}), "0 1 0 0 0", edge.UpstreamTruncated)
	f(func(o *origin) { o.answer = func(*edge.Exchange) *edge.Fault { panic("shadow") } }, "0 1 0 0 0", edge.Internal)
}

// Of an endless answer a bounded part is read.
func TestEndlessAnswer(t *testing.T) {
	e := &endless{}
	if f := discard(e, make([]byte, 4096)); f != nil || e.n != maxAnswer {
		t.Errorf("%v after %d bytes", f, e.n)
	}
}

type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	e.n += len(p)
	return len(p), nil
}

func TestMistakes(t *testing.T) {
	f := func(keys, want string) {
		t.Helper()
		b := &bench{app: newOrigin(), shadow: newOrigin(), registry: metric.NewRegistry()}
		_, err := b.check(keys)
		if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", keys, err, want)
		}
	}
	f(`mirror = { pool = "shadw" }`, `no pool named "shadw" (did you mean "shadow"?)`)
	f(`mirror = {}`, "mirror.pool: is required")
	f(`mirror = { pool = "app", percent = 101 }`, "must be between 0 and 100")
	f(`mirror = { pool = "app", max_body_bytes = "1GiB" }`, "must be at most 16MiB")
	f(`mirror = { pool = "app", timeout = "0s" }`, "must be between 10ms and 5m")
	f(`mirror = { pool = "app", percnt = 1 }`, `unknown key (did you mean "percent"?)`)
}

func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../configs/mirror.toml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil || !bytes.Contains(readme, text) {
		t.Errorf("README.md does not show the example (%v)", err)
	}
	b, err := live.Check("mirror.toml", text, []edge.Feature{pool.Feature, Feature})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m := b.Plans[0].Filters(edge.Admit)[0].(*mirror)
	if m.maxBody != 64<<10 || m.below != 1844674407370955161 && m.below>>40 != 1844674407370955161>>40 {
		t.Errorf("%+v", m)
	}
	if len(b.Nowhere.Filters(edge.Admit))+len(b.Nowhere.Filters(edge.Log)) != 0 {
		t.Error("requests without a route are not mirrored")
	}
}

// TestMetrics: copies that wait at the end count as dropped.
func TestMetrics(t *testing.T) {
	b := newBench(t, all)
	b.serve(nil, 0)
	b.stop()
	var out bytes.Buffer
	if err := b.registry.Write(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `penstock_mirror_requests_total{outcome="dropped",pool="shadow",route="r"} 1`) {
		t.Error(out.String())
	}
}
