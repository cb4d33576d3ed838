package tls

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// clients are the parts of a test with client certificates.
type clients struct {
	t          *testing.T
	g          *e2e.Gateway
	ca         *e2e.Authority
	good, gone *e2e.Pair // gone is revoked when revoke has been called
	crl        string
}

// clientAuth starts a gateway whose listener has a [listener.client_auth] with the keys of more.
func clientAuth(t *testing.T, more string) *clients {
	t.Helper()
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "authority of clients")
	ca.Write(dir, "one", ca.Issue(false, "public.example", "*.public.example", "partners.example"))
	c := &clients{t: t, ca: ca, good: ca.Issue(false, "good"), gone: ca.Issue(false, "gone"),
		crl: filepath.Join(dir, "clients.crl")}
	ca.Revoke(c.crl, time.Now().Add(time.Hour))
	c.g = e2e.Start(t, e2e.Secure(e2e.SecureListener(dir, "one")+c.section(more), e2e.HTTPOrigin(t, e2e.PathOrigin)))
	return c
}

func (c *clients) section(more string) string {
	return "[listener.client_auth]\nca = \"" + c.ca.File + "\"\n" + strings.ReplaceAll(more, "CRL", c.crl) + "\n"
}

// connection is that of a client, who may be cut off.
type connection struct {
	*tls.Conn
	br *bufio.Reader
}

// handshake connects for a name. In TLS 1.3 a server refuses what was shown when that has succeeded.
func (c *clients) handshake(name string, shown *e2e.Pair) (*connection, error) {
	c.t.Helper()
	conf := &tls.Config{ServerName: name, RootCAs: c.ca.Pool, InsecureSkipVerify: name == ""}
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if shown == nil {
			return &tls.Certificate{}, nil
		}
		pair := shown.Tls() // whether the server will like it or not
		return &pair, nil
	}
	nc, _, err := e2e.Handshake(c.g.Addr, conf)
	if err != nil {
		return nil, err
	}
	c.t.Cleanup(func() { nc.Close() })
	return &connection{nc, bufio.NewReader(nc)}, nil
}

// dial returns a connection, and the status of the answer to a request on it.
func (c *clients) dial(name string, shown *e2e.Pair) (conn *connection, status int) {
	c.t.Helper()
	conn, err := c.handshake(name, shown)
	if err != nil {
		return nil, 0
	}
	return conn, c.ask(conn, name)
}

// ask returns the status of the answer to a request for host, 0 where none came.
func (c *clients) ask(conn *connection, host string) int {
	c.t.Helper()
	return c.send(conn, "GET /x HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
}

func (c *clients) send(conn *connection, request string) int {
	c.t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(conn.br, nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Error(err)
	}
	if resp.StatusCode == 421 && !strings.Contains(string(body), `"misdirected_request"`) {
		c.t.Errorf("421 with %s", body)
	}
	return resp.StatusCode
}

func (c *clients) want(what string, got, want int) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("%s: status %d, want %d", what, got, want)
	}
}

// TestClientAuthRequired: nobody gets in without a certificate of the authorities, in TLS 1.2 and 1.3.
func TestClientAuthRequired(t *testing.T) {
	t.Parallel()
	c := clientAuth(t, "")
	other := e2e.NewAuthority(t, "authority of clients") // of the same name
	f := func(what string, shown *e2e.Pair, want int) {
		t.Helper()
		_, status := c.dial("public.example", shown)
		c.want(what, status, want)
	}
	f("good", c.good, 200)
	f("none", nil, 0)
	f("of another authority", other.Issue(false, "good"), 0)
	c.g.Counted(`penstock_bad_greetings_total{what="client_certificate"}`, 2)
	list := c.g.Status()["listeners"].([]any)
	if asks := list[0].(map[string]any)["client_auth"]; asks != "require" {
		t.Errorf("status says client_auth %v", asks)
	}
}

// TestClientAuthRequested: who shows none gets in, who shows a bad one does not.
func TestClientAuthRequested(t *testing.T) {
	t.Parallel()
	c := clientAuth(t, `mode = "request"`)
	_, status := c.dial("public.example", nil)
	c.want("none", status, 200)
	_, status = c.dial("public.example", c.good)
	c.want("good", status, 200)
	_, status = c.dial("public.example", e2e.NewAuthority(t, "another").Issue(false, "good"))
	c.want("of another authority", status, 0)
}

