package hop

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// dialFrom opens a connection to addr from a loopback address.
func dialFrom(t testing.TB, local, addr string) *e2e.RawClient {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return e2e.NewRawClient(t, c)
}

// TestProxyProtocolToNginx: nginx learns from the PROXY header who asks, with many clients at once that keep
// their connections, pipeline, and share few connections to it; in both versions, over TLS too.
func TestProxyProtocolToNginx(t *testing.T) {
	t.Parallel()
	ca := e2e.NewAuthority(t, "authority")
	dir := t.TempDir()
	cert, key := ca.Write(dir, "nginx", ca.Issue(false, "127.0.0.1"))
	plain, secure := e2e.FreeAddr(t), e2e.FreeAddr(t)
	nginx(t, nil, fmt.Sprintf(`server {
    listen %s proxy_protocol;
    listen %s ssl proxy_protocol;
    ssl_certificate %s;
    ssl_certificate_key %s;
    location / {
      return 200 "$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port";
    }
  }`, plain, secure, cert, key))
	pool := func(name, target, version, more string) string {
		return fmt.Sprintf("[pool.%s]\ntargets = [%q]\nproxy_protocol = %q\nmax_connections = 3\nwait_timeout = \"30s\"\n"+
			"[pool.%[1]s.health]\npath = \"/\"\ninterval = \"200ms\"\n%[4]s[[route]]\nprefix = \"/%[1]s\"\npool = %[1]q\n",
			name, target, version, more)
	}
	tls := func(name string) string {
		return fmt.Sprintf("[pool.%s.tls]\nenabled = true\nca = %q\n", name, ca.File)
	}
	wide := e2e.FreeAddr(t)
	_, port, _ := net.SplitHostPort(wide)
	g := e2e.Start(t, "[[listener]]\naddress = \"{{addr}}\"\n[[listener]]\naddress = \":"+port+"\"\n"+
		"[server]\ntrusted_proxies = [\"127.0.0.99\"]\n"+
		pool("p1", plain, "v1", "")+pool("p2", plain, "v2", "")+
		pool("s1", secure, "v1", tls("s1"))+pool("s2", secure, "v2", tls("s2")))
	pools := []string{"p1", "p2", "s1", "s2"}

	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			to := g.Addr
			if i%2 == 0 { // a listener on all addresses, where IPv4 may come mapped into IPv6
				to = fmt.Sprintf("127.0.3.%d:%s", i+1, port)
			}
			c := dialFrom(t, fmt.Sprintf("127.0.1.%d", i+1), to)
			want := c.C.LocalAddr().String() + " " + to
			for range 5 {
				var burst string
				for _, p := range pools {
					burst += e2e.Lines("GET /" + p + " HTTP/1.1")
				}
				c.Send(burst)
				for _, p := range pools {
					if a := c.Answer("GET"); a.StatusCode != 200 || a.Body != want {
						t.Errorf("%s: %d %q, want %q", p, a.StatusCode, a.Body, want)
					}
				}
			}
		})
	}
	wg.Wait()
	trusted := dialFrom(t, "127.0.0.99", g.Addr)
	// Nginx shows port 0, which stands for one that is not known, as nothing.
	f := func(forwarded, want string) {
		t.Helper()
		for _, p := range pools {
			trusted.Send(e2e.Lines("GET /"+p+" HTTP/1.1", "X-Forwarded-For: "+forwarded))
			if a := trusted.Answer("GET"); a.Body != want {
				t.Errorf("%s for %s: %q, want %q", p, forwarded, a.Body, want)
			}
		}
	}
	mapped := strings.Replace(g.Addr, "127.0.0.1", "::ffff:127.0.0.1", 1)
	f("192.0.2.7", "192.0.2.7: "+g.Addr)
	f("::ffff:192.0.2.8", "192.0.2.8: "+g.Addr)
	f("2001:db8::7", "2001:db8::7: "+mapped)
	for i, p := range pools {
		e2e.Eventually(t, "checks have passed", func() bool {
			s := g.Status()
			return e2e.Dig(s, "pools", i, "proxy_protocol") == "v"+p[1:] &&
				e2e.Dig(s, "pools", i, "targets", 0, "health", "checks").(float64) > 1
		})
		if s := e2e.Dig(g.Status(), "pools", i, "targets", 0); e2e.Dig(s, "state") != "healthy" {
			t.Errorf("%s: %v", p, s)
		}
	}
}

