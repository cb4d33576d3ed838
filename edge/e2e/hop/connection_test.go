package hop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// listenerKeys returns simple's configuration with keys added to its listener.
func listenerKeys(target string, listener ...string) string {
	return strings.Replace(e2e.Simple(target), `name = "main"`, strings.Join(append(listener, `name = "main"`), "\n"), 1)
}

// TestKeepAlive: connections of both sides are used again for as long as nobody says close.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	c := e2e.DialRaw(t, g.Addr)
	for range 5 {
		if a := c.Get("/x"); a.StatusCode != 200 || a.Close {
			t.Errorf("%d, close %v", a.StatusCode, a.Close)
		}
	}
	if opened, _ := rec.Connections(); opened != 1 {
		t.Errorf("%d connections to the target", opened)
	}
	// An answer is there a moment before the target's connection can be used again; the close comes after that.
	c.Send(e2e.Lines("GET /x HTTP/1.1", "Connection: close"))
	if a := c.Answer("GET"); a.StatusCode != 200 {
		t.Errorf("%d", a.StatusCode)
	}
	c.Closed("the last request of the first client")
	f := func(stands, request string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(request + smuggled)
		if a := c.Answer("GET"); a.StatusCode != 200 || !a.Close {
			t.Errorf("%s: %d, close %v", stands, a.StatusCode, a.Close)
		}
		c.Closed(stands)
	}
	f("RFC 9112 9.6: close", e2e.Lines("GET /x HTTP/1.1", "Connection: close"))
	f("close in a list and another case", e2e.Lines("GET /x HTTP/1.1", "Connection: foo , CLOSE"))
	f("close on a second line", e2e.Lines("GET /x HTTP/1.1", "Connection: keep-alive", "Connection: close"))
	f("RFC 9112 9.3: HTTP/1.0", "GET /x HTTP/1.0\r\n\r\n")
	f("HTTP/1.0 that says both", "GET /x HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n")
	if n := len(rec.Of("/smuggled")); n != 0 {
		t.Errorf("%d requests were served behind a close", n)
	}
	if opened, _ := rec.Connections(); opened != 1 {
		t.Errorf("%d connections to the target: a client's close is not its affair", opened)
	}
}

// TestTimeouts: silent connections end, slow heads are told so.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, listenerKeys(e2e.Record(t, nil).Addr, `header_timeout = "300ms"`, `idle_timeout = "200ms"`))
	c := e2e.DialRaw(t, g.Addr)
	c.Get("/x")
	c.Closed("idle_timeout")
	e2e.DialRaw(t, g.Addr).Closed("nothing was ever sent")

	f := func(stands string, pieces ...string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		since := time.Now()
		done := make(chan bool)
		go func() {
			defer close(done)
			for i := 0; i < len(pieces) || time.Since(since) < time.Second; i++ {
				c.Send(pieces[min(i, len(pieces)-1)])
				<-time.After(50 * time.Millisecond) // faster than any time between two bytes that could be allowed
			}
		}()
		a := c.Answer("GET")
		if a.StatusCode != 408 || a.Code() != "request_timeout" || !a.Close {
			t.Errorf("%s: %d %q", stands, a.StatusCode, a.Body)
		}
		<-done
	}
	f("slow head: a field at a time", "GET /x HTTP/1.1\r\n"+e2e.HostLine, "X-A: b\r\n")
	f("slow head: a byte at a time", "G", "E", "T", " ", "/", "x")
	f("slow head behind a request", e2e.Lines("GET /x HTTP/1.1")[:20], "a")
}

