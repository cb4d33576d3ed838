package load

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// startSecure serves over TLS until the test ends, and counts connections.
func startSecure(t *testing.T, h http.HandlerFunc) (addr string, conns *atomic.Int64) {
	conns = new(atomic.Int64)
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, to http.ConnState) {
		if to == http.StateNew {
			conns.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), conns
}

func newSecureLoader(t *testing.T, opt Options) *secure {
	opt.Paths, opt.TLS = []string{"/"}, true
	s, err := newSecure(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestSecure(t *testing.T) {
	f := func(h http.HandlerFunc, opt Options) {
		t.Helper()
		var conns *atomic.Int64
		opt.Addr, conns = startSecure(t, func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil || r.TLS.Version != tls.VersionTLS13 || r.Close != opt.Close {
				http.Error(w, "not as it should be", http.StatusBadRequest)
				return
			}
			h(w, r)
		})
		s := newSecureLoader(t, opt)
		r := s.Run(4, 0, short)
		if clean(t, r); opt.Close && conns.Load() != int64(r.Sent) || !opt.Close && conns.Load() != 4 {
			t.Errorf("%d connections for %+v", conns.Load(), r)
		}
		r = s.Run(4, 1000, 50*time.Millisecond)
		if clean(t, r); r.Sent != 50 {
			t.Errorf("at a rate: %+v, want 50", r)
		}
	}
	small := func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }
	big := func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(strings.Repeat("x", 300<<10))) }
	f(small, Options{})
	f(big, Options{}) // chunked
	f(small, Options{Close: true})
}

func TestSecureHeld(t *testing.T) {
	addr, conns := startSecure(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) })
	s := newSecureLoader(t, Options{Addr: addr})
	f := func(r Result, sent, open int) {
		t.Helper()
		if r.Sent != sent || r.Done != sent || r.Failed != 0 || int(conns.Load()) != open {
			t.Errorf("%+v, %d connections; want %d over %d", r, conns.Load(), sent, open)
		}
	}
	f(s.Idle(5), 5, 5)
	f(s.Burst(), 5, 5)
	s.Drop()
	f(s.Burst(), 0, 5)
	f(s.Idle(2), 2, 7)
}

// A connection that the server closes, as it may, is no failure.
func TestSecureClosedByServer(t *testing.T) {
	addr, _ := startSecure(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.Write([]byte("hello"))
	})
	clean(t, newSecureLoader(t, Options{Addr: addr}).Run(2, 0, short))
}

func TestSecureErrors(t *testing.T) {
	f := func(kind, addr string) {
		t.Helper()
		r := newSecureLoader(t, Options{Addr: addr}).Run(2, 1000, short)
		if tally(t, r); r.Done != 0 || r.Errors[kind] != r.Failed {
			t.Errorf("want only %s: %+v", kind, r)
		}
	}
	failing, _ := startSecure(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	cutting, _ := startSecure(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	f("status-502", failing)
	f("closed", cutting)
	f("connect", serve(t, func(c net.Conn) { io.WriteString(c, ok) })) // no TLS there
}
