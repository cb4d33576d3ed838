package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// webSocketEcho is an origin that sends every message back. A message "close" makes it close with 4001.
func webSocketEcho(t testing.TB) string {
	return httpOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}, InsecureSkipVerify: true})
		if err != nil {
			return // Accept has answered
		}
		defer c.CloseNow()
		c.SetReadLimit(4 << 20)
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if string(b) == "close" {
				c.Close(4001, "as you wish")
				return
			}
			if c.Write(r.Context(), kind, b) != nil {
				return
			}
		}
	})
}

// dialWebSocket opens a WebSocket through the gateway.
func dialWebSocket(t testing.TB, addr string) (*websocket.Conn, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	c, _, err := websocket.Dial(ctx, "ws://"+addr+"/ws", &websocket.DialOptions{Subprotocols: []string{"echo"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(4 << 20)
	return c, ctx
}

// tunnels returns the tunnels of the first listener as /status lists them.
func (g *gateway) tunnels() []any {
	g.t.Helper()
	list, _ := dig(g.status(), "listeners", 0, "tunnels").([]any) // null when there are none
	return list
}

// TestWebSocket carries messages both ways with a library that is not ours on both ends.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	g := start(t, simple(webSocketEcho(t)))
	c, ctx := dialWebSocket(t, g.addr)
	if c.Subprotocol() != "echo" {
		t.Errorf("subprotocol %q", c.Subprotocol())
	}
	f := func(kind websocket.MessageType, b []byte) {
		t.Helper()
		if err := c.Write(ctx, kind, b); err != nil {
			t.Fatal(err)
		}
		gotKind, got, err := c.Read(ctx)
		if err != nil || gotKind != kind || !bytes.Equal(got, b) {
			t.Fatalf("%v of %d bytes: %v of %d, %v", kind, len(b), gotKind, len(got), err)
		}
	}
	f(websocket.MessageText, []byte("hello"))
	f(websocket.MessageBinary, sample(1<<20))
	f(websocket.MessageText, nil)
	f(websocket.MessageBinary, []byte{0})

	list := g.tunnels()
	if len(list) != 1 || g.metric("penstock_tunnels") != 1 {
		t.Fatalf("tunnels: %v, counted %v", list, g.metric("penstock_tunnels"))
	}
	in, out := dig(list[0], "in_bytes").(float64), dig(list[0], "out_bytes").(float64)
	if dig(list[0], "route") != "all" || dig(list[0], "pool") != "app" || in < 1<<20 || out < 1<<20 {
		t.Errorf("%v", list[0])
	}

	pinged := make(chan error, 1)
	go func() { pinged <- c.Ping(ctx) }()
	f(websocket.MessageText, []byte("read while a pong is awaited"))
	if err := c.Write(ctx, websocket.MessageText, []byte("close")); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.Read(ctx)
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != 4001 || closed.Reason != "as you wish" {
		t.Errorf("close: %v", err)
	}
	if err := <-pinged; err != nil {
		t.Errorf("ping: %v", err)
	}
	eventually(t, "the tunnel is gone", func() bool {
		return len(g.tunnels()) == 0 && g.metric("penstock_tunnels") == 0 && g.inFlight() == 0
	})

	c, ctx = dialWebSocket(t, g.addr)
	if err := c.Close(websocket.StatusGoingAway, "bye"); err != nil {
		t.Errorf("close handshake by the client: %v", err)
	}
	eventually(t, "the second tunnel is gone", func() bool { return len(g.tunnels()) == 0 })
}

// echoSwitch is an origin that switches to "echo", sends early behind its head, and echoes bytes until the
// other side has ended.
func echoSwitch(t testing.TB, early string) string {
	return origin(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		a := head("HTTP/1.1 101 Now Echo", "Connection: upgrade", "Upgrade: "+r.Header.Get("Upgrade"))
		if _, err := io.WriteString(c, a+early); err != nil {
			return
		}
		_, _ = io.Copy(c, br) // until either side ends
	})
}

const upgradeEcho = "Connection: Upgrade\r\nUpgrade: echo/1\r\n"

// TestUpgrade: any protocol that client and target agree on is carried, half-closed ends and all.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	g := start(t, simple(echoSwitch(t, "early ")))
	f := func(stands, request, glued string) {
		t.Helper()
		c := dialRaw(t, g.addr)
		defer c.c.Close()
		c.send(request + glued)
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo/1" || resp.Header.Get("Connection") != "Upgrade" {
			t.Fatalf("%s: %v, %q, %v", stands, resp, c.got.String(), err)
		}
		want := "early " + glued
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.r, got); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", stands, got, err)
		}
		big := string(sample(1 << 20))
		go c.send(big)
		got = make([]byte, len(big))
		if _, err := io.ReadFull(c.r, got); err != nil || string(got) != big {
			t.Errorf("%s: large data did not come back, %v", stands, err)
		}
		c.send("last")
		_ = c.c.(*net.TCPConn).CloseWrite() // fails only on a closed connection
		if rest, err := c.end(); rest != "last" || err != nil {
			t.Errorf("%s: behind the half-close: %q, %v", stands, rest, err)
		}
	}
	get := "GET /x HTTP/1.1\r\n" + h1 + upgradeEcho
	f("plain", get+"\r\n", "")
	f("bytes glued to the request", get+"\r\n", "glued")
	eventually(t, "nothing is in flight", func() bool { return g.inFlight() == 0 && len(g.tunnels()) == 0 })
}

