package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "all is well\n") })
	mux.HandleFunc("/503", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	mux.HandleFunc("/302", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) })
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(103)
		w.WriteHeader(103)
		w.WriteHeader(204)
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("a", maxBody-1)+"b"+"c")
	})
	mux.HandleFunc("/zip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "not gzip")
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	address := s.Listener.Addr().String()
	f := func(lines, want string) {
		t.Helper()
		wantError(t, lines, NewChecker(good(t, lines), Target{Address: address}).Check(t.Context()), want)
	}
	f("", "")
	f("method = 'HEAD'", "")
	f("method = 'OPTIONS'", "")
	f("method = 'POST'", "")
	f("path = '/503'", "status 503, want 200-299")
	f("path = '/503'\nstatus = '503'", "")
	f("status = '201,400-499'", "status 200, want 201,400-499")
	f("path = '/302'", "status 302, want 200-299")
	f("path = '/early'", "")
	f("body = 'all is well'", "")
	f("body = '(?m)^all.*well$'", "")
	f("body = 'all is ill'", "body does not match")
	f("path = '/early'\nbody = 'a'", "body does not match")
	f("path = '/503'\nbody = 'a'", "status 503, want 200-299")
	f("path = '/long'\nbody = 'b$'", "")
	f("path = '/long'\nbody = 'c'", "body does not match")
	f("path = '/zip'\nbody = '^not gzip$'", "")
}

func TestHTTPRequest(t *testing.T) {
	got := make(chan string, 1)
	address := rawServer(t, func(nc net.Conn) {
		var head strings.Builder
		for r := bufio.NewReader(nc); !strings.HasSuffix(head.String(), "\r\n\r\n"); {
			line, err := r.ReadString('\n')
			if err != nil {
				break
			}
			head.WriteString(line)
		}
		io.WriteString(nc, "HTTP/1.1 200 OK\r\n\r\n")
		got <- head.String()
	})
	f := func(lines, host, want string) {
		t.Helper()
		to := Target{Address: address, Host: host}
		if err := NewChecker(good(t, lines), to).Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if head := <-got; head != strings.ReplaceAll(want, "\n", "\r\n") {
			t.Errorf("%s: sent %q, want %q", lines, head, want)
		}
	}
	const ours = "Connection: close\nUser-Agent: penstock-health\n"
	f("", "", "GET / HTTP/1.1\nHost: "+address+"\n"+ours+"\n")
	f("", "b.example", "GET / HTTP/1.1\nHost: b.example\n"+ours+"\n")
	f("path = '/a%2Fb?c=d'\nhost = 'a.example'\nmethod = 'POST'", "b.example",
		"POST /a%2Fb?c=d HTTP/1.1\nHost: a.example\n"+ours+"Content-Length: 0\n\n")
	f("headers = { X-B = '2', x-a = '1', USER-agent = 'me' }", "a",
		"GET / HTTP/1.1\nHost: a\nConnection: close\nUSER-agent: me\nX-B: 2\nx-a: 1\n\n")
}

