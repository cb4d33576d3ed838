package hop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// reset closes c with RST.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // fails only on a closed connection
	}
	_ = c.Close()
}

// poolKeys returns simple's configuration with keys added to its pool.
func poolKeys(target string, pool ...string) string {
	return strings.Replace(e2e.Simple(target), "targets", strings.Join(append(pool, "targets"), "\n"), 1)
}

// TestCutAnswers: an answer that the target cuts short reaches the client as cut short.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	g := e2e.Start(t, e2e.Simple(s.addr))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	// f: the target sends answer, waits until the client has the head, and ends the connection.
	f := func(stands, answer string, end func(net.Conn)) {
		t.Helper()
		begun := make(chan bool, 1)
		s.does(func(c net.Conn, _ string) bool {
			_, _ = io.WriteString(c, answer) // shows at the client
			select {
			case <-begun:
			case <-t.Context().Done():
			}
			end(c)
			return false
		})
		resp, err := client.Get("http://" + g.Addr + "/x")
		if err != nil {
			t.Errorf("%s: %v", stands, err)
			begun <- true
			return
		}
		begun <- true
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %d bytes and %v, want an unexpected end", stands, len(b), err)
		}

		// An HTTP/1.0 client is told by RST where the framing cannot tell it.
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send("GET /x HTTP/1.0\r\n\r\n")
		if resp, err = http.ReadResponse(c.R, nil); err != nil {
			t.Errorf("%s, HTTP/1.0: %v", stands, err)
			begun <- true
			return
		}
		begun <- true
		_, err = io.ReadAll(resp.Body)
		if resp.ContentLength < 0 && !errors.Is(err, syscall.ECONNRESET) || err == nil {
			t.Errorf("%s, HTTP/1.0: got %v", stands, err)
		}
	}
	fin := func(c net.Conn) { _ = c.Close() }
	coded := head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")
	for end, how := range map[string]func(net.Conn){"FIN": fin, "RST": reset} {
		f("RFC 9112 8: length, "+end, head("HTTP/1.1 200 OK", "Content-Length: 9")+"cut", how)
		f("length, nothing came, "+end, head("HTTP/1.1 200 OK", "Content-Length: 9"), how)
		f("length, spliced, "+end, head("HTTP/1.1 200 OK", "Content-Length: 900000")+string(e2e.Sample(300_000)), how)
		f("RFC 9112 8: between chunks, "+end, coded+"3\r\ncut\r\n", how)
		f("before the first chunk, "+end, coded, how)
		f("inside a chunk, "+end, coded+"9\r\ncut", how)
		f("inside a chunk's size, "+end, coded+"3\r\ncut\r\n3", how)
		f("inside the CRLF behind a chunk, "+end, coded+"3\r\ncut\r", how)
		f("inside the last chunk, "+end, coded+"3\r\ncut\r\n0\r\n", how)
		f("inside a trailer, "+end, coded+"3\r\ncut\r\n0\r\nA: b", how)
		f("behind a trailer, "+end, coded+"3\r\ncut\r\n0\r\nA: b\r\n", how)
	}
	f("RFC 9112 8: until close, RST", head("HTTP/1.1 200 OK", "Connection: close")+"cut", reset)
	f("HTTP/1.0 until close, RST", head("HTTP/1.0 200 OK")+"cut", reset)
	if n := g.InFlight(); n != 0 {
		t.Errorf("%v requests in flight", n)
	}
}

