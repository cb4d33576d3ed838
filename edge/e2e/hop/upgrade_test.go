package hop

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestWebSocket carries messages both ways with a library that is not ours on both ends.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, e2e.Simple(e2e.WebSocketEcho(t)))
	c, ctx := e2e.DialWebSocket(t, g.Addr)
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
	f(websocket.MessageBinary, e2e.Sample(1<<20))
	f(websocket.MessageText, nil)
	f(websocket.MessageBinary, []byte{0})

	list := g.Tunnels()
	if len(list) != 1 || g.Metric("penstock_tunnels") != 1 {
		t.Fatalf("tunnels: %v, counted %v", list, g.Metric("penstock_tunnels"))
	}
	in, out := e2e.Dig(list[0], "in_bytes").(float64), e2e.Dig(list[0], "out_bytes").(float64)
	if e2e.Dig(list[0], "route") != "all" || e2e.Dig(list[0], "pool") != "app" || in < 1<<20 || out < 1<<20 {
		t.Errorf("%v", list[0])
	}

	pinged := make(chan error, 1)
	go func() { pinged <- c.Ping(ctx) }()
	for answered := false; !answered; {
		f(websocket.MessageText, []byte("read while a pong is awaited"))
		select {
		case err := <-pinged:
			if answered = true; err != nil {
				t.Errorf("ping: %v", err)
			}
		default:
		}
	}
	if err := c.Write(ctx, websocket.MessageText, []byte("close")); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.Read(ctx)
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != 4001 || closed.Reason != "as you wish" {
		t.Errorf("close: %v", err)
	}
	e2e.Eventually(t, "the tunnel is gone", func() bool {
		return len(g.Tunnels()) == 0 && g.Metric("penstock_tunnels") == 0 && g.InFlight() == 0
	})

	c, ctx = e2e.DialWebSocket(t, g.Addr)
	if err := c.Close(websocket.StatusGoingAway, "bye"); err != nil {
		t.Errorf("close handshake by the client: %v", err)
	}
	e2e.Eventually(t, "the second tunnel is gone", func() bool { return len(g.Tunnels()) == 0 })
}

// echoSwitch is an origin that switches to "echo", sends early behind its head, and echoes bytes until the
// other side has ended.
func echoSwitch(t testing.TB, early string) string {
	return e2e.Origin(t, func(c net.Conn) {
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
	g := e2e.Start(t, e2e.Simple(echoSwitch(t, "early ")))
	f := func(stands, request, glued string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send(request + glued)
		resp, err := http.ReadResponse(c.R, nil)
		if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo/1" || resp.Header.Get("Connection") != "Upgrade" {
			t.Fatalf("%s: %v, %q, %v", stands, resp, c.Got.String(), err)
		}
		want := "early " + glued
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.R, got); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", stands, got, err)
		}
		big := string(e2e.Sample(1 << 20))
		go c.Send(big)
		got = make([]byte, len(big))
		if _, err := io.ReadFull(c.R, got); err != nil || string(got) != big {
			t.Errorf("%s: large data did not come back, %v", stands, err)
		}
		c.Send("last")
		_ = c.C.(*net.TCPConn).CloseWrite() // fails only on a closed connection
		if rest, err := c.End(); rest != "last" || err != nil {
			t.Errorf("%s: behind the half-close: %q, %v", stands, rest, err)
		}
	}
	get := "GET /x HTTP/1.1\r\n" + e2e.HostLine + upgradeEcho
	f("plain", get+"\r\n", "")
	f("bytes glued to the request", get+"\r\n", "glued")
	e2e.Eventually(t, "nothing is in flight", func() bool { return g.InFlight() == 0 && len(g.Tunnels()) == 0 })
}

// TestUpgradeRefused: an answer other than 101 is an answer like any other, and the connection goes on.
func TestUpgradeRefused(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, func(r *e2e.Recorded, _ net.Conn) string { return string(e2e.OK(r.Path())) })
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	c := e2e.DialRaw(t, g.Addr)
	c.Send("GET /x HTTP/1.1\r\n" + e2e.HostLine + upgradeEcho + "\r\n")
	if a := c.Answer("GET"); a.StatusCode != 200 || a.Body != "/x" {
		t.Errorf("%d %q", a.StatusCode, a.Body)
	}
	c.Open("after the refusal", "/y")
	r := rec.Of("/x")
	if len(r) != 1 || !strings.Contains(r[0].Head, "\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n") {
		t.Errorf("%+v", r)
	}
	if opened, _ := rec.Connections(); opened != 1 {
		t.Errorf("%d connections to the target", opened)
	}
}