// said is an origin that believes the PROXY headers of a library that is not ours, and counts requests that
// are not of the client that they name: each names in X-Who where it comes from.
type said struct {
	addr     string
	requests atomic.Int64
	lies     atomic.Int64
	lie      atomic.Pointer[string]
}

func saidOrigin(t testing.TB, h http.HandlerFunc) *said {
	t.Helper()
	s := &said{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if who := r.Header.Get("X-Who"); who != r.RemoteAddr {
			s.lies.Add(1)
			text := fmt.Sprintf("%s %s of %s came from %s", r.Method, r.URL, who, r.RemoteAddr)
			s.lie.Store(&text)
		}
		h(w, r)
	})}
	go srv.Serve(&proxyproto.Listener{Listener: l, ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
		return proxyproto.REQUIRE, nil
	}})
	t.Cleanup(func() { srv.Close() })
	return s
}

func (s *said) check(t *testing.T, what string, least int64) {
	t.Helper()
	e2e.Eventually(t, what+" has been asked", func() bool { return s.requests.Load() >= least })
	if n := s.lies.Load(); n > 0 {
		t.Errorf("%s: %d of %d requests came under another client's address: %s", what, n, s.requests.Load(), *s.lie.Load())
	}
}

// TestProxyProtocolOneClient: whatever the gateway makes of a request - retries, hedges, copies, fetches of
// the cache - carries the address of the client that has made it, never that of another.
func TestProxyProtocolOneClient(t *testing.T) {
	t.Parallel()
	echo := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, r.RemoteAddr)
	}
	good, shadow := saidOrigin(t, echo), saidOrigin(t, echo)
	bad := saidOrigin(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	slow := saidOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
		}
	})
	switcher := saidOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "who")
		w.WriteHeader(101)
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			io.WriteString(c, r.RemoteAddr)
			c.Close()
		}
	})
	pool := func(name string, more string, of ...string) string {
		return fmt.Sprintf("[pool.%s]\ntargets = [%s]\nproxy_protocol = \"v2\"\nmax_connections = 6\nwait_timeout = \"30s\"\n"+
			"slow_start = \"0s\"\n%s\n", name, e2e.Quoted(of...), more)
	}
	route := func(name, more string) string {
		return fmt.Sprintf("[[route]]\nprefix = \"/%[1]s\"\npool = %[1]q\n%[2]s\n", name, more)
	}
	g := e2e.Start(t, "[[listener]]\naddress = \"{{addr}}\"\n[cache.c]\n"+
		pool("plain", "", good.addr)+route("plain", "mirror = { pool = \"shadow\" }")+
		pool("shadow", "", shadow.addr)+
		pool("retried", "retry = { attempts = 3, on = [\"503\"], budget_percent = 100 }", bad.addr, good.addr)+route("retried", "")+
		pool("hedged", "hedge = { after = \"20ms\" }\nretry = { budget_percent = 100 }", slow.addr, good.addr)+route("hedged", "")+
		pool("cached", "", good.addr)+route("cached", "cache = \"c\"")+
		pool("tunnel", "", switcher.addr)+route("tunnel", ""))

	const clients, rounds = 6, 4
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			c := dialFrom(t, fmt.Sprintf("127.0.2.%d", i+1), g.Addr)
			who := "X-Who: " + c.C.LocalAddr().String()
			for n := range rounds {
				var burst, body string
				paths := []string{"/plain", "/retried", "/hedged", fmt.Sprintf("/cached/%d", n), fmt.Sprintf("/cached/%d/%d", i, n)}
				for _, p := range paths {
					burst += e2e.Lines("GET "+p+" HTTP/1.1", who)
				}
				c.Send(burst)
				for _, p := range paths {
					a := c.Answer("GET")
					if p != fmt.Sprintf("/cached/%d", n) && a.Body != c.C.LocalAddr().String() || a.StatusCode != 200 {
						t.Errorf("%s of %s: %d %q", p, who, a.StatusCode, a.Body)
					}
				}
				body = strings.Repeat("b", 100<<10)
				c.Send(e2e.Lines("POST /plain HTTP/1.1", who, fmt.Sprint("Content-Length: ", len(body))) + body)
				if a := c.Answer("POST"); a.Body != c.C.LocalAddr().String() {
					t.Errorf("upload of %s: %q", who, a.Body)
				}
			}
			c.Send(e2e.Lines("GET /tunnel HTTP/1.1", who, "Connection: Upgrade", "Upgrade: who"))
			if a := c.Answer("GET"); a.StatusCode != 101 {
				t.Errorf("tunnel of %s: %d", who, a.StatusCode)
			} else if b, err := c.End(); b != c.C.LocalAddr().String() {
				t.Errorf("tunnel of %s: %q, %v", who, b, err)
			}
		})
	}
	wg.Wait()
	good.check(t, "the good target", clients*rounds)
	bad.check(t, "the bad target", 1)
	slow.check(t, "the slow target", 1)
	shadow.check(t, "the mirror", 1)
	switcher.check(t, "the tunnel's target", clients)
	if g.Metric(`penstock_hedges_total{pool="hedged"}`) == 0 || g.Metric(`penstock_retries_total{pool="retried"}`) == 0 {
		t.Error("no hedges, or no retries")
	}
}