// TestCutUploads: an upload that the client cuts short reaches the target as cut short.
func TestCutUploads(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	f := func(stands, framing, body string, end func(net.Conn)) {
		t.Helper()
		path := fmt.Sprint("/", len(rec.Requests()))
		c := e2e.DialRaw(t, g.Addr)
		c.Send(e2e.Lines("POST "+path+" HTTP/1.1", framing) + body)
		e2e.Eventually(t, stands+": the origin has the head", func() bool { return len(rec.Of(path)) > 0 })
		end(c.C)
		e2e.Eventually(t, stands+": the origin's connection ends", func() bool {
			_, live := rec.Connections()
			return live == 0
		})
		if r := rec.Of(path); len(r) != 1 || r[0].Whole {
			t.Errorf("%s: at the origin: %+v", stands, r)
		}
	}
	fin := func(c net.Conn) { _ = c.Close() }
	half := func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }
	for end, how := range map[string]func(net.Conn){"FIN": fin, "RST": reset, "half-closed": half} {
		f("length, "+end, "Content-Length: 40000", string(e2e.Sample(gathered+1)), how)
		f("length, spliced, "+end, "Content-Length: 900000", string(e2e.Sample(300_000)), how)
		f("RFC 9112 8: between chunks, "+end, "Transfer-Encoding: chunked", "3\r\ncut\r\n", how)
		f("before the first chunk, "+end, "Transfer-Encoding: chunked", "", how)
		f("inside a chunk, "+end, "Transfer-Encoding: chunked", "9\r\ncut", how)
		f("inside the last chunk, "+end, "Transfer-Encoding: chunked", "3\r\ncut\r\n0\r\n", how)
		f("inside a trailer, "+end, "Transfer-Encoding: chunked", "3\r\ncut\r\n0\r\nA: b\r\n", how)
	}
	e2e.Eventually(t, "nothing is in flight", func() bool { return g.InFlight() == 0 })

	// Of a short body that is cut the target hears nothing, or that it is cut.
	c := e2e.DialRaw(t, g.Addr)
	c.Send(e2e.Lines("POST /short HTTP/1.1", "Content-Length: 9") + "cut")
	fin(c.C)
	e2e.Eventually(t, "the gateway has noticed", func() bool { return g.Metric("penstock_connections{") == 0 })
	for _, r := range rec.Of("/short") {
		if r.Whole {
			t.Errorf("short body: at the origin: %+v", r)
		}
	}
}

// TestClientGone: a client that has left cancels the work at the target.
func TestClientGone(t *testing.T) {
	t.Parallel()
	answer := make(chan string)
	rec := e2e.Record(t, func(_ *e2e.Recorded, c net.Conn) string {
		select {
		case a := <-answer:
			_, _ = io.WriteString(c, a) // shows at the client
		case <-t.Context().Done():
		}
		_, _ = io.Copy(io.Discard, c) // until the gateway closes
		return ""
	})
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	f := func(stands, request, begin string, leave func(net.Conn)) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		before := len(rec.Requests())
		c.Send(request)
		e2e.Eventually(t, stands+": the origin has the request", func() bool {
			r := rec.Requests()
			return len(r) > before && r[before].Whole
		})
		answer <- begin
		if begin != "" {
			if _, err := http.ReadResponse(c.R, nil); err != nil {
				t.Fatalf("%s: %v", stands, err)
			}
		}
		if _, live := rec.Connections(); live != 1 || g.InFlight() != 1 {
			t.Errorf("%s: %d connections at the origin, %v in flight", stands, live, g.InFlight())
		}
		leave(c.C)
		since := time.Now()
		e2e.Eventually(t, stands+": the origin is told", func() bool {
			_, live := rec.Connections()
			return live == 0 && g.InFlight() == 0
		})
		t.Logf("%s: the origin was told after %v", stands, time.Since(since).Round(time.Millisecond))
	}
	get := e2e.Lines("GET /x HTTP/1.1")
	post := e2e.PostWith("Content-Length: 3")
	stream := e2e.Lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n"
	for how, leave := range map[string]func(net.Conn){"FIN": func(c net.Conn) { _ = c.Close() }, "RST": reset} {
		f("no answer yet, "+how, get, "", leave)
		f("no answer yet to a POST, "+how, post, "", leave)
		f("no answer yet to a stream, "+how, stream, "", leave)
		f("silent events, "+how, get, head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")+"3\r\na\n\n\r\n", leave)
		f("silent body of known length, "+how, get, head("HTTP/1.1 200 OK", "Content-Length: 1000000")+"abc", leave)
		f("silent body until close, "+how, get, head("HTTP/1.0 200 OK")+"abc", leave)
	}
}