// TestTunnelEnds: a tunnel ends with either side, and when both have been silent for too long.
func TestTunnelEnds(t *testing.T) {
	t.Parallel()
	open := func(t *testing.T, g *e2e.Gateway) *e2e.RawClient {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		c.Send("GET /x HTTP/1.1\r\n" + e2e.HostLine + upgradeEcho + "\r\n")
		if resp, err := http.ReadResponse(c.R, nil); err != nil || resp.StatusCode != 101 {
			t.Fatalf("%v, %v", resp, err)
		}
		return c
	}
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		g := e2e.Start(t, poolKeys(echoSwitch(t, ""), `stream_idle_timeout = "2s"`))
		c := open(t, g)
		since := time.Now()
		for time.Since(since) < 3*time.Second { // longer than the timeout, never silent for so long
			c.Send("x")
			if b, err := c.R.ReadByte(); b != 'x' || err != nil {
				t.Fatalf("a live tunnel was cut: %v", err)
			}
			<-time.After(20 * time.Millisecond)
		}
		c.Closed("silent tunnel")
		e2e.Eventually(t, "nothing is in flight", func() bool { return g.InFlight() == 0 })
	})
	t.Run("client resets", func(t *testing.T) {
		t.Parallel()
		ended := make(chan bool, 1)
		g := e2e.Start(t, e2e.Simple(e2e.Origin(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: echo/1"))
			_, _ = io.Copy(io.Discard, c)
			ended <- true
		})))
		reset(open(t, g).C)
		select {
		case <-ended:
		case <-time.After(e2e.Patience):
			t.Error("the target was not told")
		}
		e2e.Eventually(t, "nothing is in flight", func() bool { return g.InFlight() == 0 })
	})
	t.Run("target closes", func(t *testing.T) {
		t.Parallel()
		g := e2e.Start(t, e2e.Simple(e2e.Origin(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: echo/1")+"bye")
		})))
		c := open(t, g)
		if rest, _ := c.End(); rest != "bye" { // RST instead of FIN is as good an end
			t.Errorf("%q", rest)
		}
		c.C.Close()
		e2e.Eventually(t, "nothing is in flight", func() bool { return g.InFlight() == 0 })
	})
}

// TestUpgradeWithBody: where a body ends and the new protocol begins would be a matter of opinion, so such an
// offer is not passed on (RFC 9110 7.8 lets it be ignored), and a target that switches all the same is refused.
func TestUpgradeWithBody(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, func(r *e2e.Recorded, c net.Conn) string {
		_, _ = io.WriteString(c, head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: echo/1")) // shows at the client
		_, _ = io.Copy(io.Discard, c)
		return ""
	})
	g := e2e.Start(t, e2e.Simple(rec.Addr))
	f := func(stands, framing string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		defer c.C.Close()
		c.Send("POST /x HTTP/1.1\r\n" + e2e.HostLine + upgradeEcho + framing)
		if a := c.Answer("POST"); a.StatusCode != 502 || a.Code() != "upstream_upgrade" {
			t.Errorf("%s: %d %q", stands, a.StatusCode, a.Body)
		}
	}
	f("whole body", "Content-Length: 4\r\n\r\nbodyglued")
	f("chunks", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\nglued")
	for _, r := range rec.Requests() {
		if strings.Contains(r.Head, "Upgrade") || r.Body != "body" {
			t.Errorf("%+v", r)
		}
	}
}

// TestUpgradeChoice: of several protocols offered the target takes one (RFC 9110 7.8).
func TestUpgradeChoice(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, e2e.Simple(e2e.Origin(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, head("HTTP/1.1 101 X", "Connection: upgrade", "Upgrade: b/2")+"bytes")
	})))
	c := e2e.DialRaw(t, g.Addr)
	c.Send(fmt.Sprintf("GET /x HTTP/1.1\r\n%sConnection: Upgrade\r\nUpgrade: a/1, b/2\r\n\r\n", e2e.HostLine))
	resp, err := http.ReadResponse(c.R, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "b/2" {
		t.Fatalf("%v, %v", resp, err)
	}
	if rest, _ := c.End(); rest != "bytes" {
		t.Errorf("%q", rest)
	}
}
