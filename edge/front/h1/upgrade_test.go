package h1

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/front/client"
)

// switching is an upstream that switches protocols: the test has the far end of each tunnel.
type switching struct {
	early string        // bytes that came with the 101
	idle  time.Duration // how long a tunnel may be silent
	far   chan *net.TCPConn
}

type end struct {
	net.Conn
	early string
}

func (e end) NetConn() net.Conn { return e.Conn }
func (e end) Early() []byte     { return []byte(e.early) }

func (u *switching) Pick(*edge.Exchange) (edge.Peer, *edge.Fault) { return u, nil }
func (u *switching) Release(*edge.Exchange, *edge.Fault)          {}

func (u *switching) RoundTrip(x *edge.Exchange) *edge.Fault {
	if len(x.Upgrade) == 0 {
		return answer(x, 200, "no upgrade")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return edge.UpstreamConnect
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return edge.UpstreamConnect
	}
	far, err := l.Accept()
	if err != nil {
		return edge.UpstreamConnect
	}
	x.SetHead(101, nil, []byte("X-Own: kept\r\n"))
	x.Tunnel, x.TunnelIdle, x.PoolName, x.TargetName = end{near, u.early}, u.idle, "pool", "target"
	u.far <- far.(*net.TCPConn)
	return nil
}

const upgrade = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n"

// open opens a tunnel and returns both ends.
func (u *switching) open(t *testing.T, r *rig, with string) (near *talker, far *net.TCPConn, h *held) {
	t.Helper()
	near = r.talk(t)
	near.send(upgrade + with)
	h = r.accept(t, true)
	far = <-u.far
	_ = far.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { far.Close() })
	head := make([]byte, len("HTTP/1.1 101 Switching Protocols\r\nX-Own: kept\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n"))
	if _, err := io.ReadFull(near.in, head); err != nil || !strings.HasPrefix(string(head), "HTTP/1.1 101 ") ||
		!strings.HasSuffix(string(head), "Connection: Upgrade\r\nUpgrade: chat\r\n\r\n") {
		t.Fatalf("%q %v", head, err)
	}
	until(t, "the tunnel is known", func() bool {
		select {
		case <-h.ended: // it was silent for too long
			return true
		default:
			return h.Tunnel() != nil
		}
	})
	return near, far, h
}

// TestUpgrade: bytes pass a tunnel both ways, those that came early too, and each side may end first.
func TestUpgrade(t *testing.T) {
	u := &switching{early: "hello", idle: time.Hour, far: make(chan *net.TCPConn, 1)}
	a := newApp(t, nil, u)
	r := newRig(t, a, &client.Settings{})
	for _, first := range []string{"client", "target"} {
		near, far, h := u.open(t, r, "early")
		got := make([]byte, 5)
		if _, err := io.ReadFull(far, got); err != nil || string(got) != "early" {
			t.Errorf("%s first: the target got %q %v", first, got, err)
		}
		if _, err := io.ReadFull(near.in, got); err != nil || string(got) != "hello" {
			t.Errorf("%s first: the client got %q %v", first, got, err)
		}
		tn := h.Tunnel()
		if tn == nil || tn.Route != "all" || tn.Pool != "pool" || tn.Target != "target" || tn.In.Load() != 5 {
			t.Errorf("%s first: the tunnel is %+v", first, tn)
		}
		if h.Evict(); r.Group.Evicting.Load() != 0 {
			t.Errorf("%s first: a tunnel is to be closed to make room", first)
		}
		big := strings.Repeat("0123456789", 100_000)
		if first == "client" {
			go func() { _, _ = io.WriteString(near, big); _ = near.CloseWrite() }()
			if b, err := io.ReadAll(far); err != nil || string(b) != big {
				t.Errorf("the target got %d bytes, %v", len(b), err)
			}
			_, _ = io.WriteString(far, "bye") // read below
			far.Close()
			if b, err := io.ReadAll(near.in); err != nil || string(b) != "bye" {
				t.Errorf("the client got %q, %v", b, err)
			}
		} else {
			go func() { _, _ = io.WriteString(far, big); _ = far.CloseWrite() }()
			if b, err := io.ReadAll(near.in); err != nil || string(b) != big {
				t.Errorf("the client got %d bytes, %v", len(b), err)
			}
			near.send("bye")
			_ = near.CloseWrite()
			if b, err := io.ReadAll(far); err != nil || string(b) != "bye" {
				t.Errorf("the target got %q, %v", b, err)
			}
		}
		<-h.ended
		if e := <-a.log; e.status != 101 || e.in+e.out != int64(len("early")+len("hello")+len(big)+len("bye")) {
			t.Errorf("%s first: the log has %+v", first, e)
		}
		if h.state != closed || h.Tunnel() != nil || r.p.tunnels.Sum() != 0 {
			t.Errorf("%s first: %s, tunnel %v, %d are counted", first, h.state, h.Tunnel(), r.p.tunnels.Sum())
		}
	}
}

// TestTunnelEnds: a tunnel that is cut, reset or silent for too long ends on both sides.
func TestTunnelEnds(t *testing.T) {
	for name, c := range map[string]struct {
		idle time.Duration
		end  func(near *talker, far *net.TCPConn, h *held)
	}{
		"cut":             {time.Hour, func(_ *talker, _ *net.TCPConn, h *held) { h.Cut() }},
		"reset by client": {time.Hour, func(near *talker, _ *net.TCPConn, _ *held) { _ = near.SetLinger(0); near.Close() }},
		"reset by target": {time.Hour, func(_ *talker, far *net.TCPConn, _ *held) { _ = far.SetLinger(0); far.Close() }},
		"silent":          {time.Millisecond, func(*talker, *net.TCPConn, *held) {}},
	} {
		u := &switching{idle: c.idle, far: make(chan *net.TCPConn, 1)}
		a := newApp(t, nil, u)
		r := newRig(t, a, &client.Settings{})
		near, far, h := u.open(t, r, "")
		c.end(near, far, h)
		<-h.ended
		for side, conn := range map[string]net.Conn{"client": near, "target": far} {
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: the side of the %s goes on", name, side)
			}
		}
		if n := a.Load().Pins(); n != 0 || r.p.tunnels.Sum() != 0 {
			t.Errorf("%s: %d requests hold the generation, %d tunnels", name, n, r.p.tunnels.Sum())
		}
	}
}

// TestNoUpgrade: what is no upgrade is a request, and the connection serves the next one.
func TestNoUpgrade(t *testing.T) {
	r := newRig(t, newApp(t, nil, &switching{}), &client.Settings{})
	r.serve(t)
	for name, text := range map[string]string{
		"with a body": "POST /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\nContent-Length: 1\r\n\r\nx",
		"not named":   "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: chat\r\n\r\n",
		"1.0":         "GET /chat HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: chat\r\n\r\n",
	} {
		far := r.talk(t)
		for range 2 {
			far.send(text)
			if got := far.get("GET"); got.body != "no upgrade" {
				t.Errorf("%s: %d %q", name, got.status, got.body)
			}
		}
	}
}
