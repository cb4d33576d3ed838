package h1

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/edge/route"
)

// rig is a front for tests: a listening socket whose connections the protocol serves in two loops.
type rig struct {
	client.Listener
	app    *app
	p      *Protocol
	lane   atomic.Uint32
	loops  *poll.Loops
	socket *poll.Listener
}

// newRig returns a rig whose requests a serves.
func newRig(t *testing.T, a *app, set *client.Settings) *rig {
	t.Helper()
	r := &rig{app: a, p: New(&a.Current, lanes.NewGauge())}
	var err error
	if r.loops, err = poll.Start(2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.loops.Close)
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if r.socket, err = r.loops.Listen(nl, false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.socket.Close() })
	set.Name, set.MaxHead = "test", cmp.Or(set.MaxHead, 8<<10)
	set.HeadBuffer = max(set.HeadBuffer, set.MaxHead, readBuffer)
	set.MaxBody = cmp.Or(set.MaxBody, 1<<40)
	set.HeaderTimeout = cmp.Or(set.HeaderTimeout, time.Hour)
	set.IdleTimeout = cmp.Or(set.IdleTimeout, time.Hour)
	set.Underscored, set.Alike = lanes.NewCounter(), lanes.NewCounter()
	r.Group = &client.Group{Evicted: lanes.NewCounter()}
	r.Settings.Store(set)
	return r
}

// dial connects to the listener.
func (r *rig) dial(t *testing.T) net.Conn {
	t.Helper()
	far, err := net.Dial("tcp", r.socket.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return far
}

// held is the front's half of a connection.
type held struct {
	client.Conn
	*conn
	ended chan struct{} // closed when the connection has ended
}

func (h *held) Closed() { close(h.ended) }

// hold makes an accepted connection one of the protocol. Without await only the test serves it.
func (r *rig) hold(a poll.Accepted, await bool) (*held, error) {
	h := &held{ended: make(chan struct{})}
	h.Listener, h.Owner, h.Net = &r.Listener, h, &h.Conn.Socket
	h.Peer, h.Lane = client.AddressOf(a.Remote), r.lane.Add(1)
	h.Conn.Begin(false)
	h.conn = r.p.Open(&h.Conn).(*conn)
	if err := r.loops.Hold(&h.Conn.Socket, a, h.conn); err != nil {
		return nil, err
	}
	return h, h.Conn.Socket.Begin(await)
}

// accept takes in a connection.
func (r *rig) accept(t *testing.T, await bool) *held {
	t.Helper()
	a, err := r.socket.Accept()
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.hold(a, await)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ringer is a socket whose loop calls a function when something has come.
type ringer struct {
	poll.Socket
	do func()
}

func (r *ringer) Ready()   { r.do() }
func (r *ringer) Expired() {}
func (r *ringer) Hangup()  {}

// inLoop has a loop call do.
func (r *rig) inLoop(t *testing.T, on *poll.Loop, do func()) {
	t.Helper()
	for {
		far := r.dial(t)
		a, err := r.socket.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s := &ringer{do: do}
		if err := r.loops.Hold(&s.Socket, a, s); err != nil {
			t.Fatal(err)
		}
		if s.Loop() != on {
			s.Close()
			continue
		}
		t.Cleanup(func() { s.Close() })
		if err := s.Begin(true); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		return
	}
}

// serve takes in connections until the test ends, and waits then until all have ended.
func (r *rig) serve(t *testing.T) {
	var all []*held
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			a, err := r.socket.Accept()
			if err != nil {
				return
			}
			h, err := r.hold(a, true)
			if err != nil {
				t.Error(err)
				return
			}
			all = append(all, h)
		}
	}()
	t.Cleanup(func() {
		r.socket.Close()
		<-done
		for _, h := range all {
			h.Conn.Socket.Shutdown()
			h.Cut()
		}
		for _, h := range all {
			<-h.ended
		}
		if n := r.app.Load().Pins(); n != 0 {
			t.Errorf("%d requests still hold the generation", n)
		}
	})
}

