package e2e

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
)

// reset closes c with RST.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // fails only on a closed connection
	}
	_ = c.Close()
}

// inFlight returns how many requests the first target of the first pool has.
func (g *gateway) inFlight() float64 {
	g.t.Helper()
	target := dig(g.status(), "pools", 0, "targets", 0)
	return dig(target, "in_flight").(float64)
}

// dig follows names and indexes into decoded JSON.
func dig(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

// poolKeys returns simple's configuration with keys added to its pool.
func poolKeys(target string, pool ...string) string {
	return strings.Replace(simple(target), "targets", strings.Join(append(pool, "targets"), "\n"), 1)
}

// TestCutAnswers: an answer that the target cuts short reaches the client as cut short.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	g := start(t, simple(s.addr))
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
		resp, err := client.Get("http://" + g.addr + "/x")
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
		c := dialRaw(t, g.addr)
		defer c.c.Close()
		c.send("GET /x HTTP/1.0\r\n\r\n")
		if resp, err = http.ReadResponse(c.r, nil); err != nil {
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
		f("length, spliced, "+end, head("HTTP/1.1 200 OK", "Content-Length: 900000")+string(sample(300_000)), how)
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
	if n := g.inFlight(); n != 0 {
		t.Errorf("%v requests in flight", n)
	}
}

// TestCutUploads: an upload that the client cuts short reaches the target as cut short.
func TestCutUploads(t *testing.T) {
	t.Parallel()
	rec := record(t, nil)
	g := start(t, simple(rec.addr))
	f := func(stands, framing, body string, end func(net.Conn)) {
		t.Helper()
		path := fmt.Sprint("/", len(rec.requests()))
		c := dialRaw(t, g.addr)
		c.send(lines("POST "+path+" HTTP/1.1", framing) + body)
		eventually(t, stands+": the origin has the head", func() bool { return len(rec.of(path)) > 0 })
		end(c.c)
		eventually(t, stands+": the origin's connection ends", func() bool {
			_, live := rec.connections()
			return live == 0
		})
		if r := rec.of(path); len(r) != 1 || r[0].whole {
			t.Errorf("%s: at the origin: %+v", stands, r)
		}
	}
	fin := func(c net.Conn) { _ = c.Close() }
	half := func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }
	for end, how := range map[string]func(net.Conn){"FIN": fin, "RST": reset, "half-closed": half} {
		f("length, "+end, "Content-Length: 40000", string(sample(gathered+1)), how)
		f("length, spliced, "+end, "Content-Length: 900000", string(sample(300_000)), how)
		f("RFC 9112 8: between chunks, "+end, "Transfer-Encoding: chunked", "3\r\ncut\r\n", how)
		f("before the first chunk, "+end, "Transfer-Encoding: chunked", "", how)
		f("inside a chunk, "+end, "Transfer-Encoding: chunked", "9\r\ncut", how)
		f("inside the last chunk, "+end, "Transfer-Encoding: chunked", "3\r\ncut\r\n0\r\n", how)
		f("inside a trailer, "+end, "Transfer-Encoding: chunked", "3\r\ncut\r\n0\r\nA: b\r\n", how)
	}
	eventually(t, "nothing is in flight", func() bool { return g.inFlight() == 0 })

	// Of a short body that is cut the target hears nothing, or that it is cut.
	c := dialRaw(t, g.addr)
	c.send(lines("POST /short HTTP/1.1", "Content-Length: 9") + "cut")
	fin(c.c)
	eventually(t, "the gateway has noticed", func() bool { return g.metric("penstock_connections{") == 0 })
	for _, r := range rec.of("/short") {
		if r.whole {
			t.Errorf("short body: at the origin: %+v", r)
		}
	}
}

