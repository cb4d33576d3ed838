package e2e

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

	proxyproto "github.com/pires/go-proxyproto"
)

// dialFrom opens a connection to addr from a loopback address.
func dialFrom(t testing.TB, local, addr string) *rawClient {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return newRawClient(t, c)
}

// TestProxyProtocolToNginx: nginx learns from the PROXY header who asks, with many clients at once that keep
// their connections, pipeline, and share few connections to it; in both versions, over TLS too.
func TestProxyProtocolToNginx(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "authority")
	dir := t.TempDir()
	cert, key := ca.write(dir, "nginx", ca.issue(false, "127.0.0.1"))
	plain, secure := freeAddr(t), freeAddr(t)
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
		return fmt.Sprintf("[pool.%s.tls]\nenabled = true\nca = %q\n", name, ca.file)
	}
	wide := freeAddr(t)
	_, port, _ := net.SplitHostPort(wide)
	g := start(t, "[[listener]]\naddress = \"{{addr}}\"\n[[listener]]\naddress = \":"+port+"\"\n"+
		"[server]\ntrusted_proxies = [\"127.0.0.99\"]\n"+
		pool("p1", plain, "v1", "")+pool("p2", plain, "v2", "")+
		pool("s1", secure, "v1", tls("s1"))+pool("s2", secure, "v2", tls("s2")))
	pools := []string{"p1", "p2", "s1", "s2"}

	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			to := g.addr
			if i%2 == 0 { // a listener on all addresses, where IPv4 may come mapped into IPv6
				to = fmt.Sprintf("127.0.3.%d:%s", i+1, port)
			}
			c := dialFrom(t, fmt.Sprintf("127.0.1.%d", i+1), to)
			want := c.c.LocalAddr().String() + " " + to
			for range 5 {
				var burst string
				for _, p := range pools {
					burst += lines("GET /" + p + " HTTP/1.1")
				}
				c.send(burst)
				for _, p := range pools {
					if a := c.answer("GET"); a.StatusCode != 200 || a.body != want {
						t.Errorf("%s: %d %q, want %q", p, a.StatusCode, a.body, want)
					}
				}
			}
		})
	}
	wg.Wait()
	trusted := dialFrom(t, "127.0.0.99", g.addr)
	// Nginx shows port 0, which stands for one that is not known, as nothing.
	f := func(forwarded, want string) {
		t.Helper()
		for _, p := range pools {
			trusted.send(lines("GET /"+p+" HTTP/1.1", "X-Forwarded-For: "+forwarded))
			if a := trusted.answer("GET"); a.body != want {
				t.Errorf("%s for %s: %q, want %q", p, forwarded, a.body, want)
			}
		}
	}
	mapped := strings.Replace(g.addr, "127.0.0.1", "::ffff:127.0.0.1", 1)
	f("192.0.2.7", "192.0.2.7: "+g.addr)
	f("::ffff:192.0.2.8", "192.0.2.8: "+g.addr)
	f("2001:db8::7", "2001:db8::7: "+mapped)
	for i, p := range pools {
		eventually(t, "checks have passed", func() bool {
			s := g.status()
			return dig(s, "pools", i, "proxy_protocol") == "v"+p[1:] &&
				dig(s, "pools", i, "targets", 0, "health", "checks").(float64) > 1
		})
		if s := dig(g.status(), "pools", i, "targets", 0); dig(s, "state") != "healthy" {
			t.Errorf("%s: %v", p, s)
		}
	}
}

// said is an origin that believes the PROXY headers of a library that is not ours, and counts requests that
// are not of whom they say: each says in X-Who where it comes from.
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
	eventually(t, what+" has been asked", func() bool { return s.requests.Load() >= least })
	if n := s.lies.Load(); n > 0 {
		t.Errorf("%s: %d of %d requests came under another client's address: %s", what, n, s.requests.Load(), *s.lie.Load())
	}
}