// filter is a function as a filter.
type filter func(x *edge.Exchange) edge.Verdict

func (f filter) Run(x *edge.Exchange) edge.Verdict { return f(x) }

// peer is a function as an upstream with one peer; nil echoes.
type peer func(x *edge.Exchange) *edge.Fault

func (p peer) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) { return p, nil }
func (p peer) Release(*edge.Exchange, *edge.Fault)          {}
func (p peer) RoundTrip(x *edge.Exchange) *edge.Fault       { return p(x) }

// entry is what the log has of a request.
type entry struct {
	path    string
	status  int
	code    string // of its fault
	in, out int64
}

// app is a generation whose routes lead to one upstream.
type app struct {
	edge.Current
	log chan entry
}

// newApp returns an app whose requests meet early, unless it is nil, and then up, which may be nil.
func newApp(t *testing.T, early filter, up edge.Upstream) *app {
	t.Helper()
	a := &app{log: make(chan entry, 10_000)}
	plan := &edge.Plan{Name: "all", Upstream: up}
	table, errs := route.NewTable([]route.Rule{{Name: "all", Prefix: "/"}})
	if errs != nil {
		t.Fatal(errs)
	}
	g := edge.NewGeneration(1, func() {})
	g.Routes, g.Plans, g.Nowhere = table, []*edge.Plan{plan}, &edge.Plan{Name: "none"}
	for _, p := range []*edge.Plan{plan, g.Nowhere} {
		(&edge.RouteSetup{Plan: p}).Add(edge.Log, filter(a.end))
	}
	if early != nil {
		g.Early = []edge.Filter{early}
	}
	a.Swap(g)
	return a
}

func (a *app) end(x *edge.Exchange) edge.Verdict {
	e := entry{path: string(x.Path), status: x.Status(), in: x.InBytes, out: x.OutBytes}
	if x.Fault != nil {
		e.code = x.Fault.Code
	}
	a.log <- e
	return edge.Next
}

// answer answers x with a body.
func answer(x *edge.Exchange, status int, body string) *edge.Fault {
	x.SetHead(status, nil, nil)
	x.Out, x.OutLen = nil, int64(len(body))
	if body != "" {
		x.Out = edge.NewBytesBody([]byte(body))
	}
	return nil
}

// echo answers with the method, the path and the body of the request.
func echo(x *edge.Exchange) *edge.Fault {
	var body []byte
	if x.In != nil {
		b, err := io.ReadAll(x.In)
		if f := (*edge.Fault)(nil); errors.As(err, &f) {
			return f
		}
		body = b
	}
	return answer(x, 200, fmt.Sprintf("%s %s %s", x.Method, x.Path, body))
}

// reply is an answer as a client has read it.
type reply struct {
	status int
	header http.Header
	body   string
	close  bool // Connection: close
}

// talker is a client.
type talker struct {
	*net.TCPConn
	t  *testing.T
	in *bufio.Reader
}

// talk connects a client. What it waits for must come within a minute.
func (r *rig) talk(t *testing.T) *talker {
	t.Helper()
	nc := r.dial(t).(*net.TCPConn)
	_ = nc.SetDeadline(time.Now().Add(time.Minute))
	return &talker{nc, t, bufio.NewReader(nc)}
}

func (c *talker) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatalf("cannot send %.80q: %v", s, err)
	}
}

// get reads the answer to a request with the method, interim ones too.
func (c *talker) get(method string) reply {
	c.t.Helper()
	r, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatalf("no whole answer: %v", err)
	}
	return reply{r.StatusCode, r.Header, string(b), r.Close}
}

// gone checks that the connection ends and nothing comes before.
func (c *talker) gone() {
	c.t.Helper()
	b, err := io.ReadAll(c.in)
	if len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("%q and %v, want the end of the connection", b, err)
	}
}

// until waits for something that another goroutine brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}
