package h1

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
)

// TestFraming: how a body ends is told by the head of the answer, and fits the client's version.
func TestFraming(t *testing.T) {
	const date = "Date: x\r\n"
	body := edge.NewBytesBody([]byte("abc"))
	for _, c := range []struct {
		name   string
		method string
		minor  int
		status int
		lines  string
		out    edge.Body
		outLen int64
		close  bool
		want   framing
		head   string
	}{
		{"length", "GET", 1, 200, date, body, 3, false, byLength, "200 OK|Date: x|Content-Length: 3"},
		{"no body", "GET", 1, 200, date, nil, 0, false, noBody, "200 OK|Date: x|Content-Length: 0"},
		{"no body, length unknown", "GET", 1, 200, date, nil, -1, false, noBody, "200 OK|Date: x|Content-Length: 0"},
		{"chunks", "GET", 1, 200, date, body, -1, false, chunked, "200 OK|Date: x|Transfer-Encoding: chunked"},
		{"until the connection closes", "GET", 0, 200, date, body, -1, false, untilClose, "200 OK|Date: x|Connection: close"},
		{"1.0 stays", "GET", 0, 200, date, body, 3, false, byLength, "200 OK|Date: x|Content-Length: 3|Connection: keep-alive"},
		{"close", "GET", 1, 200, date, body, 3, true, byLength, "200 OK|Date: x|Content-Length: 3|Connection: close"},
		{"head", "HEAD", 1, 200, date, body, 3, false, noBody, "200 OK|Date: x|Content-Length: 3"},
		{"head, length unknown", "HEAD", 1, 200, date, body, -1, false, noBody, "200 OK|Date: x"},
		{"204", "GET", 1, 204, date, nil, 0, false, noBody, "204 No Content|Date: x"},
		{"304", "GET", 1, 304, date, nil, 0, false, noBody, "304 Not Modified|Date: x"},
		{"304 with a length", "GET", 1, 304, date, nil, 7, false, noBody, "304 Not Modified|Date: x|Content-Length: 7"},
		{"426", "GET", 1, 426, "Upgrade: h2c\r\n" + date, nil, 0, false, noBody,
			"426 Upgrade Required|Upgrade: h2c|Date: x|Content-Length: 0|Connection: Upgrade"},
		{"426, close", "GET", 1, 426, "Upgrade: h2c\r\n" + date, nil, 0, true, noBody,
			"426 Upgrade Required|Upgrade: h2c|Date: x|Content-Length: 0|Connection: close, Upgrade"},
		{"426 to 1.0", "GET", 0, 426, "Upgrade: h2c\r\n" + date, nil, 0, false, noBody,
			"426 Upgrade Required|Upgrade: h2c|Date: x|Content-Length: 0|Connection: keep-alive"},
		{"unknown status", "GET", 1, 599, date, nil, 0, false, noBody, "599 Unknown Status Code|Date: x|Content-Length: 0"},
	} {
		q := acquireRequest()
		q.c = &conn{p: New(nil, nil)}
		x := &q.x
		x.Method, x.Minor, x.Close = []byte(c.method), c.minor, c.close
		x.SetHead(c.status, nil, []byte(c.lines))
		x.Out, x.OutLen = c.out, c.outLen
		got := q.head(x)
		want := "HTTP/1.1 " + strings.ReplaceAll(c.head, "|", "\r\n") + "\r\n\r\n"
		if got != c.want || string(q.out) != want {
			t.Errorf("%s: framing %d and\n%q, want %d and\n%q", c.name, got, q.out, c.want, want)
		}
		if c.want == untilClose && !x.Close {
			t.Errorf("%s: the connection is to stay", c.name)
		}
		q.release()
	}
}

// trickle is a body that is read in pieces, and ends with err.
type trickle struct {
	edge.Opaque
	left, piece int
	err         error
	trailer     string
	ready       bool
}

func (b *trickle) Read(p []byte) (int, error) {
	n := min(b.left, b.piece, len(p))
	for i := range p[:n] {
		p[i] = 'x'
	}
	if b.left -= n; b.left == 0 {
		return n, b.err
	}
	return n, nil
}

func (b *trickle) Ready() bool     { return b.ready }
func (b *trickle) Trailer() []byte { return []byte(b.trailer) }