// TestSilentTarget: a target that does not answer in time is given up, whatever bounds the time.
func TestSilentTarget(t *testing.T) {
	t.Parallel()
	silent := e2e.Origin(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	cut := e2e.Origin(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-")
		_, _ = io.Copy(io.Discard, c)
	})
	f := func(stands, conf string, requests ...string) {
		t.Helper()
		g := e2e.Start(t, conf)
		for _, r := range requests {
			g.Want(stands, r, 504, "upstream_timeout")
		}
		if n := g.InFlight(); n != 0 {
			t.Errorf("%s: %v in flight", stands, n)
		}
	}
	get, post := e2e.Lines("GET /x HTTP/1.1"), e2e.PostWith("Content-Length: 3")
	stream := e2e.Lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n"
	f("response_timeout", poolKeys(silent, `response_timeout = "100ms"`), get, post, stream)
	f("head cut", poolKeys(cut, `response_timeout = "100ms"`), get)
	f("timeout of the route", e2e.Simple(silent, `timeout = "150ms"`), get, post, stream,
		e2e.Lines("POST /x HTTP/1.1", "Content-Length: 900000")+string(e2e.Sample(gathered+1)))

	// A short body that does not come is the client's fault, and the target is not asked.
	rec := e2e.Record(t, nil)
	e2e.Start(t, e2e.Simple(rec.Addr, `timeout = "150ms"`)).Want("slow short body",
		e2e.Lines("POST /x HTTP/1.1", "Content-Length: 9")+"cut", 408, "request_timeout")
	if n := len(rec.Requests()); n != 0 {
		t.Errorf("slow short body: %d requests at the origin", n)
	}

	// A target that does not even read holds no upload for longer.
	deaf := e2e.Origin(t, func(net.Conn) { <-t.Context().Done() })
	f("deaf target", poolKeys(deaf, `response_timeout = "200ms"`),
		e2e.Lines("POST /x HTTP/1.1", "Content-Length: 30000000")+strings.Repeat("x", 30_000_000),
		e2e.Lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked")+"1c9c380\r\n"+strings.Repeat("x", 30_000_000))
}

// TestSilentBody: silence in the middle of a body ends it as cut short.
func TestSilentBody(t *testing.T) {
	t.Parallel()
	f := func(stands, answer string, more ...string) {
		t.Helper()
		s := newScript(t)
		s.does(func(c net.Conn, _ string) bool {
			_, _ = io.WriteString(c, answer)
			_, _ = io.Copy(io.Discard, c)
			return false
		})
		conf := poolKeys(s.addr, more[0])
		if len(more) > 1 {
			conf += more[1]
		}
		c := e2e.DialRaw(t, e2e.Start(t, conf).Addr)
		if a := c.Get("/x"); !errors.Is(a.Err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %q %v", stands, a.Body, a.Err)
		}
		c.Closed(stands)
	}
	f("chunks", head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")+"3\r\nabc\r\n", `stream_idle_timeout = "100ms"`)
	f("length", head("HTTP/1.1 200 OK", "Content-Length: 9")+"abc", `stream_idle_timeout = "100ms"`)
	f("spliced", head("HTTP/1.1 200 OK", "Content-Length: 900000")+"abc", `stream_idle_timeout = "100ms"`)
	f("timeout of the route", head("HTTP/1.1 200 OK", "Content-Length: 900000")+"abc", "", `timeout = "200ms"`)
}

// TestLostTarget: a target that cannot be reached or dies before it answers is a 502; only what is safe for
// every request is repeated.
func TestLostTarget(t *testing.T) {
	t.Parallel()
	get, post := e2e.Lines("GET /x HTTP/1.1"), e2e.PostWith("Content-Length: 3")
	refused := e2e.Start(t, e2e.Simple(e2e.FreeAddr(t)))
	refused.Want("refused", get, 502, "upstream_connect")
	refused.Want("refused", post, 502, "upstream_connect")

	var seen atomic.Int64
	f := func(stands, request string, end func(net.Conn)) {
		t.Helper()
		g := e2e.Start(t, e2e.Simple(e2e.Origin(t, func(c net.Conn) {
			b := make([]byte, 4096)
			if _, err := c.Read(b); err == nil {
				seen.Add(1)
				end(c)
			}
		})))
		seen.Store(0)
		g.Want(stands, request, 502, "upstream_reset")
		if n := seen.Load(); n != 1 {
			t.Errorf("%s: the request was seen %d times", stands, n)
		}
	}
	fin := func(c net.Conn) { _ = c.Close() }
	f("fresh connection, FIN", get, fin)
	f("fresh connection, RST", get, reset)
	f("fresh connection, POST, FIN", post, fin)
	f("fresh connection, POST, RST", post, reset)
	f("in the middle of an upload, RST", e2e.Lines("POST /x HTTP/1.1", "Content-Length: 900000")+string(e2e.Sample(800_000)), reset)
	f("in the middle of a stream, RST", e2e.Lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked")+"f0000\r\n"+string(e2e.Sample(800_000)), reset)
}

// TestStaleConnection: a reused connection that dies before the first byte of the answer is replaced once, when
// the request can be sent again (RFC 9112 9.3.1).
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	// The origin answers the first request of a connection and does the second one in.
	kill := make(chan func(net.Conn) string, 1)
	rec := e2e.Record(t, func(r *e2e.Recorded, c net.Conn) string {
		select {
		case f := <-kill:
			return f(c)
		default:
			return string(e2e.OK("ok"))
		}
	})
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	f := func(stands, request string, end func(net.Conn) string, status, times int) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Get("/first")
		before := len(rec.Requests())
		kill <- end
		c.Send(request)
		if a := c.Answer("POST"); a.StatusCode != status {
			t.Errorf("%s: %d %q", stands, a.StatusCode, a.Body)
		}
		if n := len(rec.Requests()) - before; n != times {
			t.Errorf("%s: the request was made %d times", stands, n)
		}
	}
	fin := func(net.Conn) string { return "" }
	rst := func(c net.Conn) string { reset(c); return "" }
	get, post := e2e.Lines("GET /x HTTP/1.1"), e2e.PostWith("Content-Length: 3")
	stream := e2e.Lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n"
	f("GET, FIN", get, fin, 200, 2)
	f("GET, RST", get, rst, 200, 2)
	keyed := e2e.PostWith("Content-Length: 3", "Idempotency-Key: 7")
	f("POST: it may have been seen, FIN", post, fin, 502, 1)
	f("POST: it may have been seen, RST", post, rst, 502, 1)
	f("POST with a key and its body at hand", keyed, rst, 200, 2)
	f("a stream was consumed, FIN", stream, fin, 502, 1)
	f("a stream was consumed, RST", stream, rst, 502, 1)
	f("a byte of the answer came", get, func(c net.Conn) string {
		_, _ = io.WriteString(c, "H")
		return ""
	}, 502, 1)
	f("an interim answer came: the request was seen", post, func(c net.Conn) string {
		_, _ = io.WriteString(c, head("HTTP/1.1 100 Continue"))
		return ""
	}, 502, 1)
	f("twice", get, func(net.Conn) string {
		kill <- fin
		return ""
	}, 502, 2)
	if n := g.Metric("penstock_retries_total"); n != 4 {
		t.Errorf("%v retries counted", n)
	}
}

// TestPoolQueue: beyond max_connections requests wait, beyond max_waiting they are refused at once.
func TestPoolQueue(t *testing.T) {
	t.Parallel()
	free := make(chan bool)
	rec := e2e.Record(t, func(*e2e.Recorded, net.Conn) string {
		select {
		case <-free:
		case <-t.Context().Done():
		}
		return string(e2e.OK("ok"))
	})
	g := e2e.Start(t, poolKeys(rec.Addr, "max_connections = 1", "max_waiting = 1", `wait_timeout = "10s"`))
	waiting := func() float64 { return e2e.Dig(g.Status(), "pools", 0, "targets", 0, "waiting").(float64) }
	first, second := e2e.DialRaw(t, g.Addr), e2e.DialRaw(t, g.Addr)
	first.Send(e2e.Lines("GET /first HTTP/1.1"))
	e2e.Eventually(t, "the first is at the origin", func() bool { return len(rec.Of("/first")) == 1 })
	second.Send(e2e.Lines("GET /second HTTP/1.1"))
	e2e.Eventually(t, "the second waits", func() bool { return waiting() == 1 })
	third := e2e.DialRaw(t, g.Addr).Get("/third")
	if third.StatusCode != 503 || third.Code() != "pool_busy" || third.Header.Get("Retry-After") == "" {
		t.Errorf("third: %d %q", third.StatusCode, third.Body)
	}
	free <- true
	if a := first.Answer("GET"); a.StatusCode != 200 {
		t.Errorf("first: %d", a.StatusCode)
	}
	free <- true
	if a := second.Answer("GET"); a.StatusCode != 200 {
		t.Errorf("second: %d %q", a.StatusCode, a.Body)
	}
	if opened, _ := rec.Connections(); opened != 1 || len(rec.Of("/third")) != 0 {
		t.Errorf("%d connections at the origin", opened)
	}

	g.Write(poolKeys(rec.Addr, "max_connections = 1", "max_waiting = 1", `wait_timeout = "50ms"`))
	if status, text := g.Reload(); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	first.Send(e2e.Lines("GET /fourth HTTP/1.1"))
	e2e.Eventually(t, "the fourth is at the origin", func() bool { return len(rec.Of("/fourth")) == 1 })
	if a := second.Get("/fifth"); a.StatusCode != 503 || a.Code() != "pool_wait_timeout" {
		t.Errorf("fifth: %d %q", a.StatusCode, a.Body)
	}
	free <- true
	first.Answer("GET")
	second.Send(e2e.Lines("GET /sixth HTTP/1.1"))
	free <- true
	second.Answer("GET")
}