// TestClientGone: a client that has left cancels the work at the target.
func TestClientGone(t *testing.T) {
	t.Parallel()
	answer := make(chan string)
	rec := record(t, func(_ *recorded, c net.Conn) string {
		select {
		case a := <-answer:
			_, _ = io.WriteString(c, a) // shows at the client
		case <-t.Context().Done():
		}
		_, _ = io.Copy(io.Discard, c) // until the gateway closes
		return ""
	})
	g := start(t, simple(rec.addr))
	f := func(stands, request, begin string, leave func(net.Conn)) {
		t.Helper()
		c := dialRaw(t, g.addr)
		before := len(rec.requests())
		c.send(request)
		eventually(t, stands+": the origin has the request", func() bool {
			r := rec.requests()
			return len(r) > before && r[before].whole
		})
		answer <- begin
		if begin != "" {
			if _, err := http.ReadResponse(c.r, nil); err != nil {
				t.Fatalf("%s: %v", stands, err)
			}
		}
		if _, live := rec.connections(); live != 1 || g.inFlight() != 1 {
			t.Errorf("%s: %d connections at the origin, %v in flight", stands, live, g.inFlight())
		}
		leave(c.c)
		since := time.Now()
		eventually(t, stands+": the origin is told", func() bool {
			_, live := rec.connections()
			return live == 0 && g.inFlight() == 0
		})
		t.Logf("%s: the origin was told after %v", stands, time.Since(since).Round(time.Millisecond))
	}
	get := lines("GET /x HTTP/1.1")
	post := postWith("Content-Length: 3")
	stream := lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n"
	for how, leave := range map[string]func(net.Conn){"FIN": func(c net.Conn) { _ = c.Close() }, "RST": reset} {
		f("no answer yet, "+how, get, "", leave)
		f("no answer yet to a POST, "+how, post, "", leave)
		f("no answer yet to a stream, "+how, stream, "", leave)
		f("silent events, "+how, get, head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")+"3\r\na\n\n\r\n", leave)
		f("silent body of known length, "+how, get, head("HTTP/1.1 200 OK", "Content-Length: 1000000")+"abc", leave)
		f("silent body until close, "+how, get, head("HTTP/1.0 200 OK")+"abc", leave)
	}
}

// want asks for path and compares status and code.
func (g *gateway) want(stands, request string, status int, code string) {
	g.t.Helper()
	c := dialRaw(g.t, g.addr)
	defer c.c.Close()
	go c.send(request) // a large one may not be taken whole
	if a := c.answer("GET"); a.StatusCode != status || a.code() != code || a.err != nil {
		g.t.Errorf("%s: %d %q %v, want %d %q", stands, a.StatusCode, a.body, a.err, status, code)
	}
}

// TestSilentTarget: a target that does not answer in time is given up, whatever bounds the time.
func TestSilentTarget(t *testing.T) {
	t.Parallel()
	silent := origin(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	cut := origin(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-")
		_, _ = io.Copy(io.Discard, c)
	})
	f := func(stands, conf string, requests ...string) {
		t.Helper()
		g := start(t, conf)
		for _, r := range requests {
			g.want(stands, r, 504, "upstream_timeout")
		}
		if n := g.inFlight(); n != 0 {
			t.Errorf("%s: %v in flight", stands, n)
		}
	}
	get, post := lines("GET /x HTTP/1.1"), postWith("Content-Length: 3")
	stream := lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n"
	f("response_timeout", poolKeys(silent, `response_timeout = "100ms"`), get, post, stream)
	f("head cut", poolKeys(cut, `response_timeout = "100ms"`), get)
	f("timeout of the route", simple(silent, `timeout = "150ms"`), get, post, stream,
		lines("POST /x HTTP/1.1", "Content-Length: 900000")+string(sample(gathered+1)))

	// A short body that does not come is the client's fault, and the target is not asked.
	rec := record(t, nil)
	start(t, simple(rec.addr, `timeout = "150ms"`)).want("slow short body",
		lines("POST /x HTTP/1.1", "Content-Length: 9")+"cut", 408, "request_timeout")
	if n := len(rec.requests()); n != 0 {
		t.Errorf("slow short body: %d requests at the origin", n)
	}

	// A target that does not even read holds no upload for longer.
	deaf := origin(t, func(net.Conn) { <-t.Context().Done() })
	f("deaf target", poolKeys(deaf, `response_timeout = "200ms"`),
		lines("POST /x HTTP/1.1", "Content-Length: 30000000")+strings.Repeat("x", 30_000_000),
		lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked")+"1c9c380\r\n"+strings.Repeat("x", 30_000_000))
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
		c := dialRaw(t, start(t, conf).addr)
		if a := c.get("/x"); !errors.Is(a.err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %q %v", stands, a.body, a.err)
		}
		c.closed(stands)
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
	get, post := lines("GET /x HTTP/1.1"), postWith("Content-Length: 3")
	refused := start(t, simple(freeAddr(t)))
	refused.want("refused", get, 502, "upstream_connect")
	refused.want("refused", post, 502, "upstream_connect")

	var seen atomic.Int64
	f := func(stands, request string, end func(net.Conn)) {
		t.Helper()
		g := start(t, simple(origin(t, func(c net.Conn) {
			b := make([]byte, 4096)
			if _, err := c.Read(b); err == nil {
				seen.Add(1)
				end(c)
			}
		})))
		seen.Store(0)
		g.want(stands, request, 502, "upstream_reset")
		if n := seen.Load(); n != 1 {
			t.Errorf("%s: the request was seen %d times", stands, n)
		}
	}
	fin := func(c net.Conn) { _ = c.Close() }
	f("fresh connection, FIN", get, fin)
	f("fresh connection, RST", get, reset)
	f("fresh connection, POST, FIN", post, fin)
	f("fresh connection, POST, RST", post, reset)
	f("in the middle of an upload, RST", lines("POST /x HTTP/1.1", "Content-Length: 900000")+string(sample(800_000)), reset)
	f("in the middle of a stream, RST", lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked")+"f0000\r\n"+string(sample(800_000)), reset)
}

// TestStaleConnection: a reused connection that dies before the first byte of the answer is replaced once, when
// the request can be sent again (RFC 9112 9.3.1).
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	// The origin answers the first request of a connection and does the second one in.
	kill := make(chan func(net.Conn) string, 1)
	rec := record(t, func(r *recorded, c net.Conn) string {
		select {
		case f := <-kill:
			return f(c)
		default:
			return string(ok("ok"))
		}
	})
	g := start(t, simple(rec.addr))
	f := func(stands, request string, end func(net.Conn) string, status, times int) {
		t.Helper()
		c := dialRaw(t, g.addr)
		defer c.c.Close()
		c.get("/first")
		before := len(rec.requests())
		kill <- end
		c.send(request)
		if a := c.answer("POST"); a.StatusCode != status {
			t.Errorf("%s: %d %q", stands, a.StatusCode, a.body)
		}
		if n := len(rec.requests()) - before; n != times {
			t.Errorf("%s: the request was made %d times", stands, n)
		}
	}
	fin := func(net.Conn) string { return "" }
	rst := func(c net.Conn) string { reset(c); return "" }
	get, post := lines("GET /x HTTP/1.1"), postWith("Content-Length: 3")
	stream := lines("POST /x HTTP/1.1", "Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n"
	f("GET, FIN", get, fin, 200, 2)
	f("GET, RST", get, rst, 200, 2)
	keyed := postWith("Content-Length: 3", "Idempotency-Key: 7")
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
	if n := g.metric("penstock_retries_total"); n != 4 {
		t.Errorf("%v retries counted", n)
	}
}

// TestPoolQueue: beyond max_connections requests wait, beyond max_waiting they are refused at once.
func TestPoolQueue(t *testing.T) {
	t.Parallel()
	free := make(chan bool)
	rec := record(t, func(*recorded, net.Conn) string {
		select {
		case <-free:
		case <-t.Context().Done():
		}
		return string(ok("ok"))
	})
	g := start(t, poolKeys(rec.addr, "max_connections = 1", "max_waiting = 1", `wait_timeout = "10s"`))
	waiting := func() float64 { return dig(g.status(), "pools", 0, "targets", 0, "waiting").(float64) }
	first, second := dialRaw(t, g.addr), dialRaw(t, g.addr)
	first.send(lines("GET /first HTTP/1.1"))
	eventually(t, "the first is at the origin", func() bool { return len(rec.of("/first")) == 1 })
	second.send(lines("GET /second HTTP/1.1"))
	eventually(t, "the second waits", func() bool { return waiting() == 1 })
	third := dialRaw(t, g.addr).get("/third")
	if third.StatusCode != 503 || third.code() != "pool_busy" || third.Header.Get("Retry-After") == "" {
		t.Errorf("third: %d %q", third.StatusCode, third.body)
	}
	free <- true
	if a := first.answer("GET"); a.StatusCode != 200 {
		t.Errorf("first: %d", a.StatusCode)
	}
	free <- true
	if a := second.answer("GET"); a.StatusCode != 200 {
		t.Errorf("second: %d %q", a.StatusCode, a.body)
	}
	if opened, _ := rec.connections(); opened != 1 || len(rec.of("/third")) != 0 {
		t.Errorf("%d connections at the origin", opened)
	}

	g.write(poolKeys(rec.addr, "max_connections = 1", "max_waiting = 1", `wait_timeout = "50ms"`))
	if status, text := g.reload(); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	first.send(lines("GET /fourth HTTP/1.1"))
	eventually(t, "the fourth is at the origin", func() bool { return len(rec.of("/fourth")) == 1 })
	if a := second.get("/fifth"); a.StatusCode != 503 || a.code() != "pool_wait_timeout" {
		t.Errorf("fifth: %d %q", a.StatusCode, a.body)
	}
	free <- true
	first.answer("GET")
	second.send(lines("GET /sixth HTTP/1.1"))
	free <- true
	second.answer("GET")
}