// TestClientAuthByName: a connection serves the hosts that ask for what its own name asked for; the others are
// answered 421 (RFC 9110 section 15.5.20), and the connection ends.
func TestClientAuthByName(t *testing.T) {
	t.Parallel()
	c := clientAuth(t, `hosts = ["partners.example", "*.partners.example"]`)
	f := func(name, host string, shown *e2e.Pair, want int) {
		t.Helper()
		conn, err := c.handshake(name, shown)
		if err != nil {
			t.Fatal(err)
		}
		c.want(name+" asks for "+host, c.ask(conn, host), want)
		if want == 421 {
			c.want("after that", c.ask(conn, name), 0)
		}
	}
	f("public.example", "public.example", nil, 200)
	f("public.example", "other.example", nil, 200)
	f("", "public.example", nil, 200)
	f("partners.example", "partners.example", c.good, 200)
	f("PARTNERS.example", "a.b.Partners.Example.:443", c.good, 200)
	f("partners.example", "partners.example", nil, 0)
	for _, host := range []string{"partners.example", "PARTNERS.EXAMPLE:443", "a.partners.example", "partners.example."} {
		f("public.example", host, nil, 421)
		f("", host, nil, 421)
	}
	f("partners.example", "public.example", c.good, 421)
	conn, err := c.handshake("public.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.want("absolute form", c.send(conn, "GET https://partners.example/x HTTP/1.1\r\nHost: public.example\r\n\r\n"), 421)
}

// TestClientAuthRevoked: a list that is replaced acts on new connections and on those that are open; a broken one
// leaves the one before in use.
func TestClientAuthRevoked(t *testing.T) {
	t.Parallel()
	c := clientAuth(t, `crl = "CRL"`)
	open, status := c.dial("public.example", c.gone)
	c.want("before it is revoked", status, 200)
	stays, status := c.dial("public.example", c.good)
	c.want("good", status, 200)
	c.ca.Revoke(c.crl, time.Now().Add(time.Hour), c.gone)
	const reloads = `penstock_certificate_reloads_total{listener="main",result=`
	c.g.Counted(reloads+`"ok"}`, 1)
	_, status = c.dial("public.example", c.gone)
	c.want("revoked", status, 0)
	c.want("revoked, on an open connection", c.ask(open, "public.example"), 421)
	c.want("good, on an open connection", c.ask(stays, "public.example"), 200)

	if err := os.WriteFile(c.crl, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.g.Counted(reloads+`"error"}`, 1)
	_, status = c.dial("public.example", c.gone)
	c.want("revoked, and the list is broken since", status, 0)
	_, status = c.dial("public.example", c.good)
	c.want("good, and the list is broken since", status, 200)

	c.ca.Revoke(c.crl, time.Now().Add(-time.Minute))
	c.g.Counted(reloads+`"ok"}`, 2)
	_, status = c.dial("public.example", c.good)
	c.want("the list has ended", status, 0)
}

// TestClientAuthBegins: a reload that asks for certificates holds for connections that are open already.
func TestClientAuthBegins(t *testing.T) {
	t.Parallel()
	dir, ca := t.TempDir(), e2e.NewAuthority(t, "authority of clients")
	ca.Write(dir, "one", ca.Issue(false, "public.example"))
	origin := e2e.HTTPOrigin(t, e2e.PathOrigin)
	c := &clients{t: t, ca: ca, good: ca.Issue(false, "good")}
	c.g = e2e.Start(t, e2e.Secure(e2e.SecureListener(dir, "one"), origin))
	open, status := c.dial("public.example", nil)
	c.want("before", status, 200)
	c.g.Write(e2e.Secure(e2e.SecureListener(dir, "one")+c.section(""), origin))
	if status, text := c.g.Reload(); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, text)
	}
	c.want("open before", c.ask(open, "public.example"), 421)
	_, status = c.dial("public.example", nil)
	c.want("none", status, 0)
	stays, status := c.dial("public.example", c.good)
	c.want("good", status, 200)
	if status, text := c.g.Reload(); status != http.StatusOK {
		t.Fatalf("reload: %d %s", status, text)
	}
	c.want("good, after another reload", c.ask(stays, "public.example"), 200)
}

// TestClientAuthMistakes: authorities that are missing, empty or broken keep a listener from opening.
func TestClientAuthMistakes(t *testing.T) {
	t.Parallel()
	c := clientAuth(t, "")
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := e2e.NewAuthority(t, "another")
	foreign := filepath.Join(dir, "foreign.crl")
	other.Revoke(foreign, time.Now().Add(time.Hour))
	ca := `ca = "` + c.ca.File + `"`
	f := func(section, want string) {
		t.Helper()
		c.g.Write(e2e.Secure(e2e.SecureListener(dir, "one")+"[listener.client_auth]\n"+section+"\n", "127.0.0.1:1"))
		if status, text := c.g.Reload(); status != 422 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s\nwant %q", section, status, text, want)
		}
	}
	f(``, "client_auth.ca")
	f(`ca = ""`, "client_auth.ca")
	f(`ca = "`+empty+`"`, "holds no certificate")
	f(`ca = "`+dir+`/none.pem"`, "no such file")
	f(ca+"\nmode = \"optional\"", "request")
	f(ca+"\ncrl = \""+dir+"/none.crl\"", "no such file")
	f(ca+"\ncrl = \""+empty+"\"", "holds no revocation list")
	f(ca+"\ncrl = \"\"", "client_auth.crl: must name a file")
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	f(`ca = "`+pipe+`"`, "is no regular file")
	f(ca+"\ncrl = \"/dev/zero\"", "is no regular file")
	f(ca+"\ncrl = \""+foreign+"\"", "is not signed by an authority of ca")
	f(ca+"\nhosts = [\"a.example:443\"]", "must not have a port")
	f(ca+"\nhosts = [\"https://a.example\"]", "hosts")
	if _, status := c.dial("public.example", c.good); status != 200 {
		t.Errorf("after refused reloads: %d", status)
	}
}