// TestConnectionCaps: beyond max_connections, and beyond the cap of an address, connections are turned away.
func TestConnectionCaps(t *testing.T) {
	t.Parallel()
	f := func(reason string, listener ...string) {
		t.Helper()
		g := e2e.Start(t, listenerKeys(e2e.Record(t, nil).Addr, listener...))
		first, second := e2e.DialRaw(t, g.Addr), e2e.DialRaw(t, g.Addr)
		first.Get("/x")
		second.Get("/x")
		third := e2e.DialRaw(t, g.Addr)
		if a := third.Answer("GET"); a.StatusCode != 503 || a.Code() != "too_many_connections" || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %q", reason, a.StatusCode, a.Body)
		}
		third.Closed(reason)
		g.Counted(`penstock_connections_refused_total{reason="`+reason+`"}`, 1)
		first.C.Close()
		e2e.Eventually(t, "there is room again", func() bool { return g.Metric("penstock_connections{") == 1 })
		if a := e2e.DialRaw(t, g.Addr).Get("/x"); a.StatusCode != 200 {
			t.Errorf("%s: %d after a connection has gone", reason, a.StatusCode)
		}
		second.Open(reason, "/x")
	}
	f("listener_full", "max_connections = 2")
	f("address_full", "max_connections_per_ip = 2")
}

// TestConnectionRate: an address that connects too often is turned away for a while, a trusted one never.
func TestConnectionRate(t *testing.T) {
	t.Parallel()
	keys := listenerKeys(e2e.Record(t, nil).Addr, `max_connection_rate_per_ip = "2/min"`)
	g := e2e.Start(t, keys)
	if a := e2e.DialRaw(t, g.Addr).Get("/x"); a.StatusCode != 200 {
		t.Errorf("the first connection: %d", a.StatusCode)
	}
	second := e2e.DialRaw(t, g.Addr)
	if a := second.Answer("GET"); a.StatusCode != 503 || a.Code() != "too_many_connections" {
		t.Errorf("the second one: %d %q", a.StatusCode, a.Body)
	}
	second.Closed("turned away")
	g.Counted(`penstock_connections_refused_total{reason="address_too_fast"}`, 1)
	g.Write(keys + e2e.TrustLoopback)
	g.Reload()
	for range 5 {
		if a := e2e.DialRaw(t, g.Addr).Get("/x"); a.StatusCode != 200 {
			t.Errorf("a trusted proxy: %d", a.StatusCode)
		}
	}
}

// proxyV2 returns a PROXY header of version 2 with the given command, family and addresses.
func proxyV2(command, family byte, body string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{0x20 | command, family, byte(len(body) >> 8), byte(len(body))}) + body
}

const (
	v2four = "\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x00\x50"
	v2six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x12\x34\x00\x50"
)