// TestUpgradeRefused: an answer other than 101 is an answer like any other, and the connection goes on.
func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	rec := record(t, func(r *recorded, _ net.Conn) string { return string(ok(r.path())) })
	g := start(t, simple(rec.addr))
	c := dialRaw(t, g.addr)
	c.send("GET /x HTTP/1.1\r\n" + h1 + upgradeEcho + "\r\n")
	if a := c.answer("GET"); a.StatusCode != 200 || a.body != "/x" {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	c.open("after the refusal", "/y")
	r := rec.of("/x")
	if len(r) != 1 || !strings.Contains(r[0].head, "\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n") {
		t.Errorf("%+v", r)
	}
	if opened, _ := rec.connections(); opened != 1 {
		t.Errorf("%d connections to the target", opened)
	}
}

// TestTunnelEnds: a tunnel ends with either side, and when both have been silent for too long.
func TestTunnelEnds(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T, g *gateway) *rawClient {
		t.Helper()
		c := dialRaw(t, g.addr)
		c.send("GET /x HTTP/1.1\r\n" + h1 + upgradeEcho + "\r\n")
		if resp, err := http.ReadResponse(c.r, nil); err != nil || resp.StatusCode != 101 {
			t.Fatalf("%v, %v", resp, err)
		}
		return c
	}
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		g := start(t, poolKeys(echoSwitch(t, ""), `stream_idle_timeout = "300ms"`))
		c := open(t, g)
		since := time.Now()
		for time.Since(since) < 900*time.Millisecond { // longer than the timeout, never silent for so long
			c.send("x")
			if b, err := c.r.ReadByte(); b != 'x' || err != nil {
				t.Fatalf("a live tunnel was cut: %v", err)
			}
			<-time.After(20 * time.Millisecond)
		}
		c.closed("silent tunnel")
		eventually(t, "nothing is in flight", func() bool { return g.inFlight() == 0 })
	})
	t.Run("client resets", func(t *testing.T) {
		t.Parallel()
		ended := make(chan bool, 1)
		g := start(t, simple(origin(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: echo/1"))
			_, _ = io.Copy(io.Discard, c)
			ended <- true
		})))
		reset(open(t, g).c)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the target was not told")
		}
		eventually(t, "nothing is in flight", func() bool { return g.inFlight() == 0 })
	})
	t.Run("target closes", func(t *testing.T) {
		t.Parallel()
		g := start(t, simple(origin(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: echo/1")+"bye")
		})))
		c := open(t, g)
		if rest, _ := c.end(); rest != "bye" { // RST instead of FIN is as good an end
			t.Errorf("%q", rest)
		}
		c.c.Close()
		eventually(t, "nothing is in flight", func() bool { return g.inFlight() == 0 })
	})
}

// TestUpgradeWithBody: where a body ends and the new protocol begins would be a matter of opinion, so such an
// offer is not passed on (RFC 9110 7.8 lets it be ignored), and a target that switches all the same is refused.
func TestUpgradeWithBody(t *testing.T) {
	t.Parallel()
	rec := record(t, func(r *recorded, c net.Conn) string {
		_, _ = io.WriteString(c, head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: echo/1")) // shows at the client
		_, _ = io.Copy(io.Discard, c)
		return ""
	})
	g := start(t, simple(rec.addr))
	f := func(stands, framing string) {
		t.Helper()
		c := dialRaw(t, g.addr)
		defer c.c.Close()
		c.send("POST /x HTTP/1.1\r\n" + h1 + upgradeEcho + framing)
		if a := c.answer("POST"); a.StatusCode != 502 || a.code() != "upstream_upgrade" {
			t.Errorf("%s: %d %q", stands, a.StatusCode, a.body)
		}
	}
	f("whole body", "Content-Length: 4\r\n\r\nbodyglued")
	f("chunks", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\nglued")
	for _, r := range rec.requests() {
		if strings.Contains(r.head, "Upgrade") || r.body != "body" {
			t.Errorf("%+v", r)
		}
	}
}

// TestUpgradeChoice: of several protocols offered the target takes one (RFC 9110 7.8).
func TestUpgradeChoice(t *testing.T) {
	t.Parallel()
	g := start(t, simple(origin(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: b/2")+"bytes")
	})))
	c := dialRaw(t, g.addr)
	c.send(fmt.Sprintf("GET /x HTTP/1.1\r\n%sConnection: Upgrade\r\nUpgrade: a/1, b/2\r\n\r\n", h1))
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "b/2" {
		t.Fatalf("%v, %v", resp, err)
	}
	if rest, _ := c.end(); rest != "bytes" {
		t.Errorf("%q", rest)
	}
}
