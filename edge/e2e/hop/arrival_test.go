//go:build !race

package hop

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestArrival: clients without TLS are sent to the same URL with it, and routes differ by listener, scheme and the
// port of Host.
func TestArrival(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := e2e.NewAuthority(t, "test")
	ca.Write(dir, "site", ca.Issue(false, "example.com"))
	plain, inner, secure := e2e.FreeAddr(t), e2e.FreeAddr(t), e2e.FreeAddr(t)
	g := e2e.Start(t, `[server]
trusted_proxies = ["127.0.0.1"]
[[listener]]
name = "plain"
address = "`+plain+`"
redirect_https = true
[[listener]]
name = "moved"
address = "{{addr}}"
redirect_https = 8443
[[listener]]
name = "inner"
address = "`+inner+`"
[[listener]]
name = "secure"
address = "`+secure+`"
[[listener.certificate]]
cert = "`+dir+`/site.crt"
key = "`+dir+`/site.key"
`+arrivals)
	f := func(addr, target, host, more, want string) {
		t.Helper()
		var c net.Conn
		var err error
		if addr == secure {
			c, err = tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: "example.com"}) //nolint:gosec // a test
		} else {
			c, err = net.Dial("tcp", addr)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		k := e2e.NewRawClient(t, c)
		k.Send("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + more + "Connection: close\r\n\r\n")
		a := k.Answer("GET")
		got := fmt.Sprint(a.StatusCode, " ", a.Body, a.Header.Get("Location"))
		if got != want {
			t.Errorf("%s %s of %s: %s, want %s", addr, target, host, got, want)
		}
		if a.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s of %s: no request id", addr, target, host)
		}
	}
	f(plain, "/a/b%20c?x=1&y", "Example.com", "", "308 https://example.com/a/b%20c?x=1&y")
	f(plain, "/nowhere", "example.com:80", "", "308 https://example.com/nowhere")
	f(plain, "/a?", "[::1]:80", "", "308 https://[::1]/a?")
	f(g.Addr, "/a", "example.com:8080", "", "308 https://example.com:8443/a")
	f(plain, "/who", "example.com", "X-Forwarded-Proto: https\r\n", "200 any https")
	f(inner, "/who", "example.com", "", "200 inner")
	f(secure, "/who", "example.com", "", "200 any https")
	f(inner, "/who", "example.com", "X-Forwarded-Proto: https\r\n", "200 inner")
	f(inner, "/port", "example.com", "", "200 any port")
	f(inner, "/port", "example.com:81", "", "200 81")
	f(inner, "/port", "a.example.com:81", "", "200 wild 81")
	f(inner, "/port", "example.com:82", "", "200 any host 82")
	f(secure, "/port", "example.com", "", "200 443")

	if a := e2e.Raw(t, plain, "GET /a HTTP/1.0\r\n\r\n"); !strings.Contains(a, " 400 ") || strings.Contains(a, "Location") {
		t.Errorf("without a Host: %q", a)
	}
	// An upload that is not read does not turn into another request.
	k := e2e.DialRaw(t, plain)
	k.Send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nGET /who HTTP/1.1\r\nHost: a\r\n\r\n")
	if a := k.Answer("POST"); a.StatusCode != 308 || a.Header.Get("Location") != "https://a/up" {
		t.Errorf("POST: %d %q", a.StatusCode, a.Header.Get("Location"))
	}
	explained(t, g.File, "comes first: its host example.com:81 is closer than *", "GET", "http://example.com:81/port", "--listener", "inner")
	explained(t, g.File, "port 83 is not that of example.com:81", "GET", "http://example.com:83/port", "--listener", "inner")
	explained(t, g.File, "redirect   308 to https://example.com:8443/a", "GET", "http://example.com/a", "--listener", "moved")
}

const arrivals = `
[[route]]
path = "/who"
schemes = ["https"]
respond = { body = "any https" }
[[route]]
name = "inner"
path = "/who"
listeners = ["inner"]
schemes = ["http", "https"]
headers = { Host = "*" }
respond = { body = "inner" }
[[route]]
path = "/port"
respond = { body = "any port" }
[[route]]
path = "/port"
hosts = ["example.com:81"]
respond = { body = "81" }
[[route]]
path = "/port"
hosts = ["*.example.com:81"]
respond = { body = "wild 81" }
[[route]]
path = "/port"
hosts = ["*:82"]
respond = { body = "any host 82" }
[[route]]
path = "/port"
hosts = ["example.com:443"]
respond = { body = "443" }
`

// explained runs `penstock explain` and looks for a text in what it says.
func explained(t *testing.T, file, want string, args ...string) {
	t.Helper()
	out, _ := exec.Command(e2e.Binary, append([]string{"explain", file}, args...)...).CombinedOutput() // status 2: no route
	if !strings.Contains(strings.ReplaceAll(string(out), `"`, ""), want) {
		t.Errorf("explain %q does not say %q:\n%s", args, want, out)
	}
}

// mistaken checks a file and looks for one line about it.
func mistaken(t *testing.T, conf string, want ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(e2e.Binary, "check", file).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err == nil || len(lines) != len(want) {
		t.Fatalf("check of\n%s\nsays %v\n%s", conf, err, out)
	}
	for i, line := range lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("check of\n%s\nsays %q, want %q", conf, line, want[i])
		}
	}
}

// warned checks a file that is good and returns the warnings.
func warned(t *testing.T, conf string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "good.toml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(e2e.Binary, "check", file).CombinedOutput()
	if err != nil {
		t.Fatalf("check of\n%s\nsays %v\n%s", conf, err, out)
	}
	return string(out)
}

func TestArrivalMistakes(t *testing.T) {
	t.Parallel()
	const ping = "[[route]]\npath = \"/ping\"\nrespond = {}\n"
	const listener = "[[listener]]\nname = \"in\"\naddress = \":8080\"\n"
	mistaken(t, listener+"redirect_https = \"yes\"\n"+ping, `redirect_https: must be true, false or a port from 1 to 65535, is`)
	mistaken(t, listener+"redirect_https = 70000\n"+ping, `redirect_https: must be true, false or a port from 1 to 65535, is`)
	mistaken(t, listener+ping+"listeners = [\"inn\"]\n", `route[1].listeners[1]: no listener named "inn" (did you mean "in"?)`)
	mistaken(t, listener+ping+"schemes = [\"htps\"]\n", `schemes[1]: must be "http" or "https", is "htps"`)
	mistaken(t, listener+ping+"hosts = [\"a:0\"]\n", `hosts: "a:0" has no port from 1 to 65535 behind its colon`)
	dir := t.TempDir()
	ca := e2e.NewAuthority(t, "test")
	ca.Write(dir, "site", ca.Issue(false, "example.com"))
	mistaken(t, listener+"redirect_https = true\n[[listener.certificate]]\ncert = \""+dir+"/site.crt\"\nkey = \""+dir+"/site.key\"\n"+ping,
		"redirect_https: this listener speaks TLS itself")
}
