package tls

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestTLSChoice: a client gets a pair that it can use, if there is one: of the exact name, else of the wildcard, else
// the first.
func TestTLSChoice(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "first", ca.Issue(false, "first.example"))
	ca.Write(dir, "exact", ca.Issue(false, "a.wild.example"))
	ca.Write(dir, "wild", ca.Issue(true, "*.wild.example"))
	ca.Write(dir, "rsa", ca.Issue(true, "rsa.example"))
	g := e2e.Start(t, e2e.Secure(e2e.SecureListener(dir, "first", "exact", "wild", "rsa"), e2e.HTTPOrigin(t, e2e.PathOrigin)))
	const onlyRSA, onlyEC = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	f := func(name, want string, suite uint16) {
		t.Helper()
		c, cert, err := e2e.Handshake(g.Addr, &tls.Config{ServerName: name, InsecureSkipVerify: true,
			CipherSuites: []uint16{suite}, MaxVersion: tls.VersionTLS12})
		if err != nil {
			t.Errorf("%q with suite %x: %v", name, suite, err)
			return
		}
		defer c.Close()
		if got := cert.Subject.CommonName; got != want {
			t.Errorf("%q with suite %x: %s is shown, want %s", name, suite, got, want)
		}
	}
	f("a.wild.example", "a.wild.example", onlyEC)
	f("a.wild.example", "*.wild.example", onlyRSA)
	f("b.wild.example", "*.wild.example", onlyRSA)
	f("b.wild.example", "first.example", onlyEC)
	f("first.example", "*.wild.example", onlyRSA) // the first of all that is of use
	f("unknown.example", "first.example", onlyEC)
	f("unknown.example", "*.wild.example", onlyRSA)
	f("", "first.example", onlyEC)
	f("", "*.wild.example", onlyRSA)
}

// TestTLSOneBroken: a pair whose file is broken stays as it was, and keeps no other from being renewed.
func TestTLSOneBroken(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "one", ca.Issue(false, "one.example"))
	ca.Write(dir, "two", ca.Issue(false, "two.example"))
	g := e2e.Start(t, e2e.Secure(e2e.SecureListener(dir, "one", "two"), e2e.HTTPOrigin(t, e2e.PathOrigin)))
	serial := func(name string) string {
		c, cert, err := e2e.Handshake(g.Addr, &tls.Config{ServerName: name, RootCAs: ca.Pool})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return cert.SerialNumber.String()
	}
	one, two := serial("one.example"), serial("two.example")
	broken := filepath.Join(dir, "one.crt")
	if err := os.WriteFile(broken, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	const reloads = `penstock_certificate_reloads_total{listener="main",result=`
	g.Counted(reloads+`"error"}`, 1)
	ca.Write(dir, "two", ca.Issue(false, "two.example"))
	e2e.Eventually(t, "the other pair is renewed", func() bool { return serial("two.example") != two })
	if serial("one.example") != one {
		t.Error("the pair with the broken file has changed")
	}
	if log := g.Log.String(); !strings.Contains(log, broken) {
		t.Errorf("the log does not name %s", broken)
	}
	if n := g.Metric(reloads + `"ok"}`); n < 1 {
		t.Errorf("%v renewals are counted", n)
	}
}

// TestPlainOnTLS: a client that speaks HTTP to a TLS listener is told so.
func TestPlainOnTLS(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "one", ca.Issue(false, "one.example"))
	g := e2e.Start(t, e2e.Secure(e2e.SecureListener(dir, "one"), e2e.HTTPOrigin(t, e2e.PathOrigin)))
	f := func(request string) {
		t.Helper()
		c := e2e.DialRaw(t, g.Addr)
		c.Send(request)
		a := c.Answer("GET")
		if a.StatusCode != 400 || a.Code() != "plain_http" || !strings.Contains(a.Body, "https") || !a.Close ||
			a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.20q: %d %q", request, a.StatusCode, a.Body)
		}
		c.Closed(request)
	}
	f(e2e.Lines("GET /x HTTP/1.1"))
	f(e2e.Lines("M-SEARCH * HTTP/1.1"))
	f(e2e.Lines("PUT /x HTTP/1.1", "Content-Length: 100000") + string(e2e.Sample(100_000)))
	f(e2e.Lines("X /x HTTP/1.1"))
	for _, noise := range []string{"\x16\x03\x01\x00", "\x00\x01\x02\x03\x04\x05", "\x80\x2e\x01\x00\x02", "GE\x00 /\r\n"} {
		if got := e2e.Raw(t, g.Addr, noise); strings.Contains(got, "HTTP") {
			t.Errorf("%q is answered with %q", noise, got)
		}
	}
}

// TestHostBesideName: all names of a listener have the same settings of TLS, so a connection that was made for one
// serves the others.
func TestHostBesideName(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "one", ca.Issue(false, "one.example"))
	ca.Write(dir, "two", ca.Issue(false, "two.example"))
	g := e2e.Start(t, e2e.Secure(e2e.SecureListener(dir, "one", "two"), e2e.HTTPOrigin(t, e2e.PathOrigin)))
	nc, _, err := e2e.Handshake(g.Addr, &tls.Config{ServerName: "one.example", RootCAs: ca.Pool})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := e2e.NewRawClient(t, nc)
	for _, host := range []string{"one.example", "two.example", "two.example:443", "three.example", "127.0.0.1"} {
		c.Send("GET /x HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		if a := c.Answer("GET"); a.StatusCode != 200 {
			t.Errorf("%s: %d %q", host, a.StatusCode, a.Body)
		}
	}
}

// get makes one request on c, whose connection stays, and returns status and body.
func get(t testing.TB, c net.Conn, path string) (int, string) {
	t.Helper()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: example.com\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
