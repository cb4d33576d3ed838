package h1

import (
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/config/clienttls"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/poll"
	"github.com/penstock-edge/penstock/pool/transport"
)

// resumed is a client in a loop whose exchange goes on in the test.
type resumed struct {
	stillThere
	loop *poll.Loop
	news chan bool
}

func (c *resumed) Loop() (*poll.Loop, bool) { return c.loop, false }
func (c *resumed) Resume(*poll.Loop)        { c.news <- true }
func (c *resumed) Watch(*poll.Socket)       {}

// receive receives until it does not have to wait.
func (c *resumed) receive(a *transport.Attempt) (edge.Outcome, *edge.Fault) {
	for {
		p, f := a.Starter.Receive(a.X)
		if p != edge.Pending {
			return p, f
		}
		<-c.news
	}
}

// looped returns a client whose loop ends with the test.
func looped(t testing.TB) *resumed {
	t.Helper()
	loops, err := poll.Start(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loops.Close)
	return &resumed{loop: loops.Pick(), news: make(chan bool, 1)}
}

func loopRequest(c *resumed) *edge.Exchange {
	x := request("GET")
	x.Conn, x.Loop = c, c
	x.Times.Policy = clock.Now()
	return x
}

// warm opens the connection of tg, since a loop does not.
func warm(t testing.TB, tg *Target, s *transport.Settings, c *resumed) {
	t.Helper()
	x := loopRequest(c)
	a := tg.Claim(x, s)
	a.X = x
	if f := a.Stream.RoundTrip(x); f != nil {
		t.Fatal(f, x.Cause)
	}
	if x.Out != nil {
		x.Out.Close()
	}
	a.Stream.Release(nil)
}

func TestLoop(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	tg, s, c := script(t, saying(answer, false)), settings(1), looped(t)
	warm(t, tg, s, c)
	for range 10 {
		x := loopRequest(c)
		a := tg.Claim(x, s)
		if a.Starter == nil {
			t.Fatal("an idle connection cannot be used in a loop")
		}
		a.X = x
		if !a.Starter.Start(x) {
			t.Fatal("the request was not sent")
		}
		p, f := c.receive(a)
		if p != edge.Ended || f != nil || a.Status != 200 {
			t.Fatalf("%d, %v, status %d", p, f, a.Status)
		}
		if b, ok := x.Out.Whole(); !ok || string(b) != "hello" {
			t.Errorf("the body is not there with the head: %q", b)
		}
		x.Out.Close()
		a.Stream.Release(nil)
	}
	if n := tg.Open(); n != 1 {
		t.Errorf("%d connections for one request at a time", n)
	}
}

// TestLoopDue: Receive returns when the moment has come that the pool wants to know of, and goes on after
// it.
func TestLoopDue(t *testing.T) {
	gate := make(chan bool)
	tg, s, c := gated(t, gate), settings(1), looped(t)
	warm(t, tg, s, c)
	x := loopRequest(c)
	a := tg.Claim(x, s)
	a.X, a.Due = x, clock.Now()+int64(5*time.Millisecond)
	if !a.Starter.Start(x) {
		t.Fatal("the request was not sent")
	}
	if p, f := c.receive(a); p != edge.Blocked || f != nil || clock.Now() < a.Due {
		t.Fatalf("before Due: %d, %v", p, f)
	}
	a.Due = 0
	gate <- true
	if p, f := c.receive(a); p != edge.Ended || f != nil {
		t.Fatalf("after Due: %d, %v", p, f)
	}
	a.Stream.Release(nil)
}

// TestLoopHandedOver: an attempt that a loop has begun goes on in a goroutine, for another exchange.
func TestLoopHandedOver(t *testing.T) {
	gate := make(chan bool)
	tg, s, c := gated(t, gate), settings(1), looped(t)
	warm(t, tg, s, c)
	x := loopRequest(c)
	a := tg.Claim(x, s)
	a.X, a.Due = x, clock.Now()
	if !a.Starter.Start(x) {
		t.Fatal("the request was not sent")
	}
	if p, _ := c.receive(a); p != edge.Blocked {
		t.Fatalf("%d", p)
	}
	y := loopRequest(c)
	a.X, a.Due = y, 0
	go func() { gate <- true }()
	if f := a.Stream.RoundTrip(y); f != nil || y.Status() != 200 || x.Times.Answer != 0 {
		t.Errorf("fault %v, status %d", f, y.Status())
	}
	a.Stream.Release(nil)
}

func TestLoopTimeout(t *testing.T) {
	gate := make(chan bool)
	tg, s, c := gated(t, gate), settings(1), looped(t)
	warm(t, tg, s, c)
	s.ResponseTimeout = time.Millisecond
	x := loopRequest(c)
	a := tg.Claim(x, s)
	a.X = x
	a.Starter.Start(x)
	if p, f := c.receive(a); p != edge.Ended || f != edge.UpstreamTimeout {
		t.Errorf("%d, %v", p, f)
	}
	a.Stream.Release(edge.UpstreamTimeout)
	if n := tg.Open(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
	close(gate)
}

// BenchmarkLoop is an exchange with a target on this machine, in a loop.
func BenchmarkLoop(b *testing.B) {
	tg, s, c := fast(b, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), settings(1), looped(b)
	warm(b, tg, s, c)
	x := loopRequest(c)
	b.ReportAllocs()
	for b.Loop() {
		a := tg.Claim(x, s)
		a.X = x
		a.Starter.Start(x)
		if _, f := c.receive(a); f != nil {
			b.Fatal(f)
		}
		x.Out.Close()
		x.Out = nil
		a.Stream.Release(nil)
	}
}

func clientTLS(t *testing.T) *clienttls.Settings {
	t.Helper()
	file := config.Parse("t.toml", []byte("[tls]\nenabled = true\ninsecure_skip_verify = true\n"), config.Options{})
	var s struct {
		TLS clienttls.Settings `toml:"tls"`
	}
	file.Root.Decode(&s)
	s.TLS.Load(file.Root.Child("tls"), "http/1.1")
	if !s.TLS.Enabled {
		t.Fatal(file.Finish())
	}
	return &s.TLS
}