// TestMisbehaving checks servers that break the rules in each way that has a line of its own.
func TestMisbehaving(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	f := func(what, lines, want string, serve func(nc net.Conn)) {
		t.Helper()
		closed := make(chan error, 1)
		address := rawServer(t, func(nc net.Conn) {
			if serve(nc); want != "" && strings.HasPrefix(want, "no ") && strings.HasSuffix(want, "ms") {
				_, err := io.Copy(io.Discard, nc) // the checker must hang up
				closed <- err
			}
		})
		timeout := "timeout = '30s'\n" // longer than any machine needs to find out
		if strings.HasSuffix(want, "ms") {
			timeout = "timeout = '300ms'\n"
		}
		h := NewChecker(good(t, timeout+lines), Target{Address: address})
		wantError(t, what, h.Check(t.Context()), want)
		if strings.HasPrefix(want, "no ") && strings.HasSuffix(want, "ms") {
			<-closed
		}
	}
	says := func(text string) func(net.Conn) {
		return func(nc net.Conn) {
			nc.Read(make([]byte, 4096))
			io.WriteString(nc, text)
		}
	}
	forever := func(head, more string) func(net.Conn) {
		return func(nc net.Conn) {
			for _, err := io.WriteString(nc, head); err == nil; {
				_, err = io.WriteString(nc, more)
			}
		}
	}
	f("says nothing", "", "no answer within 300ms", func(net.Conn) {})
	f("says little", "", "no answer within 300ms", func(nc net.Conn) { io.WriteString(nc, ok+"A: b") })
	f("closes after the request", "", "no answer: closed by the target", says(""))
	f("closes in the head", "", "answer cut short: closed by the target", says(ok+"A: b\r\n"))
	f("garbage", "", `not an HTTP answer: malformed HTTP response "\x16\x03`, says("\x16\x03\x01\x00\r\n\r\n"))
	f("much garbage", "", `not an HTTP answer: malformed`, says(strings.Repeat("é\x01", 5000)+"\r\n\r\n"))
	f("bad length", "", "not an HTTP answer: ", says(ok+"Content-Length: x\r\n\r\n"))
	f("another protocol", "", "not an HTTP answer: ", says("SSH-2.0-OpenSSH_9.9\r\n"))
	f("resets", "", "no answer: ", func(nc net.Conn) {
		nc.Read(make([]byte, 4096))
		nc.(*net.TCPConn).SetLinger(0)
	})
	f("endless line", "", "head of the answer larger than 64 KiB", forever(ok, "a"+strings.Repeat("b", 999)))
	f("endless fields", "", "head of the answer larger than 64 KiB", forever(ok, "A: b\r\nC: d\r\n"))
	f("endless 1xx", "", "head of the answer larger than 64 KiB", forever("", "HTTP/1.1 100 Continue\r\n\r\n"))
	f("switches", "", "status 101, want 200-299", says("HTTP/1.1 101 Switching Protocols\r\n\r\n"))
	f("endless body, not wanted", "", "", forever(ok+"\r\n", strings.Repeat("a", 999)))
	f("endless body", "body = 'a'", "", forever(ok+"\r\n", strings.Repeat("a", 999)))
	f("endless chunks", "body = 'b'", "body does not match",
		forever(ok+"Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1\r\na\r\n", 99)))
	f("silent body, not wanted", "", "", says(ok+"Content-Length: 5\r\n\r\na"))
	f("silent body", "body = 'a'", "no whole body within 300ms", func(nc net.Conn) {
		io.WriteString(nc, ok+"Content-Length: 5\r\n\r\na")
	})
	f("body cut short", "body = 'a'", "body cut short: closed by the target", says(ok+"Content-Length: 5\r\n\r\na"))
	f("bad chunk", "body = 'a'", "body cut short: ", says(ok+"Transfer-Encoding: chunked\r\n\r\nx\r\n"))
	f("HTTP/1.0", "body = '^a$'", "", says("HTTP/1.0 200 OK\r\n\r\na"))
}

func TestNoConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := l.Addr().String()
	l.Close()
	f := func(lines, address, want string) {
		t.Helper()
		err := NewChecker(good(t, lines), Target{Address: address}).Check(t.Context())
		if wantError(t, address, err, want); err != nil && err.Error() != want && !strings.HasSuffix(want, ":") {
			t.Errorf("%s: %q is more than %q", address, err, want)
		}
	}
	for _, kind := range []string{"http", "tcp", "grpc"} {
		f("kind = '"+kind+"'", refusing, "connection refused")
	}
	f("", "unix:"+filepath.Join(t.TempDir(), "none"), "no such file or directory")
	f("port = 81", "unix:/a", "unix:/a has no port 81 to check: a unix socket has no ports")
	f("timeout = '5s'", "no-such-host.invalid:80", `cannot resolve "no-such-host.invalid":`)
}

func TestGivenUp(t *testing.T) {
	address := rawServer(t, func(nc net.Conn) { io.Copy(io.Discard, nc) })
	for _, kind := range []string{"http", "grpc"} {
		ctx, cancel := context.WithCancel(t.Context())
		h := NewChecker(good(t, "timeout = '1m'\nkind = '"+kind+"'"), Target{Address: address})
		stop := time.AfterFunc(50*time.Millisecond, cancel)
		wantError(t, kind, h.Check(ctx), "check given up: context canceled")
		stop.Stop()
		cancel()
	}
}

