//go:build !race

package hop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestTemplates: what a request says goes into redirects, answers and the Host of targets, and cannot break a head.
func TestTemplates(t *testing.T) {
	t.Parallel()
	app := e2e.Record(t, nil)
	g := e2e.Start(t, `[server]
trusted_proxies = ["127.0.0.1"]
[[listener]]
address = "{{addr}}"
[pool.app]
targets = ["`+app.Addr+`"]
`+templates)
	f := func(target, host, more, want string) {
		t.Helper()
		k := e2e.DialRaw(t, g.Addr)
		k.Send("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n" + more + "\r\n")
		a := k.Answer("GET")
		got := fmt.Sprint(a.StatusCode, " ", a.Header.Get("Location"))
		if a.Header.Get("Location") == "" {
			got = fmt.Sprint(a.StatusCode, " ", a.Body)
		}
		if a.Code() != "" {
			got = fmt.Sprint(a.StatusCode, " ", a.Code())
		}
		if got != want {
			t.Errorf("%s of %s: %s, want %s", target, host, got, want)
		}
		if a.Header.Get("X-Evil") != "" {
			t.Errorf("%s of %s breaks the head: %v", target, host, a.Header)
		}
		k.Open(target, "/ping")
	}
	f("/whole/a%20b?x=1", "Example.com:80", "", "308 https://example.com/new/whole/a%20b?x=1")
	f("/whole?", "[::1]:80", "", "308 https://[::1]/new/whole?")
	f("/old", "a", "", "308 /new")
	f("/old/x", "a", "", "308 /new/x")
	f("/old/x//y?q", "a", "", "308 /new/x//y?q")
	f("/older", "a", "", "404 no_route")
	f("/login/x?a=1&b=%0d%0aX-Evil:%201", "a", "", "302 https://id.example.com/?from=http://a&next=%2Flogin%2Fx%3Fa%3D1%26b%3D%250d%250aX-Evil%3A%25201")
	f("/tenant/acme/x", "a", "", "308 https://acme.example.com/x")
	f("/tenant/acme%2Fevil.com/x", "a", "", "400 bad_request")
	f("/tenant/evil.com%3a80/x", "a", "", "400 bad_request")
	f("/scheme/x?y", "a:8080", "X-Forwarded-Proto: https\r\n", "308 http://a/scheme/x?y")
	f("/port/x?y", "a", "", "308 http://a:8443/port/x?y")
	f("/host/x?y", "a:8080", "", "307 http://www.a:8080/host/x?y")
	f("/text?name=%0d%0aX-Evil:%201", "a", "X-Forwarded-For: 203.0.113.9\r\nX-A: 1\r\nX-A: 2\r\nCookie: c=d; e=f\r\n",
		"200 \r\nX-Evil: 1|GET http a 80 /text 1, 2 f {host} {} 203.0.113.9")
	f(`/json?name=%22,"x":"\%0a`, "a", "", `200 {"hello":"\",\"x\":\"\\\u000a","n":{"a":{}}}`)
	f("/html?name=%3Cscript%3E", "a", "", "200 <p>&lt;script&gt;</p>")
	f("/hosts/7", "a", "", "200 ok")
	f("/hosts/7%2f", "a", "", "400 bad_request")

	app.Mu.Lock()
	defer app.Mu.Unlock()
	if n := len(app.List); n != 1 || !strings.Contains(app.List[0].Head, "\r\nHost: n7.internal:81\r\n") {
		t.Errorf("%d requests arrived: %+v", n, app.List)
	}
}

const templates = `
[[route]]
prefix = "/whole"
redirect = { to = "https://{host}/new{path}" }
[[route]]
prefix = "/old"
redirect = { to = "/new" }
[[route]]
path = "/login/{x}"
redirect = { to = "https://id.example.com/?from={scheme}://{host}&next={uri}", status = 302 }
[[route]]
path = "/tenant/{id}/{rest:*}"
redirect = { to = "https://{id}.example.com/{rest}" }
[[route]]
prefix = "/scheme/"
redirect = { scheme = "http" }
[[route]]
prefix = "/port/"
redirect = { port = 8443 }
[[route]]
prefix = "/host/"
redirect = { host = "www.{host}", status = 307 }
[[route]]
path = "/text"
respond = { body = "{query.name}|{method} {scheme} {host} {port} {path} {headers.x-a} {cookies.e} {{host}} {} {client}", headers = { "X-Name" = "{query.name}" } }
[[route]]
path = "/json"
respond = { body = '{"hello":"{query.name}","n":{"a":{}}}', headers = { "Content-Type" = "application/json" } }
[[route]]
path = "/html"
respond = { body = "<p>{query.name}</p>", headers = { "Content-Type" = "text/html; charset=utf-8" } }
[[route]]
path = "/hosts/{n}"
pool = "app"
set_host = "n{n}.internal:81"
[[route]]
path = "/ping"
respond = {}
`

func TestTemplateMistakes(t *testing.T) {
	t.Parallel()
	const base = "[[listener]]\naddress = \":8080\"\n[pool.app]\ntargets = [\"127.0.0.1:1\"]\n[[route]]\npath = \"/{id}\"\n"
	mistaken(t, base+`redirect = { to = "/{ids}" }`, "route[1].redirect.to: {ids} is not known; known are {id}, {host}, ")
	mistaken(t, base+`respond = { body = "{hots}" }`, "route[1].respond.body: {hots} is not known; known are {id}, {host}, ")
	mistaken(t, base+"pool = \"app\"\n"+`set_host = "{hots}"`, "route[1].set_host: {hots} is not known")
	mistaken(t, base+"pool = \"app\"\n"+`set_host = "http://a"`, "route[1].set_host: must be a host, with a port or without")
	mistaken(t, base+"pool = \"app\"\npreserve_host = true\n"+`set_host = "a"`, "route[1].set_host: a route has either set_host or preserve_host")
}
