package front

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/ip"
)

// telling answers every request with the scheme, the peer and the path.
type telling struct{}

func (telling) Run(x *edge.Exchange) edge.Verdict {
	peer, _ := x.Ends.Ends()
	x.Answer(200, "", fmt.Appendf(nil, "%s %s %s", x.Scheme, peer, x.Path))
	return edge.Answered
}

// newSite returns a running listener whose requests are answered by telling. It ends with the test.
func newSite(t *testing.T, set *settings) *Listener {
	t.Helper()
	var current edge.Current
	g := edge.NewGeneration(1, func() {})
	g.Early, g.Nowhere = []edge.Filter{telling{}}, &edge.Plan{}
	current.Swap(g)
	if set.HeaderTimeout == 0 {
		set.HeaderTimeout = time.Hour
	}
	set.IdleTimeout, set.MaxHead, set.MaxBody = time.Hour, 4<<10, 1<<20
	if set.maxConns == 0 {
		set.maxConns = 1000
	}
	if set.trusted == nil {
		set.trusted = ip.NewSet(nil)
	}
	l := newTestListener(t, &current, set)
	l.start()
	t.Cleanup(func() {
		l.drain()
		l.cut()
		if !l.waitEmpty(time.Now().Add(time.Minute)) {
			t.Errorf("%d connections are left", l.conns.Sum())
		}
		if n := g.Pins(); n != 0 {
			t.Errorf("%d requests still hold the generation", n)
		}
	})
	return l
}

var loopback = ip.NewSet([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})

// ask sends a request on c and returns the body of the answer.
func ask(c net.Conn) (string, error) {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return "", err
	}
	return read(c)
}

func read(c net.Conn) (string, error) {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// ended reports whether the connection ends without another byte.
func ended(c net.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	n, err := c.Read(make([]byte, 1))
	return n == 0 && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET))
}