// TestProxyProtocol: a trusted peer says who the client is; what it says wrong ends the connection.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, listenerKeys(rec.Addr, "proxy_protocol = true", `header_timeout = "300ms"`)+e2e.TrustLoopback)
	f := func(stands, greeting, client string) {
		t.Helper()
		path := fmt.Sprint("/", len(rec.Requests()))
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(greeting)
		c.Open(stands, path)
		r := rec.Of(path)
		if len(r) != 1 || !strings.Contains(r[0].Head, "\r\nX-Forwarded-For: "+client+"\r\n") {
			t.Errorf("%s: %+v", stands, r)
		}
		c.Open(stands+": again", path)
	}
	f("version 1", "PROXY TCP4 1.2.3.4 5.6.7.8 4660 80\r\n", "1.2.3.4")
	f("version 1, IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 4660 80\r\n", "2001:db8::1")
	f("version 1, UNKNOWN", "PROXY UNKNOWN\r\n", "127.0.0.1")
	f("version 1, UNKNOWN with text", "PROXY UNKNOWN a b c d\r\n", "127.0.0.1")
	f("version 2", proxyV2(1, 0x11, v2four), "1.2.3.4")
	f("version 2, IPv6", proxyV2(1, 0x21, v2six), "2001:db8::1")
	f("version 2, further fields", proxyV2(1, 0x11, v2four+"\x04\x00\x03abc"), "1.2.3.4")
	f("version 2, LOCAL", proxyV2(0, 0, ""), "127.0.0.1")
	f("version 2, unix sockets", proxyV2(1, 0x31, strings.Repeat("\x00", 216)), "127.0.0.1")

	bad := func(stands, greeting string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(greeting + smuggled)
		if b, err := io.ReadAll(c.C); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) { // FIN or RST
			t.Errorf("%s: %q, %v", stands, b, err)
		}
	}
	bad("none at all", "")
	bad("version 1, garbage", "PROXY garbage\r\n")
	bad("version 1, no address", "PROXY TCP4 1.2.3.4.5 5.6.7.8 1 2\r\n")
	bad("version 1, other family", "PROXY TCP4 ::1 ::2 1 2\r\n")
	bad("version 1, port too large", "PROXY TCP4 1.2.3.4 5.6.7.8 65536 80\r\n")
	bad("version 1, leading zero", "PROXY TCP4 1.2.3.4 5.6.7.8 080 80\r\n")
	bad("version 1, LF only", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n")
	bad("version 1, endless line", "PROXY UNKNOWN "+strings.Repeat("x", 200)+"\r\n")
	bad("version 1, lower case", "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n")
	bad("version 2, version 3", strings.Replace(proxyV2(1, 0x11, v2four), "\x21\x11", "\x31\x11", 1))
	bad("version 2, unknown command", proxyV2(2, 0x11, v2four))
	bad("version 2, short addresses", proxyV2(1, 0x11, v2four[:8]))
	bad("version 2, endless", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff")
	bad("cut", "PROXY TCP4 1.2")
	if n := len(rec.Of("/smuggled")); n != 0 {
		t.Errorf("%d requests behind a bad greeting", n)
	}
	g.Counted(`penstock_bad_greetings_total{what="proxy"}`, 14)
}

// TestProxyProtocolStranger: to a peer that is not trusted a PROXY header is a malformed request.
func TestProxyProtocolStranger(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, listenerKeys(rec.Addr, "proxy_protocol = true"))
	for _, greeting := range []string{"PROXY TCP4 1.2.3.4 5.6.7.8 4660 80\r\n", proxyV2(1, 0x11, v2four)} {
		c := e2e.DialRaw(t, g.Addr)
		c.Send(greeting + smuggled)
		if a := c.Answer("GET"); a.StatusCode != 400 {
			t.Errorf("%q: %d", greeting, a.StatusCode)
		}
		c.Closed(greeting)
	}
	e2e.DialRaw(t, g.Addr).Open("without a PROXY header", "/x")
	if n := len(rec.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestTrustedProxy: what a trusted proxy says of the client is passed on.
func TestTrustedProxy(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	g := e2e.Start(t, e2e.Simple(rec.Addr)+e2e.TrustLoopback)
	c := e2e.DialRaw(t, g.Addr)
	c.Send(e2e.Lines("GET /x HTTP/1.1", "X-Forwarded-For: 6.6.6.6, 1.2.3.4", "X-Forwarded-Proto: https", "X-Request-Id: abc"))
	if a := c.Answer("GET"); a.StatusCode != 200 || a.Header.Get("X-Request-Id") != "abc" {
		t.Errorf("%d %q", a.StatusCode, a.Header)
	}
	h := rec.Of("/x")[0].Head
	for _, want := range []string{"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 127.0.0.1", "X-Forwarded-Proto: https", "X-Request-Id: abc"} {
		if !strings.Contains(h, "\r\n"+want+"\r\n") {
			t.Errorf("no %q in %q", want, h)
		}
	}
}

// TestUnixListener: clients may come through a Unix socket.
func TestUnixListener(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, nil)
	path := t.TempDir() + "/front.sock"
	e2e.Start(t, strings.Replace(e2e.Simple(rec.Addr), "{{addr}}", "unix:"+path, 1))
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := e2e.NewRawClient(t, nc)
	c.Send(e2e.Lines("POST /x HTTP/1.1", "Content-Length: 200000") + string(e2e.Sample(200_000)))
	if a := c.Answer("POST"); a.StatusCode != 200 {
		t.Errorf("%d %q", a.StatusCode, a.Body)
	}
	if r := rec.Of("/x"); len(r) != 1 || r[0].Body != string(e2e.Sample(200_000)) {
		t.Error("the origin got something else")
	}
	c.Open("again", "/y")
}
