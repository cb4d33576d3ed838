//go:build !race

package tls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestTLSNames: a certificate is picked by the name asked for, and by what the client can verify.
func TestTLSNames(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "first", ca.Issue(false, "first.example", "127.0.0.1"))
	ca.Write(dir, "exact", ca.Issue(false, "a.wild.example"))
	ca.Write(dir, "wild", ca.Issue(true, "*.wild.example"))
	ca.Write(dir, "both-ec", ca.Issue(false, "both.example"))
	ca.Write(dir, "both-rsa", ca.Issue(true, "both.example"))
	listener := e2e.SecureListener(dir, "first", "exact", "wild", "both-ec", "both-rsa")
	g := e2e.Start(t, e2e.Secure(listener, e2e.HTTPOrigin(t, e2e.PathOrigin)))
	f := func(name, want string, kind x509.PublicKeyAlgorithm, suites ...uint16) {
		t.Helper()
		conf := &tls.Config{ServerName: name, RootCAs: ca.Pool}
		if len(suites) > 0 {
			conf.CipherSuites, conf.MaxVersion = suites, tls.VersionTLS12
		}
		if want == "first.example" && name != want {
			conf.InsecureSkipVerify = true // the default answers for names that no certificate has
		}
		c, cert, err := e2e.Handshake(g.Addr, conf)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		defer c.Close()
		if cert.Subject.CommonName != want || cert.PublicKeyAlgorithm != kind {
			t.Errorf("%s: got %s with %v, want %s with %v", name, cert.Subject.CommonName, cert.PublicKeyAlgorithm,
				want, kind)
		}
		if status, body := get(t, c, "/here"); status != 200 || body != "/here" {
			t.Errorf("%s: %d %q", name, status, body)
		}
	}
	f("first.example", "first.example", x509.ECDSA)
	f("FIRST.example", "first.example", x509.ECDSA)
	f("a.wild.example", "a.wild.example", x509.ECDSA)
	f("b.wild.example", "*.wild.example", x509.RSA)
	f("c.b.wild.example", "first.example", x509.ECDSA) // a wildcard stands for one label (RFC 9525 6.3)
	f("unknown.example", "first.example", x509.ECDSA)
	f("both.example", "both.example", x509.ECDSA)
	f("both.example", "both.example", x509.RSA, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
	f("both.example", "both.example", x509.ECDSA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)
	f("", "first.example", x509.ECDSA)
}

// TestTLSVersions: what is old is refused, and HTTP/1.1 is what is spoken.
func TestTLSVersions(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "one", ca.Issue(true, "one.example"))
	target := e2e.HTTPOrigin(t, e2e.PathOrigin)
	g := e2e.Start(t, e2e.Secure(e2e.SecureListener(dir, "one"), target))
	f := func(g *e2e.Gateway, low, high uint16, ok bool) {
		t.Helper()
		c, _, err := e2e.Handshake(g.Addr, &tls.Config{ServerName: "one.example", RootCAs: ca.Pool, MinVersion: low,
			MaxVersion: high, NextProtos: []string{"h2", "http/1.1"}})
		if (err == nil) != ok {
			t.Errorf("versions %x to %x: %v", low, high, err)
		}
		if err != nil {
			return
		}
		defer c.Close()
		if p := c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
			t.Errorf("versions %x to %x: protocol %q", low, high, p)
		}
	}
	f(g, tls.VersionTLS10, tls.VersionTLS10, false)
	f(g, tls.VersionTLS11, tls.VersionTLS11, false)
	f(g, tls.VersionTLS12, tls.VersionTLS12, true)
	f(g, tls.VersionTLS13, tls.VersionTLS13, true)
	only13 := strings.Replace(e2e.SecureListener(dir, "one"), "address", "tls_min_version = \"1.3\"\naddress", 1)
	g.Write(e2e.Secure(only13, target))
	if status, body := g.Reload(); status != 200 {
		t.Fatalf("reload: %d %s", status, body)
	}
	f(g, tls.VersionTLS12, tls.VersionTLS12, false)
	f(g, tls.VersionTLS13, tls.VersionTLS13, true)
	if _, _, err := e2e.Handshake(g.Addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}); err == nil {
		t.Error("a client that speaks HTTP/2 alone is not refused (RFC 7301 3.2)")
	}
}