// TestProxyProtocolHeader: the header and the head leave in one piece, the header once a connection; a
// client without an address has none; checks declare themselves the gateway's own.
func TestProxyProtocolHeader(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var first [][]byte
	addr := e2e.Origin(t, func(c net.Conn) {
		room := make([]byte, 64<<10)
		n, _ := c.Read(room)
		b := bytes.Clone(room[:n])
		if n == 0 {
			return
		}
		if bytes.HasPrefix(b, []byte("PROXY ")) && !bytes.Contains(b, []byte("\r\n\r\n")) {
			t.Errorf("the header came alone: %q", b)
		}
		mu.Lock()
		first = append(first, b)
		mu.Unlock()
		for br := bufio.NewReader(c); ; {
			if _, err := c.Write(e2e.OK("ok")); err != nil {
				return
			}
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if !strings.HasPrefix(r.URL.Path, "/") {
				t.Errorf("%v", r)
			}
		}
	})
	sock := t.TempDir() + "/s"
	g := e2e.Start(t, e2e.Simple(addr, "[[listener]]\naddress = \"unix:"+sock+"\"\n[pool.app.health]\npath = \"/check\"\ninterval = \"30s\"\n",
		"[server]\ntrusted_proxies = [\"127.0.0.1\"]\n"))
	text := func() string {
		mu.Lock()
		defer mu.Unlock()
		return string(bytes.Join(first, []byte("|")))
	}
	conf, err := os.ReadFile(g.File)
	if err != nil {
		t.Fatal(err)
	}
	for version, local := range map[string]string{
		"v1": "PROXY UNKNOWN\r\n", "v2": "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"} {
		mu.Lock()
		first = nil
		mu.Unlock()
		g.Write(strings.Replace(string(conf), "[pool.app]\n", "[pool.app]\nproxy_protocol = \""+version+"\"\n", 1))
		if status, body := g.Reload(); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		e2e.Eventually(t, "it is checked", func() bool { return strings.Contains(text(), local+"GET /check") })
		nc, err := net.Dial("unix", sock)
		if err != nil {
			t.Fatal(err)
		}
		u := e2e.NewRawClient(t, nc)
		u.Open(version+" from a unix socket", "/unix")
		u.Open(version+" again", "/unix")
		nc.Close()
		if n := strings.Count(text(), local+"GET /unix"); n != 1 {
			t.Errorf("%s: %d connections from the unix socket: %q", version, n, text())
		}
		c := e2e.DialRaw(t, g.Addr)
		c.Open(version, "/tcp")
		c.Open(version, "/tcp")
		if n := strings.Count(text(), "GET /tcp"); n != 1 || strings.Contains(text(), local+"GET /tcp") {
			t.Errorf("%s: %d connections of the client: %q", version, n, text())
		}
	}
}