// TestProxyHeaderPieces: a PROXY header may come in pieces, cut anywhere, and together with the request behind it.
func TestProxyHeaderPieces(t *testing.T) {
	l := newSite(t, &settings{proxyProtocol: true, trusted: loopback})
	const request = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, h := range []struct{ header, want string }{
		{"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n", "192.0.2.7:12345"},
		{"PROXY TCP6 2001:db8::1 2001:db8::2 12345 80\r\n", "[2001:db8::1]:12345"},
		{"PROXY UNKNOWN\r\n", ""},
		{string(v2(1, 0x11, inet4)), "192.0.2.7:12345"},
		{string(v2(1, 0x11, append(inet4[:12:12], make([]byte, 900)...))), "192.0.2.7:12345"},
		{string(v2(0, 0, nil)), ""},
	} {
		text := h.header + request
		for at := 0; at <= len(text); at += 1 + len(text)/100 {
			far := l.dial(t)
			want := h.want
			if want == "" {
				want = far.LocalAddr().String()
			}
			for _, part := range []string{text[:at], text[at:]} {
				if _, err := io.WriteString(far, part); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := read(far); got != "http "+want+" /x" {
				t.Fatalf("%.20q cut at %d: %q %v, want %s", h.header, at, got, err, want)
			}
			if got, err := ask(far); got != "http "+want+" /x" {
				t.Fatalf("%.20q cut at %d: the second request got %q %v", h.header, at, got, err)
			}
			far.Close()
		}
	}
}

// TestProxyHeaderByteByByte: each byte of a header may come by itself.
func TestProxyHeaderByteByByte(t *testing.T) {
	l := newSite(t, &settings{proxyProtocol: true, trusted: loopback})
	far := l.dial(t)
	for _, b := range v2(1, 0x11, inet4) {
		if _, err := far.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ask(far); got != "http 192.0.2.7:12345 /x" {
		t.Errorf("%q %v", got, err)
	}
}

// TestProxyHeaderRefused: without a right header the connection ends, unless nobody is believed.
func TestProxyHeaderRefused(t *testing.T) {
	l := newSite(t, &settings{proxyProtocol: true, trusted: loopback})
	bad := func() uint64 { return l.front.badGreeting("proxy").Sum() }
	for i, text := range []string{
		"GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
		"PROXY TCP4 1.2.3 10.0.0.1 1 2\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
		"PROXY TCP4 " + strings.Repeat("1", proxyV1Max) + "\r\n",
		string(v2(1, 0x11, make([]byte, proxyV2Max))),
		string(v2(9, 0x11, inet4)),
		"\x16\x03\x01",
	} {
		far := l.dial(t)
		if _, err := io.WriteString(far, text); err != nil {
			t.Fatal(err)
		}
		if !ended(far) {
			t.Errorf("%.30q: the connection goes on", text)
		}
		if got := bad(); got != uint64(i+1) {
			t.Errorf("%.30q: %d bad greetings are counted, want %d", text, got, i+1)
		}
	}
	far := l.dial(t)
	far.Close() // it leaves before it has said anything
	l.use(&settings{Settings: *l.Settings.Load(), proxyProtocol: true, trusted: ip.NewSet(nil), maxConns: 10})
	far = l.dial(t)
	if got, err := ask(far); !strings.HasPrefix(got, "http 127.0.0.1:") {
		t.Errorf("a stranger without a header: %q %v", got, err)
	}
	far = l.dial(t)
	_, _ = io.WriteString(far, "PROXY UNKNOWN\r\n\r\n") // read below
	if got, err := read(far); !strings.Contains(got, "bad_request") {
		t.Errorf("the header of a stranger: %q %v", got, err)
	}
}

// TestGreetingTimeout: a client that says nothing in time, or not all, is cut; so is one that TLS gets nothing from.
func TestGreetingTimeout(t *testing.T) {
	for name, set := range map[string]*settings{
		"proxy": {proxyProtocol: true, trusted: loopback}, "tls": {tls: serverTLS(t)},
		"both": {proxyProtocol: true, trusted: loopback, tls: serverTLS(t)},
	} {
		set.HeaderTimeout = time.Millisecond
		l := newSite(t, set)
		for _, text := range []string{"", "P"} {
			far := l.dial(t)
			_, _ = io.WriteString(far, text) // the connection may have ended
			if !ended(far) {
				t.Errorf("%s, after %q: the connection goes on", name, text)
			}
		}
	}
}

// serverTLS returns a configuration with a certificate for a.test.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	files := writePair(t, t.TempDir(), "a", "a.test")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
}

// TestTLS: requests come through TLS, with a PROXY header before it or without, many on a connection.
func TestTLS(t *testing.T) {
	for _, c := range []struct {
		set    *settings
		header string
		peer   string
	}{
		{&settings{}, "", "127.0.0.1:"},
		{&settings{proxyProtocol: true, trusted: loopback}, "PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n", "192.0.2.7:12345 "},
	} {
		c.set.tls = serverTLS(t)
		l := newSite(t, c.set)
		far := l.dial(t)
		if _, err := io.WriteString(far, c.header); err != nil {
			t.Fatal(err)
		}
		secure := tls.Client(far, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the name is not what is tested
		for range 3 {
			if got, err := ask(secure); !strings.HasPrefix(got, "https "+c.peer) {
				t.Errorf("%q: %q %v", c.header, got, err)
			}
		}
		if err := secure.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestTLSRefused: who speaks HTTP to a port with TLS is told; others are cut.
func TestTLSRefused(t *testing.T) {
	l := newSite(t, &settings{tls: serverTLS(t)})
	far := l.dial(t)
	if got, err := ask(far); !strings.Contains(got, `"code":"plain_http"`) {
		t.Errorf("plain HTTP: %q %v", got, err)
	}
	far = l.dial(t)
	if _, err := io.WriteString(far, "\x00\x01\x02\x03\x04\x05\x06"); err != nil {
		t.Fatal(err)
	}
	if got, err := read(far); err == nil {
		t.Errorf("no TLS: %q", got)
	}
	far = l.dial(t)
	if _, err := io.WriteString(far, "\x16\x03\x01\x02\x00\x01"); err != nil { // the begin of a handshake
		t.Fatal(err)
	}
	far.Close()
	for until := time.Now().Add(time.Minute); l.front.badGreeting("tls").Sum() < 3; {
		if time.Now().After(until) {
			t.Fatalf("%d bad greetings are counted, want 3", l.front.badGreeting("tls").Sum())
		}
		l.dial(t).Close()
	}
}

// TestGreetingEvicted: when there is no room, a connection that greets is closed like an idle one.
func TestGreetingEvicted(t *testing.T) {
	for name, set := range map[string]*settings{"proxy": {proxyProtocol: true, trusted: loopback}, "tls": {tls: serverTLS(t)}} {
		l := newSite(t, set)
		far := l.dial(t)
		for until := time.Now().Add(time.Minute); l.conns.Sum() == 0; {
			if time.Now().After(until) {
				t.Fatal("the connection is not accepted")
			}
		}
		l.each(func(c *conn) { c.Evict() })
		if !ended(far) {
			t.Errorf("%s: the connection goes on", name)
		}
		if !l.waitNone() || l.front.group.Evicting.Load() != 0 || l.front.group.Evicted.Sum() != 1 {
			t.Errorf("%s: %d are to be closed, %d were", name, l.front.group.Evicting.Load(), l.front.group.Evicted.Sum())
		}
	}
}

// waitNone waits until no connection is left.
func (l *Listener) waitNone() bool {
	for until := time.Now().Add(time.Minute); l.conns.Sum() > 0; {
		if time.Now().After(until) {
			return false
		}
	}
	return true
}