// TestTLSReplaced: new certificates are taken up from their files, however they are replaced; connections that
// are open stay, and a pair that is no good leaves the one before in use.
func TestTLSReplaced(t *testing.T) {
	t.Parallel()
	ca := e2e.NewAuthority(t, "test authority")
	target := e2e.HTTPOrigin(t, e2e.PathOrigin)
	shown := func(g *e2e.Gateway) string {
		c, cert, err := e2e.Handshake(g.Addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		return cert.Subject.CommonName
	}
	becomes := func(g *e2e.Gateway, want string) {
		t.Helper()
		e2e.Eventually(t, want+" is shown", func() bool { return shown(g) == want })
	}

	dir := t.TempDir()
	ca.Write(dir, "plain", ca.Issue(false, "one.example"))
	g := e2e.Start(t, e2e.Secure(e2e.SecureListener(dir, "plain"), target))
	becomes(g, "one.example")
	c, _, err := e2e.Handshake(g.Addr, &tls.Config{ServerName: "one.example", RootCAs: ca.Pool})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ca.Write(dir, "plain", ca.Issue(true, "two.example"))
	becomes(g, "two.example")
	if status, _ := get(t, c, "/x"); status != 200 {
		t.Errorf("an old connection after the certificate was replaced: %d", status)
	}
	for i := range 3 { // reloads do not loosen the watch
		g.Write(e2e.Secure(e2e.SecureListener(dir, "plain"), target, fmt.Sprintf("[pool.p%d]\ntargets = [%q]\n", i, target)))
		if status, body := g.Reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, body)
		}
	}
	ca.Write(dir, "plain", ca.Issue(false, "three.example"))
	becomes(g, "three.example")
	if status, _ := get(t, c, "/x"); status != 200 {
		t.Errorf("an old connection after reloads: %d", status)
	}

	// A key that is not the certificate's, then garbage, then a good pair again.
	other := ca.Issue(false, "four.example")
	ca.Write(dir, "plain", &e2e.Pair{Chain: other.Chain, Key: ca.Issue(false, "x").Key})
	complaints := func(n int) {
		t.Helper()
		e2e.Eventually(t, "the log complains", func() bool {
			return strings.Count(g.Log.String(), "certificate not replaced") == n
		})
		if got := shown(g); got != "three.example" {
			t.Errorf("with a broken pair %s is shown", got)
		}
	}
	complaints(1)
	if err := os.WriteFile(filepath.Join(dir, "plain.crt"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	complaints(2)
	ca.Write(dir, "plain", other)
	becomes(g, "four.example")
}

// TestTLSSymlinks replaces certificates as Kubernetes does: the files are links through a folder that is itself
// a link, which is swapped.
func TestTLSSymlinks(t *testing.T) {
	t.Parallel()
	ca, dir := e2e.NewAuthority(t, "test authority"), t.TempDir()
	version := func(name string) {
		t.Helper()
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		ca.Write(sub, "tls", ca.Issue(false, name))
		if err := os.Symlink(name, filepath.Join(dir, "..data.new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data.new"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("one.example")
	for _, f := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", f), filepath.Join(dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	g := e2e.Start(t, e2e.Secure(e2e.SecureListener(dir, "tls"), e2e.HTTPOrigin(t, e2e.PathOrigin)))
	for _, name := range []string{"two.example", "three.example"} {
		version(name)
		e2e.Eventually(t, name+" is shown", func() bool {
			c, cert, err := e2e.Handshake(g.Addr, &tls.Config{ServerName: name, RootCAs: ca.Pool})
			if err != nil {
				return false
			}
			c.Close()
			return cert.Subject.CommonName == name
		})
	}
}

// TestTLSToTargets: targets are verified unless that is switched off, and can ask for a certificate.
func TestTLSToTargets(t *testing.T) {
	t.Parallel()
	dir, ca, stranger := t.TempDir(), e2e.NewAuthority(t, "right authority"), e2e.NewAuthority(t, "wrong authority")
	target := func(p *e2e.Pair, clients *x509.CertPool) string {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name := "nobody"
			if len(r.TLS.PeerCertificates) > 0 {
				name = r.TLS.PeerCertificates[0].Subject.CommonName
			}
			fmt.Fprintf(w, "%s asks %s", name, r.TLS.ServerName)
		}))
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{p.Tls()}, ClientCAs: clients}
		if clients != nil {
			srv.TLS.ClientAuth = tls.RequireAndVerifyClientCert
		}
		srv.Config.ErrorLog = e2e.QuietLog()
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv.Listener.Addr().String()
	}
	byIP := target(ca.Issue(false, "127.0.0.1"), nil)
	byName := target(ca.Issue(true, "app.internal"), nil)
	strict := target(ca.Issue(false, "app.internal"), ca.Pool)
	ownCert, ownKey := ca.Write(dir, "gateway", ca.Issue(false, "gateway"))
	badCert, badKey := stranger.Write(dir, "stranger", stranger.Issue(false, "stranger"))
	client := func(cert, key string) string { return fmt.Sprintf("cert = %q\nkey = %q\n", cert, key) }
	trust := func(a *e2e.Authority) string { return fmt.Sprintf("ca = %q\n", a.File) }
	const name = "server_name = \"app.internal\"\n"

	cases := []struct {
		target, section string
		status          int
		want            string
	}{
		{byIP, trust(ca), 200, "nobody asks "},
		{byIP, trust(stranger), 502, "upstream_tls"},
		{byIP, "", 502, "upstream_tls"}, // the system does not know the authority
		{byIP, trust(ca) + name, 502, "upstream_tls"},
		{byName, trust(ca), 502, "upstream_tls"},
		{byName, trust(ca) + name, 200, "nobody asks app.internal"},
		{byName, "insecure_skip_verify = true\n", 200, "nobody asks "},
		{byName, trust(ca) + name + "min_version = \"1.3\"\n", 200, "nobody asks app.internal"},
		{strict, trust(ca) + name, 502, "upstream"},
		{strict, trust(ca) + name + client(ownCert, ownKey), 200, "gateway asks app.internal"},
		{strict, trust(ca) + name + client(badCert, badKey), 502, "upstream"},
	}
	conf := "[[listener]]\naddress = \"{{addr}}\"\n"
	for i, c := range cases {
		conf += fmt.Sprintf("[pool.p%d]\ntargets = [%q]\n[pool.p%d.tls]\nenabled = true\n%s[[route]]\npath = \"/%d\"\npool = \"p%d\"\n",
			i, c.target, i, c.section, i, i)
	}
	g := e2e.Start(t, conf)
	for i, c := range cases {
		for range 2 { // once on a new connection, once on an old one
			resp, err := http.Get(fmt.Sprintf("http://%s/%d", g.Addr, i))
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body) // a cut answer shows in the comparison
			resp.Body.Close()
			if resp.StatusCode != c.status || !strings.Contains(string(b), c.want) {
				t.Errorf("%s with %q: %d %s, want %d with %q", c.target, c.section, resp.StatusCode, b, c.status, c.want)
			}
		}
	}
}