// TestProxyProtocolOneClient: whatever the gateway makes of a request - retries, hedges, copies, fetches of the
// cache - carries the address of the client who has made it, never that of another.
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
			"slow_start = \"0s\"\n%s\n", name, quoted(of...), more)
	}
	route := func(name, more string) string {
		return fmt.Sprintf("[[route]]\nprefix = \"/%[1]s\"\npool = %[1]q\n%[2]s\n", name, more)
	}
	g := start(t, "[[listener]]\naddress = \"{{addr}}\"\n[cache.c]\n"+
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
			c := dialFrom(t, fmt.Sprintf("127.0.2.%d", i+1), g.addr)
			who := "X-Who: " + c.c.LocalAddr().String()
			for n := range rounds {
				var burst, body string
				paths := []string{"/plain", "/retried", "/hedged", fmt.Sprintf("/cached/%d", n), fmt.Sprintf("/cached/%d/%d", i, n)}
				for _, p := range paths {
					burst += lines("GET "+p+" HTTP/1.1", who)
				}
				c.send(burst)
				for _, p := range paths {
					a := c.answer("GET")
					if p != fmt.Sprintf("/cached/%d", n) && a.body != c.c.LocalAddr().String() || a.StatusCode != 200 {
						t.Errorf("%s of %s: %d %q", p, who, a.StatusCode, a.body)
					}
				}
				body = strings.Repeat("b", 100<<10)
				c.send(lines("POST /plain HTTP/1.1", who, fmt.Sprint("Content-Length: ", len(body))) + body)
				if a := c.answer("POST"); a.body != c.c.LocalAddr().String() {
					t.Errorf("upload of %s: %q", who, a.body)
				}
			}
			c.send(lines("GET /tunnel HTTP/1.1", who, "Connection: Upgrade", "Upgrade: who"))
			if a := c.answer("GET"); a.StatusCode != 101 {
				t.Errorf("tunnel of %s: %d", who, a.StatusCode)
			} else if b, err := c.end(); b != c.c.LocalAddr().String() {
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
	if g.metric(`penstock_hedges_total{pool="hedged"}`) == 0 || g.metric(`penstock_retries_total{pool="retried"}`) == 0 {
		t.Error("no hedges, or no retries")
	}
}

// TestProxyProtocolHeader: the header and the head leave in one piece, the header once a connection; a client
// without an address has none; checks say that they are the gateway's own.
func TestProxyProtocolHeader(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var first [][]byte
	addr := origin(t, func(c net.Conn) {
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
			if _, err := c.Write(ok("ok")); err != nil {
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
	g := start(t, simple(addr, "[[listener]]\naddress = \"unix:"+sock+"\"\n[pool.app.health]\npath = \"/check\"\ninterval = \"30s\"\n",
		"[server]\ntrusted_proxies = [\"127.0.0.1\"]\n"))
	text := func() string {
		mu.Lock()
		defer mu.Unlock()
		return string(bytes.Join(first, []byte("|")))
	}
	conf, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	for version, local := range map[string]string{
		"v1": "PROXY UNKNOWN\r\n", "v2": "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"} {
		mu.Lock()
		first = nil
		mu.Unlock()
		g.write(strings.Replace(string(conf), "[pool.app]\n", "[pool.app]\nproxy_protocol = \""+version+"\"\n", 1))
		if status, body := g.reload(); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		eventually(t, "it is checked", func() bool { return strings.Contains(text(), local+"GET /check") })
		nc, err := net.Dial("unix", sock)
		if err != nil {
			t.Fatal(err)
		}
		u := newRawClient(t, nc)
		u.open(version+" from a unix socket", "/unix")
		u.open(version+" again", "/unix")
		nc.Close()
		if n := strings.Count(text(), local+"GET /unix"); n != 1 {
			t.Errorf("%s: %d connections from the unix socket: %q", version, n, text())
		}
		c := dialRaw(t, g.addr)
		c.open(version, "/tcp")
		c.open(version, "/tcp")
		if n := strings.Count(text(), "GET /tcp"); n != 1 || strings.Contains(text(), local+"GET /tcp") {
			t.Errorf("%s: %d connections of the client: %q", version, n, text())
		}
	}
}