// TestAnswerBodies: bodies of each kind come whole, or are cut so that the client sees it.
func TestAnswerBodies(t *testing.T) {
	broken := errors.New("broken")
	var out atomic.Pointer[func() (edge.Body, int64)]
	a := newApp(t, nil, peer(func(x *edge.Exchange) *edge.Fault {
		x.SetHead(200, nil, nil)
		x.Out, x.OutLen = (*out.Load())()
		return nil
	}))
	r := newRig(t, a, &client.Settings{})
	r.serve(t)
	big := bytes.Repeat([]byte("x"), 3<<20)
	for _, c := range []struct {
		name  string
		out   func() (edge.Body, int64)
		minor string
		size  int // of the body
		whole bool
		stays bool
	}{
		{"in memory", func() (edge.Body, int64) { return edge.NewBytesBody([]byte("xxx")), 3 }, "1", 3, true, true},
		{"in memory, large", func() (edge.Body, int64) { return edge.NewBytesBody(big), int64(len(big)) }, "1", len(big), true, true},
		{"read", func() (edge.Body, int64) { return &trickle{left: 70_000, piece: 999, err: io.EOF, ready: true}, 70_000 }, "1", 70_000, true, true},
		{"read, not ready", func() (edge.Body, int64) { return &trickle{left: 10, piece: 3, err: io.EOF}, 10 }, "1", 10, true, true},
		{"read, broken", func() (edge.Body, int64) { return &trickle{left: 10, piece: 3, err: broken}, 11 }, "1", 10, false, false},
		{"read, shorter than it says", func() (edge.Body, int64) { return &trickle{left: 10, piece: 3, err: io.EOF}, 11 }, "1", 10, false, false},
		{"chunks", func() (edge.Body, int64) { return &trickle{left: 70_000, piece: 40_000, err: io.EOF, ready: true}, -1 }, "1", 70_000, true, true},
		{"chunks, broken", func() (edge.Body, int64) { return &trickle{left: 10, piece: 3, err: broken}, -1 }, "1", 10, false, false},
		{"until close", func() (edge.Body, int64) { return &trickle{left: 10, piece: 3, err: io.EOF}, -1 }, "0", 10, true, false},
		{"until close, broken", func() (edge.Body, int64) { return &trickle{left: 10, piece: 3, err: broken}, -1 }, "0", 10, false, false},
		{"pieces", func() (edge.Body, int64) { return &halting{pieces: []string{"xxx", "", "xxx"}}, 6 }, "1", 6, true, true},
		{"pieces, one missing", func() (edge.Body, int64) { return &halting{pieces: []string{"xxx", ""}}, 6 }, "1", 3, false, false},
		{"pieces until close", func() (edge.Body, int64) { return &halting{pieces: []string{"", "xxx"}}, 3 }, "0", 3, true, false},
	} {
		out.Store(&c.out)
		far := r.talk(t)
		far.send("GET /a HTTP/1." + c.minor + "\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(far.in, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		b, err := io.ReadAll(resp.Body)
		if whole := err == nil; whole != c.whole || whole && len(b) != c.size {
			t.Errorf("%s: %d bytes, %v; want %d, whole: %v", c.name, len(b), err, c.size, c.whole)
		}
		e := <-a.log
		if (e.code == "upstream_truncated") == c.whole {
			t.Errorf("%s: the log has %+v", c.name, e)
		}
		if c.stays {
			far.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
			if got := far.get("GET"); len(got.body) != c.size {
				t.Errorf("%s: the second request got %d bytes", c.name, len(got.body))
			}
			<-a.log
		}
		far.Close()
	}
	trailers := func() (edge.Body, int64) { return &trickle{left: 3, piece: 3, err: io.EOF, trailer: "A: b\r\n"}, -1 }
	out.Store(&trailers)
	far := r.talk(t)
	for te, want := range map[string]string{"": "b", "TE: trailers\r\n": "b", "TE: gzip\r\n": ""} {
		far.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: TE\r\n" + te + "\r\n")
		resp, err := http.ReadResponse(far.in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil || resp.Trailer.Get("A") != want {
			t.Errorf("%q: trailer %q, %v; want %q", te, resp.Trailer.Get("A"), err, want)
		}
	}
}

// TestSlowReader: a client that reads slowly gets everything, and does not hold up others in its loop.
func TestSlowReader(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<20)
	early := func(x *edge.Exchange) edge.Verdict {
		switch string(x.Path) {
		case "/big":
			x.Answer(200, "", []byte(big))
		case "/pieces":
			x.SetHead(200, nil, nil)
			pieces := make([]string, 256)
			for i := range pieces {
				pieces[i] = big[:1<<16]
			}
			x.Local, x.Out, x.OutLen = true, &halting{pieces: pieces}, 256<<16
		default:
			x.Answer(200, "", []byte("small"))
		}
		return edge.Answered
	}
	r := newRig(t, newApp(t, early, nil), &client.Settings{MinSend: 1})
	r.serve(t)
	for path, want := range map[string]string{"/big": big, "/pieces": strings.Repeat(big[:1<<16], 256)} {
		slow := r.talk(t)
		slow.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if b, err := slow.in.Peek(1); err != nil {
			t.Fatalf("%q %v", b, err)
		}
		for range 4 { // in both loops
			other := r.talk(t)
			other.send("GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
			if got := other.get("GET"); got.body != "small" {
				t.Errorf("%s: another client got %q", path, got.body)
			}
		}
		if got := slow.get("GET"); got.body != want {
			t.Errorf("%s: %d bytes, want %d, or others", path, len(got.body), len(want))
		}
		slow.send("GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
		if got := slow.get("GET"); got.body != "small" {
			t.Errorf("%s: afterwards %q", path, got.body)
		}
	}
}

// TestFaultOf: whose fault it is that an answer was cut.
func TestFaultOf(t *testing.T) {
	own := &edge.Fault{Code: "own", Side: edge.SideUpstream}
	for _, c := range []struct {
		name       string
		werr, berr error
		want       *edge.Fault
		ending     client.Closing
	}{
		{"nothing", nil, nil, nil, client.Orderly},
		{"the end", nil, io.EOF, nil, client.Orderly},
		{"a fault of the body", nil, own, own, client.Orderly},
		{"the body", nil, io.ErrUnexpectedEOF, edge.UpstreamTruncated, client.Orderly},
		{"the client", io.ErrClosedPipe, nil, edge.ClientGone, client.Reset},
		{"a slow client", os.ErrDeadlineExceeded, nil, clientTooSlow, client.Reset},
	} {
		conn, x := &conn{}, &edge.Exchange{}
		got := conn.sendFault(x, c.werr, c.berr)
		if got != c.want || conn.ending != c.ending || conn.aborted.Load() != (c.want != nil) {
			t.Errorf("%s: %v, closing %d, aborted %v", c.name, got, conn.ending, conn.aborted.Load())
		}
	}
}

// TestInterim: interim answers leave at once where that can be, in their order, and never behind the final one.
func TestInterim(t *testing.T) {
	const hint = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
	interim := func(x *edge.Exchange, n int) {
		for range n {
			x.Conn.(edge.InterimConn).Interim([]byte(hint))
		}
	}
	early := func(x *edge.Exchange) edge.Verdict {
		if string(x.Path) == "/loop" {
			interim(x, 2)
			x.Answer(200, "", []byte("final"))
			return edge.Answered
		}
		return edge.Next
	}
	up := peer(func(x *edge.Exchange) *edge.Fault {
		interim(x, 2)
		if x.In != nil {
			return echo(x) // with a 100 of its own
		}
		return answer(x, 200, "final")
	})
	r := newRig(t, newApp(t, early, up), &client.Settings{})
	r.serve(t)
	far := r.talk(t)
	for _, path := range []string{"/loop", "/goroutine", "/loop"} {
		far.send("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		for _, want := range []int{103, 103, 200} {
			if got := far.get("GET"); got.status != want {
				t.Fatalf("%s: %d, want %d", path, got.status, want)
			}
		}
	}
	far.send("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 20000\r\n\r\n")
	for _, want := range []int{103, 103, 100} {
		if got := far.get("POST"); got.status != want {
			t.Fatalf("expecting: %d, want %d", got.status, want)
		}
	}
	far.send(strings.Repeat("x", 20_000))
	if got := far.get("POST"); got.status != 200 || len(got.body) != len("POST /a ")+20_000 {
		t.Errorf("expecting: %d, %d bytes", got.status, len(got.body))
	}
}

// TestInterimUntaken: interim answers that a client does not take wait for the final one, up to a bound; after the
// final one has begun there are none.
func TestInterimUntaken(t *testing.T) {
	r := newRig(t, newApp(t, nil, nil), &client.Settings{})
	far := r.talk(t)
	h := r.accept(t, false)
	h.Interim([]byte("HTTP/1.1 103 nobody asked\r\n\r\n")) // there is no request
	h.enter(looped)
	q := acquireRequest()
	q.c, h.request = h.conn, q
	var filled int
	for n := 1; n > 0; filled += n {
		n, _ = h.Conn.Socket.TryWrite(make([]byte, 1<<16))
	}
	hint := []byte("HTTP/1.1 103 Early Hints\r\n\r\n")
	for range 2 * mostEarly / len(hint) {
		h.Interim(hint)
	}
	if len(q.early) == 0 || len(q.early) > mostEarly || len(q.early)%len(hint) != 0 {
		t.Errorf("%d bytes wait", len(q.early))
	}
	waiting := len(q.early)
	q.begun = true
	h.Interim(hint)
	if len(q.early) != waiting {
		t.Error("an interim answer after the final one")
	}
	if err := h.sendContinue(); !errors.Is(err, edge.ClientGone) {
		t.Errorf("a 100 after the final answer: %v", err)
	}
	q.out = append(q.begin(), "final"...)
	go func() {
		_ = h.Write(q.out) // what is missing is missed below
		h.Close(client.Orderly)
	}()
	b, _ := io.ReadAll(far)
	if len(b) != filled+waiting+len("final") || !bytes.HasSuffix(b, append(hint, "final"...)) {
		t.Errorf("the client got %d bytes, want %d", len(b), filled+waiting+len("final"))
	}
}

// TestTimeouts: who does not send a request in time is told, or cut when nothing of one has come.
func TestTimeouts(t *testing.T) {
	a := newApp(t, nil, peer(echo))
	const request = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range []struct {
		name, text   string
		header, idle time.Duration
		statuses     []int
	}{
		{"nothing", "", time.Millisecond, time.Hour, nil},
		{"an empty line", "\r\n", time.Millisecond, time.Hour, nil},
		{"half a head", "GET / HT", time.Millisecond, time.Hour, []int{408}},
		{"idle after a request", request, time.Hour, time.Millisecond, []int{200}},
	} {
		r := newRig(t, a, &client.Settings{HeaderTimeout: c.header, IdleTimeout: c.idle})
		far := r.talk(t)
		far.send(c.text)
		h := r.accept(t, false)
		// As the front does, but for the time: the bytes are there when the wait begins.
		until(t, "the bytes are there", func() bool { return c.text == "" || !h.Conn.Socket.Fresh() })
		go h.conn.Serve()
		for _, want := range c.statuses {
			if got := far.get("GET"); got.status != want {
				t.Errorf("%s: %d, want %d", c.name, got.status, want)
			}
		}
		far.gone()
		far.Close() // it may be lingered for
		<-h.ended
	}
}

// TestDrain: while a listener drains, an answer ends its connection, and a request that comes late is answered.
func TestDrain(t *testing.T) {
	for _, evicts := range []bool{false, true} {
		r := newRig(t, newApp(t, nil, peer(echo)), &client.Settings{})
		r.Group.DrainGrace.Store(int64(time.Hour))
		far := r.talk(t)
		h := r.accept(t, false)
		if evicts {
			h.Evict()
		} else {
			r.Drains.Store(true)
			h.LastCall()
		}
		far.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
		until(t, "the requests are there", func() bool { return !h.Conn.Socket.Fresh() })
		go h.conn.Serve()
		if got := far.get("GET"); got.body != "GET /a " || !got.close {
			t.Errorf("evicted %v: %q, close %v", evicts, got.body, got.close)
		}
		far.gone()
		far.Close() // it may be lingered for
		<-h.ended
		if n := r.Group.Evicting.Load(); n != 0 {
			t.Errorf("%d are to be closed", n)
		}
	}
}