// finding is one line of testssl.sh's report.
type finding struct {
	ID       string `json:"id"`
	Severity string `json:"severity"`
	Finding  string `json:"finding"`
}

// excused are findings about what this test makes up, not about the gateway.
var excused = map[string]string{
	"engine_problem":             "about the openssl on this machine",
	"cert_chain_of_trust":        "the authority was made for the test",
	"cert_trust":                 "the audit is of an address, not of the certificate's name",
	"cert_revocation":            "the test's authority publishes no CRL and no OCSP",
	"cert_crlDistributionPoints": "as above",
	"cert_ocspURL":               "as above",
	"OCSP_stapling":              "there is no OCSP response to staple",
	"DNS_CAArecord":              "an address has no CAA record",
	"HSTS":                       "a field that the origin behind the gateway decides on",
	"security_headers":           "as above",
	"BREACH":                     "a matter of the origin: the gateway does not compress",
}

// TestTLSAudit has testssl.sh look at a listener: nothing of severity LOW or worse. PENSTOCK_TESTSSL=all runs all
// its checks, which take minutes.
func TestTLSAudit(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "testssl")
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "test authority")
	ca.Write(dir, "ec", ca.Issue(false, "audit.example", "127.0.0.1"))
	ca.Write(dir, "rsa", ca.Issue(true, "audit.example", "127.0.0.1"))
	g := e2e.Start(t, e2e.Secure(e2e.SecureListener(dir, "ec", "rsa"), e2e.HTTPOrigin(t, e2e.PathOrigin)))
	report := filepath.Join(dir, "report.json")
	args := []string{"--warnings", "off", "--color", "0", "--quiet", "--nodns", "none",
		"--connect-timeout", "30", "--openssl-timeout", "30", "--jsonfile", report}
	if os.Getenv("PENSTOCK_TESTSSL") != "all" {
		args = append(args, "-p", "-H", "-I", "-T", "-BB", "-R", "-C", "-O", "-Z", "-F", "-D")
	}
	out, err := exec.Command("testssl", append(args, g.Addr)...).CombinedOutput()
	text, rerr := os.ReadFile(report)
	if rerr != nil {
		t.Fatalf("testssl wrote no report: %v\n%s", err, out)
	}
	var all []finding
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatalf("cannot read the report: %v\n%s", err, text)
	}
	good := []string{"OK", "INFO", "DEBUG"}
	seen := map[string]int{}
	for _, f := range all {
		seen[f.Severity]++
		switch {
		case slices.Contains(good, f.Severity):
		case excused[f.ID] != "":
			t.Logf("excused: %s %s: %s (%s)", f.Severity, f.ID, f.Finding, excused[f.ID])
		default:
			t.Errorf("%s %s: %s", f.Severity, f.ID, f.Finding)
		}
	}
	t.Logf("testssl: %d findings by severity: %v", len(all), seen)
	for _, want := range []string{"TLS1_2", "TLS1_3", "heartbleed"} {
		if !slices.ContainsFunc(all, func(f finding) bool { return f.ID == want }) {
			t.Errorf("the report has no %s: was anything checked?\n%s", want, bytes.TrimSpace(out))
		}
	}
}
