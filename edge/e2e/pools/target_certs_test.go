package pools

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// mutual is an origin over TLS that wants a certificate of its clients, and says whose it got.
type mutual struct {
	addr  string
	conns atomic.Int64 // connections that a request came on

	mu   sync.Mutex
	pair *e2e.Pair // what it shows
}

func newMutual(t testing.TB, clients *e2e.Authority, p *e2e.Pair) *mutual {
	t.Helper()
	o := &mutual{pair: p}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.addr = l.Addr().String()
	conf := &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			c := o.pair.Tls()
			return &c, nil
		}}
	s := &http.Server{ErrorLog: e2e.QuietLog(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
		}
		_, _ = w.Write([]byte(r.TLS.PeerCertificates[0].Subject.CommonName)) // the client tells of a failure
	}), ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateActive {
			o.conns.Add(1)
		}
	}}
	go s.Serve(tls.NewListener(l, conf))
	t.Cleanup(func() { s.Close() })
	return o
}

func (o *mutual) show(p *e2e.Pair) {
	o.mu.Lock()
	o.pair = p
	o.mu.Unlock()
}

// TestTargetCertificatesRenewed: what the gateway shows to targets, and whom it trusts there, is read again when the
// files change: new connections and checks have it, a broken file changes nothing, and no request fails meanwhile.
func TestTargetCertificatesRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clients, first, second := e2e.NewAuthority(t, "clients"), e2e.NewAuthority(t, "first"), e2e.NewAuthority(t, "second")
	cert, key := clients.Write(dir, "gateway", clients.Issue(false, "one"))
	ca := filepath.Join(dir, "ca.pem")
	first.Save(ca, "CERTIFICATE", first.Cert.Raw)
	o := newMutual(t, clients, first.Issue(false, "127.0.0.1"))
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(o.addr), `health = { path = "/healthz", interval = "50ms", unhealthy_interval = "50ms" }
[pool.app.tls]
enabled = true
ca = "`+ca+`"
cert = "`+cert+`"
key = "`+key+`"
`))
	stop, failed := make(chan struct{}), atomic.Int64{}
	var wg sync.WaitGroup
	for i := range 4 {
		c := e2e.DialRaw(t, g.Addr)
		path := []string{"/close", "/stay", "/stay", "/stay"}[i]
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if a := c.Get(path); a.StatusCode != 200 {
					failed.Add(1)
				}
			}
		})
	}
	c := e2e.DialRaw(t, g.Addr)
	shown := func(path string) string { return c.Get(path).Body }
	if got := shown("/close"); got != "one" {
		t.Fatalf("at first the target sees %q", got)
	}
	const errors = `penstock_upstream_certificate_reloads_total{pool="app",result="error"}`
	const complaint = "certificates toward targets not replaced"
	e2e.Must(t, os.WriteFile(key, []byte("half a key"), 0o600))
	g.Counted(errors, 1)
	for range 10 {
		if got := shown("/close"); got != "one" {
			t.Fatalf("with a broken key the target sees %q", got)
		}
	}
	before := o.conns.Load()
	shown("/stay")
	clients.Write(dir, "gateway", clients.Issue(false, "two"))
	e2e.Eventually(t, "new connections show the new certificate", func() bool { return shown("/close") == "two" })
	e2e.Eventually(t, "those of before are given up", func() bool { return shown("/stay") == "two" })
	if o.conns.Load() == before {
		t.Error("no new connection was made")
	}
	// Between two files of one pair the gateway may look once.
	if n := strings.Count(g.Log.String(), complaint); n < 1 || n > 2 {
		t.Errorf("the broken file is logged %d times", n)
	}

	// The target's own authority changes: first both are trusted, then the new one alone.
	first.Save(ca, "CERTIFICATE", first.Cert.Raw, second.Cert.Raw)
	const replaced = `penstock_upstream_certificate_reloads_total{pool="app",result="ok"}`
	ok := g.Metric(replaced)
	if ok < 1 {
		t.Errorf("%v replacements are counted", ok)
	}
	e2e.Eventually(t, "both are trusted", func() bool { return g.Metric(replaced) > ok })
	o.show(second.Issue(false, "127.0.0.1"))
	first.Save(ca, "CERTIFICATE", second.Cert.Raw)
	ok = g.Metric(replaced)
	e2e.Eventually(t, "the new one alone is trusted", func() bool { return g.Metric(replaced) > ok })
	close(stop)
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d requests failed", n)
	}
	o.show(first.Issue(false, "127.0.0.1"))
	e2e.Eventually(t, "checks trust the new one alone, too", func() bool {
		return e2e.Dig(g.PoolStatus(), "targets", 0, "state") == "unhealthy"
	})
	o.show(second.Issue(false, "127.0.0.1"))
	e2e.Eventually(t, "and find the target back", func() bool {
		return e2e.Dig(g.PoolStatus(), "targets", 0, "state") == "healthy"
	})

	// A reload after all that is a reload that changes nothing: connections stay.
	shown("/stay")
	shown("/stay")
	conns := func() float64 { return e2e.Dig(g.PoolStatus(), "targets", 0, "connections").(float64) }
	if status, text := g.Reload(); status != 200 {
		t.Fatal(text)
	}
	if n := conns(); n == 0 {
		t.Error("a reload has closed the connections")
	}
	if got := shown("/stay"); got != "two" {
		t.Errorf("after a reload the target sees %q", got)
	}
	if n := g.Metric("penstock_generation"); n != 2 {
		t.Errorf("generation %v: something has reloaded", n)
	}
}

// TestTargetCertificatesReload: a reload right behind a change of the files leaves no connection in use that was made
// with those of before.
func TestTargetCertificatesReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clients, first, second := e2e.NewAuthority(t, "clients"), e2e.NewAuthority(t, "first"), e2e.NewAuthority(t, "second")
	cert, key := clients.Write(dir, "gateway", clients.Issue(false, "0"))
	ca := filepath.Join(dir, "ca.pem")
	first.Save(ca, "CERTIFICATE", first.Cert.Raw)
	o := newMutual(t, clients, first.Issue(false, "127.0.0.1"))
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(o.addr), "tls = { enabled = true, ca = \""+ca+"\", cert = \""+cert+"\", key = \""+key+"\" }\n"))
	c := e2e.DialRaw(t, g.Addr)
	reload := func() {
		if status, text := g.Reload(); status != 200 {
			t.Fatal(text)
		}
	}
	for _, name := range []string{"1", "2", "3"} { // the gateway looks by itself once a second, perhaps before the reload
		c.Get("/stay")
		clients.Write(dir, "gateway", clients.Issue(false, name))
		reload()
		if got := c.Get("/stay").Body; got != name {
			t.Errorf("after the reload the target sees %q, want %q", got, name)
		}
	}
	first.Save(ca, "CERTIFICATE", second.Cert.Raw)
	reload()
	if a := c.Get("/stay"); a.StatusCode != 502 || a.Code() != "upstream_tls" {
		t.Errorf("a target that is believed no longer: %d %q", a.StatusCode, a.Body)
	}
}
