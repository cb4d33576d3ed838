package h1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/pool/transport"
)

// script is a target that serves each connection by a function, one call a connection.
func script(t testing.TB, serve func(c net.Conn, r *bufio.Reader)) *Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c, bufio.NewReader(c))
			}()
		}
	}()
	return targetAt(l.Addr().String())
}

// readHead returns the head of a request; "": the gateway has closed.
func readHead(r *bufio.Reader) string {
	head := ""
	for {
		line, err := r.ReadString('\n')
		if head += line; err != nil {
			return ""
		}
		if line == "\r\n" {
			return head
		}
	}
}

// saying answers each request without a body by the same bytes. If ends, the connection ends then.
func saying(answer string, ends bool) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		for readHead(r) != "" {
			_, _ = io.WriteString(c, answer)
			if ends {
				return
			}
		}
	}
}

func request(method string) *edge.Exchange {
	x := newExchange()
	x.Plan = &edge.Plan{}
	x.Method, x.OutPath, x.OutLen = []byte(method), []byte("/"), -1
	return x
}

// done is what has come of an exchange.
type done struct {
	f    *edge.Fault // of the attempt, or of the body
	body string
	kept bool
}

// do makes one attempt, reads its body and gives the connection back.
func do(t *testing.T, tg *Target, s *transport.Settings, x *edge.Exchange) (d done) {
	t.Helper()
	a := tg.Claim(x, s)
	if a == nil {
		t.Fatal("no place")
	}
	a.X, a.Host = x, "app.internal"
	d.f = a.Stream.RoundTrip(x)
	if d.f == nil && x.Out != nil {
		b, err := io.ReadAll(x.Out)
		d.body = string(b)
		if err != nil && !errors.As(err, &d.f) {
			t.Errorf("the body fails with %v", err)
		}
		x.Out.Close()
	}
	open := tg.Open()
	a.Stream.Release(d.f)
	d.kept = tg.Open() == open
	return d
}