func TestUnixPortAndDial(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	hosts := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts <- r.Host
	}))
	tcp := s.Listener
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(tcp.Addr().String())
	go http.Serve(tcp, s.Config.Handler) // ends with the listener
	t.Cleanup(func() { tcp.Close() })

	f := func(lines string, to Target, want, wantHost string) {
		t.Helper()
		wantError(t, to.Address, NewChecker(good(t, lines), to).Check(t.Context()), want)
		if want == "" {
			if host := <-hosts; host != wantHost {
				t.Errorf("%s: Host %q, want %q", to.Address, host, wantHost)
			}
		}
	}
	dials := 0
	dial := func(ctx context.Context) (net.Conn, error) {
		dials++
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	f("", Target{Address: "unix:" + socket}, "", "localhost")
	f("", Target{Address: "a.example:80", Dial: dial}, "", "a.example:80")
	f("port = "+port, Target{Address: "127.0.0.1:1", Dial: dial}, "", "127.0.0.1:1")
	f("port = "+port+"\nhost = 'h'", Target{Address: "127.0.0.1:1"}, "", "h")
	f("port = 1", Target{Address: "127.0.0.1:80", Dial: dial}, "connection refused", "")
	if dials != 1 {
		t.Errorf("Dial was called %d times", dials)
	}
}

// Two checkers of one address do not share a connection or a fate.
func TestCheckersAreIndependent(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(len(r.URL.Path) + 199)
	}))
	t.Cleanup(s.Close)
	to := Target{Address: s.Listener.Addr().String()}
	ok, bad := NewChecker(good(t, ""), to), NewChecker(good(t, "path = '/"+strings.Repeat("a", 300)+"'"), to)
	for range 3 {
		wantError(t, "good", ok.Check(t.Context()), "")
		wantError(t, "bad", bad.Check(t.Context()), "status 500, want 200-299")
	}
}

func TestTCP(t *testing.T) {
	closed := make(chan error, 1)
	address := rawServer(t, func(nc net.Conn) {
		n, err := io.Copy(io.Discard, nc)
		if n > 0 {
			t.Errorf("%d bytes of a check by TCP", n)
		}
		closed <- err
	})
	wantError(t, "tcp", NewChecker(good(t, "kind = 'tcp'"), Target{Address: address}).Check(t.Context()), "")
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// by returns what gives c to each check.
func by(c *tls.Config) func() *tls.Config { return func() *tls.Config { return c } }

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.TLS.DidResume {
			t.Error("a session was resumed")
		}
	}))
	s.Config.ErrorLog = quiet()
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	address := s.Listener.Addr().String()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	f := func(lines string, to Target, want string) {
		t.Helper()
		c := to.TLS()
		c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		to.TLS = by(c)
		h := NewChecker(good(t, lines), to)
		for range 2 {
			wantError(t, lines, h.Check(t.Context()), want)
		}
	}
	for _, kind := range []string{"http", "tcp"} {
		lines := "kind = '" + kind + "'"
		f(lines, Target{Address: address, TLS: by(&tls.Config{RootCAs: roots})}, "") // it has 127.0.0.1
		f(lines, Target{Address: address, TLS: by(&tls.Config{RootCAs: roots, ServerName: "example.com"})}, "")
		f(lines, Target{Address: address, TLS: by(&tls.Config{})},
			"TLS handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority")
		f(lines, Target{Address: address, TLS: by(&tls.Config{RootCAs: roots, ServerName: "other.example"})},
			"TLS handshake failed: tls: failed to verify certificate: x509: certificate is valid for")
		f(lines, Target{Address: address, TLS: by(&tls.Config{InsecureSkipVerify: true, ServerName: "x"})}, "")
		f(lines+"\ntimeout = '300ms'", Target{Address: rawServer(t, func(nc net.Conn) { io.Copy(io.Discard, nc) }),
			TLS: by(&tls.Config{})}, "no TLS handshake within 300ms")
		f(lines, Target{Address: rawServer(t, func(net.Conn) {}), TLS: by(&tls.Config{})}, "TLS handshake failed: ")
		f(lines, Target{Address: rawServer(t, func(nc net.Conn) {
			nc.Read(make([]byte, 4096))
			io.WriteString(nc, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}), TLS: by(&tls.Config{})}, "TLS handshake failed: tls: first record does not look like a TLS handshake")
	}
	wantError(t, "plain to TLS", NewChecker(good(t, ""), Target{Address: address}).Check(t.Context()),
		"status 400, want 200-299")
}

func BenchmarkHTTP(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(s.Close)
	h := NewChecker(good(b, ""), Target{Address: s.Listener.Addr().String()})
	for b.Loop() {
		if err := h.Check(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