func TestAnswers(t *testing.T) {
	f := func(name, method, answer string, ends bool, want string) {
		t.Helper()
		tg, s, x := script(t, saying(answer, ends)), settings(1), request(method)
		d := do(t, tg, s, x)
		got := fmt.Sprintf("%d %q kept %v", x.Status(), d.body, d.kept)
		if d.f != nil {
			got = d.f.Code + fmt.Sprintf(" kept %v", d.kept)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		tg.Retire(clock.Now())
		if n := tg.Open(); n != 0 {
			t.Errorf("%s: %d connections are left", name, n)
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	f("length", "GET", ok+"Content-Length: 5\r\n\r\nhello", false, `200 "hello" kept true`)
	f("no body", "GET", ok+"Content-Length: 0\r\n\r\n", false, `200 "" kept true`)
	f("204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, `204 "" kept true`)
	f("HEAD", "HEAD", ok+"Content-Length: 5\r\n\r\n", false, `200 "" kept true`)
	f("chunks", "GET", ok+"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n", false,
		`200 "hello" kept true`)
	f("until close", "GET", ok+"\r\nhello", true, `200 "hello" kept false`)
	f("close", "GET", ok+"Connection: close\r\nContent-Length: 5\r\n\r\nhello", true, `200 "hello" kept false`)
	f("HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, `200 "hello" kept false`)
	f("more than its length", "GET", ok+"Content-Length: 5\r\n\r\nhello?", false, `200 "hello" kept false`)
	f("bare LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", false, `200 "hello" kept false`)
	f("interim", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+ok+"Content-Length: 0\r\n\r\n", false,
		`200 "" kept true`)
	f("too many interims", "GET", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 17), false,
		"upstream_protocol kept false")
	f("a 101 unasked", "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", false,
		"upstream_upgrade kept false")
	f("short", "GET", ok+"Content-Length: 5\r\n\r\nhel", true, "upstream_truncated kept false")
	f("short chunks", "GET", ok+"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", true, "upstream_truncated kept false")
	f("broken chunks", "GET", ok+"Transfer-Encoding: chunked\r\n\r\nx\r\n", false, "upstream_protocol kept false")
	f("half a head", "GET", "HTTP/1.1 200 OK\r\nContent-", true, "upstream_truncated kept false")
	f("nothing", "GET", "", true, "upstream_reset kept false")
	f("no HTTP", "GET", "SSH-2.0-OpenSSH_9.9\r\n", false, "upstream_protocol kept false")
	f("two lengths", "GET", ok+"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", false, "upstream_protocol kept false")
	f("a giant head", "GET", ok+"A: "+strings.Repeat("a", 70<<10)+"\r\n\r\n", false, "upstream_protocol kept false")
	f("too many fields", "GET", ok+strings.Repeat("A: a\r\n", 129)+"\r\n", false, "upstream_protocol kept false")
}

func TestRequests(t *testing.T) {
	heads, bodies := make(chan string, 1), make(chan string, 1)
	tg := script(t, func(c net.Conn, r *bufio.Reader) {
		head := readHead(r)
		body := ""
		switch {
		case strings.Contains(head, "chunked"):
			for !strings.HasSuffix(body, "\r\n\r\n") {
				line, err := r.ReadString('\n')
				if body += line; err != nil {
					return
				}
			}
		case strings.Contains(head, "Content-Length: "):
			var n int
			_, rest, _ := strings.Cut(head, "Content-Length: ")
			_, _ = fmt.Sscan(rest, &n)
			b := make([]byte, n)
			if _, err := io.ReadFull(r, b); err != nil {
				return
			}
			body = string(b)
		}
		heads <- head
		bodies <- body
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	f := func(name string, change func(x *edge.Exchange), head, body string) {
		t.Helper()
		x := request("POST")
		change(x)
		d := do(t, tg, settings(1), x)
		if d.f != nil {
			t.Fatalf("%s: %v, %v", name, d.f, x.Cause)
		}
		if got := <-heads; got != head {
			t.Errorf("%s: the head is %q, want %q", name, got, head)
		}
		if got := <-bodies; got != body {
			t.Errorf("%s: %d bytes of body, want %d", name, len(got), len(body))
		}
	}
	const post = "POST / HTTP/1.1\r\nHost: app.internal\r\n"
	long := strings.Repeat("0123456789abcdef", 20<<10)
	f("GET", func(x *edge.Exchange) { x.Method = []byte("GET") }, "GET / HTTP/1.1\r\nHost: app.internal\r\n\r\n", "")
	f("the client's host", func(x *edge.Exchange) { x.SetOutHost([]byte("a.example")) },
		"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", "")
	f("no body", func(*edge.Exchange) {}, post+"Content-Length: 0\r\n\r\n", "")
	f("whole", func(x *edge.Exchange) { x.In, x.InLen = edge.NewBytesBody([]byte("hello")), 5 },
		post+"Content-Length: 5\r\n\r\n", "hello")
	f("streamed", func(x *edge.Exchange) { x.In, x.InLen = edge.ReaderBody{R: strings.NewReader(long)}, int64(len(long)) },
		post+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(long)), long)
	f("chunked", func(x *edge.Exchange) { x.In, x.InLen = &trailed{Reader: strings.NewReader("hello")}, -1 },
		post+"Transfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n0\r\nSum: 5\r\n\r\n")
	f("TE", func(x *edge.Exchange) { x.TETrailers = true }, post+"Content-Length: 0\r\nConnection: TE\r\nTE: trailers\r\n\r\n", "")
	f("Upgrade", func(x *edge.Exchange) { x.Method, x.Upgrade = []byte("GET"), []byte("websocket") },
		"GET / HTTP/1.1\r\nHost: app.internal\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "")
}

// trailed is a body with a trailer field.
type trailed struct {
	edge.Opaque
	io.Reader
}

func (*trailed) Trailer() []byte { return []byte("Sum: 5\r\n") }

// TestShortenedBody: a target never takes a body for whole that broke off.
func TestShortenedBody(t *testing.T) {
	ended := make(chan error, 1)
	tg := script(t, func(_ net.Conn, r *bufio.Reader) {
		readHead(r)
		n, err := io.Copy(io.Discard, r)
		if n >= 5 {
			err = errors.New("the body is whole")
		}
		ended <- err
	})
	x := request("POST")
	x.In, x.InLen = edge.ReaderBody{R: strings.NewReader("hel")}, 5
	if d := do(t, tg, settings(1), x); d.f != edge.ClientGone || d.kept {
		t.Errorf("fault %v, kept %v", d.f, d.kept)
	}
	if err := <-ended; err != nil && strings.Contains(err.Error(), "whole") {
		t.Error(err)
	}
}

// TestReusedDies: a connection that dies as it is used again says so, and that nothing is known of the request.
func TestReusedDies(t *testing.T) {
	tg, s := script(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		readHead(r)
	}), settings(1)
	if d := do(t, tg, s, request("GET")); d.f != nil || !d.kept {
		t.Fatalf("fault %v, kept %v", d.f, d.kept)
	}
	if d := do(t, tg, s, request("GET")); d.f != edge.UpstreamStale || d.kept {
		t.Errorf("fault %v, kept %v", d.f, d.kept)
	}
}

// TestTimeouts: each bound ends the wait for the head of the answer.
func TestTimeouts(t *testing.T) {
	tg := script(t, func(_ net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	f := func(name string, change func(x *edge.Exchange, s *transport.Settings), want *edge.Fault) {
		t.Helper()
		x, s := request("GET"), settings(1)
		s.ResponseTimeout = time.Hour
		change(x, s)
		if d := do(t, tg, s, x); d.f != want || d.kept {
			t.Errorf("%s: %v, kept %v", name, d.f, d.kept)
		}
	}
	soon := func() int64 { return clock.Now() + int64(time.Millisecond) }
	f("response_timeout", func(_ *edge.Exchange, s *transport.Settings) { s.ResponseTimeout = time.Millisecond },
		edge.UpstreamTimeout)
	f("of the attempt", func(x *edge.Exchange, _ *transport.Settings) { x.TryDeadline = soon() + 1e9 }, edge.UpstreamTimeout)
	f("of the exchange", func(x *edge.Exchange, _ *transport.Settings) { x.Deadline = soon() + 1e9 }, edge.UpstreamTimeout)
	f("the client", func(x *edge.Exchange, _ *transport.Settings) { x.Conn = gone{} }, edge.ClientGone)
}

// gone is a client that has left.
type gone struct{}

func (gone) Gone() bool { return true }
func (gone) Abort()     {}

// TestInterrupt: the wait of an attempt that is beaten ends at once, and its connection with it.
func TestInterrupt(t *testing.T) {
	asked := make(chan bool)
	tg := script(t, func(_ net.Conn, r *bufio.Reader) {
		readHead(r)
		asked <- true
		_, _ = io.Copy(io.Discard, r)
	})
	client := &leaver{}
	x, s := request("GET"), settings(1)
	s.ResponseTimeout = time.Hour
	x.Conn = client
	a := tg.Claim(x, s)
	a.X, a.Raced = x, true
	a.Stream.Interrupt() // before it is open: nothing happens
	ended := make(chan *edge.Fault)
	go func() { ended <- a.Stream.RoundTrip(x) }()
	<-asked
	client.gone.Store(true)
	a.Stream.Interrupt()
	if f := <-ended; f != edge.ClientGone {
		t.Errorf("it ended with %v", f)
	}
	a.Stream.Release(edge.ClientGone)
	a.Stream.Interrupt()
	if n := tg.Open(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

type leaver struct{ gone atomic.Bool }

func (l *leaver) Gone() bool { return l.gone.Load() }
func (l *leaver) Abort()     {}

// TestCalledOff: when an attempt is not wanted any more once its connection stands, nothing is sent on it, and it
// serves others.
func TestCalledOff(t *testing.T) {
	tg := script(t, func(_ net.Conn, r *bufio.Reader) {
		if head := readHead(r); head != "" {
			t.Errorf("the target got %q", head)
		}
	})
	x, s := request("GET"), settings(1)
	x.Conn = gone{}
	a := tg.Claim(x, s)
	a.X, a.Raced = x, true
	f := a.Stream.RoundTrip(x)
	a.Stream.Release(f)
	if f != edge.ClientGone || tg.Open() != 1 {
		t.Errorf("fault %v, %d connections", f, tg.Open())
	}
	tg.Retire(clock.Now())
}

// TestExpect: the body goes when the target has said 100, and not when it has refused before.
func TestExpect(t *testing.T) {
	f := func(first string, status int, sent string) {
		t.Helper()
		got := make(chan string, 1)
		tg := script(t, func(c net.Conn, r *bufio.Reader) {
			if !strings.Contains(readHead(r), "Expect: 100-continue\r\n") {
				t.Error("nothing is expected")
			}
			_, _ = io.WriteString(c, first)
			b := make([]byte, 5)
			n, _ := io.ReadFull(r, b)
			got <- string(b[:n])
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		x := request("POST")
		x.Plan.ForwardExpect, x.Expects = true, true
		x.In, x.InLen = edge.ReaderBody{R: strings.NewReader("hello")}, 5
		d := do(t, tg, settings(1), x)
		if d.f != nil || x.Status() != status || d.kept != (status == 200) {
			t.Errorf("status %d, fault %v, kept %v", x.Status(), d.f, d.kept)
		}
		tg.Retire(clock.Now())
		if g := <-got; g != sent {
			t.Errorf("the target got %q, want %q", g, sent)
		}
	}
	f("HTTP/1.1 100 Continue\r\n\r\n", 200, "hello")
	f("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n", 417, "")
}

// TestEarlyAnswer: an answer that comes before the request has been read is the client's, and ends the upload.
func TestEarlyAnswer(t *testing.T) {
	tg := script(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, r)
	})
	x := request("POST")
	in, feed := io.Pipe()
	client := &aborter{in: in}
	x.Conn, x.In, x.InLen = client, edge.ReaderBody{R: in}, 100
	go feed.Write([]byte("some"))
	d := do(t, tg, settings(1), x)
	if d.f != nil || x.Status() != 413 || d.body != "no" || d.kept || x.Uploading {
		t.Errorf("status %d, body %q, fault %v, kept %v, uploading %v", x.Status(), d.body, d.f, d.kept, x.Uploading)
	}
	if !client.aborted.Load() {
		t.Error("the client was not told to stop")
	}
}

// aborter is a client whose body ends when it is told to stop.
type aborter struct {
	in      *io.PipeReader
	aborted atomic.Bool
}

func (a *aborter) Gone() bool { return false }
func (a *aborter) Abort() {
	a.aborted.Store(true)
	a.in.CloseWithError(edge.ClientGone)
}

// TestTunnel: a 101 that was asked for hands the connection over, and what has come on it with the head.
func TestTunnel(t *testing.T) {
	tg := script(t, saying("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhi", false))
	x, s := request("GET"), settings(1)
	x.Upgrade = []byte("websocket, chat")
	a := tg.Claim(x, s)
	a.X = x
	if f := a.Stream.RoundTrip(x); f != nil || x.Tunnel == nil || string(x.Upgrade) != "chat" || a.Status != 101 {
		t.Fatalf("fault %v, tunnel %v, %q", f, x.Tunnel, x.Upgrade)
	}
	if early := x.Tunnel.Early(); string(early) != "hi" {
		t.Errorf("early bytes %q", early)
	}
	a.Stream.Release(nil)
	if n := tg.Open(); n != 0 {
		t.Errorf("the connection of a tunnel is kept")
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	tg, x := targetAt(l.Addr().String()), request("GET")
	if d := do(t, tg, settings(1), x); d.f != edge.UpstreamConnect || tg.Open() != 0 || x.Cause == nil {
		t.Errorf("fault %v, %d open, cause %v", d.f, tg.Open(), x.Cause)
	}
}

// TestTLSRefused: a target that speaks no TLS is no target of a pool with TLS.
func TestTLSRefused(t *testing.T) {
	tg, s, x := script(t, func(c net.Conn, _ *bufio.Reader) {
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
	}), settings(1), request("GET")
	s.TLS = clientTLS(t)
	if d := do(t, tg, s, x); d.f != edge.UpstreamTLS || tg.Open() != 0 {
		t.Errorf("fault %v, %d open", d.f, tg.Open())
	}
}

// gated answers the first request at once, and each other one when the gate opens.
func gated(t testing.TB, gate chan bool) *Target {
	return script(t, func(c net.Conn, r *bufio.Reader) {
		for first := true; readHead(r) != ""; first = false {
			if !first {
				<-gate
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
}

// fast answers each piece of a request without allocating.
func fast(t testing.TB, answer string) *Target {
	return script(t, func(c net.Conn, _ *bufio.Reader) {
		bytes := []byte(answer)
		for buf := make([]byte, 4096); ; {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(bytes); err != nil {
				return
			}
		}
	})
}
