package answer

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/edge/route"
	"github.com/penstock-edge/penstock/pool"
)

const base = "[[listener]]\naddress = \":8080\"\n[pool.app]\ntargets = [\"127.0.0.1:9000\"]\n[[route]]\n"

func build1(t testing.TB, text string) *live.Built {
	t.Helper()
	b, err := live.Check("test.toml", []byte(text), []edge.Feature{pool.Feature, Feature})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// run sends a request target through the routes of b; the filter is nil when none takes it.
func run(b *live.Built, x *edge.Exchange, target string) edge.Filter {
	path, query, hasQuery := strings.Cut(target, "?")
	canonical, bad := route.Canonical(nil, []byte(path))
	if bad != nil {
		return nil
	}
	x.Method = []byte("GET")
	x.Path, x.Query, x.HasQuery = canonical, []byte(query), hasQuery
	b.Routes.Lookup(&route.Key{Method: x.Method, Path: x.Path, Header: &x.Req}, &x.Match)
	if x.Match.Status != 200 {
		return nil
	}
	return b.Plans[x.Match.Rule].Filters(edge.Admit)[0]
}

func TestRedirect(t *testing.T) {
	f := func(keys, target, want string) {
		t.Helper()
		x := new(edge.Exchange)
		filter := run(build1(t, base+keys), x, target)
		if filter == nil {
			t.Fatalf("%s does not take %s", keys, target)
		}
		if v := filter.Run(x); v != edge.Answered || !x.Local || x.Fault != nil || x.OutLen != 0 {
			t.Errorf("verdict %v, fault %v", v, x.Fault)
		}
		if got := string(x.Resp.Get("Location")); got != want || x.Status() != 308 {
			t.Errorf("%s: %s goes to %s, want %s", keys, target, got, want)
		}
	}
	p := "prefix = \"/old/\"\n"
	f(p+`redirect = { to = "https://example.com/new/" }`, "/old/a/b?c=d", "https://example.com/new/a/b?c=d")
	f(p+`redirect = { to = "https://example.com/new/" }`, "/old/?", "https://example.com/new/?")
	f(p+`redirect = { to = "https://example.com/new/" }`, "/old//a", "https://example.com/new/a")
	f(p+`redirect = { to = "https://example.com/new" }`, "/old/a?c", "https://example.com/new?c")
	f(p+`redirect = { to = "https://example.com" }`, "/old/a", "https://example.com")
	f(p+`redirect = { to = "https://example.com/" }`, "/old//evil.example", "https://example.com/evil.example")
	f(p+`redirect = { to = "/" }`, "/old//evil.example", "/evil.example")
	f(p+`redirect = { to = "/" }`, "/old/%2Fevil.example", "/%2Fevil.example")
	f(p+`redirect = { to = "/{path...}" }`, "/old///evil.example", "/evil.example")
	f(p+`redirect = { to = "/new/?a=b#c" }`, "/old/x?d", "/new/x?a=b#c")
	f(p+`redirect = { to = "/new/#c" }`, "/old/x?d", "/new/x?d#c")
	f(p+`redirect = { to = "http://[::1]:80/new/" }`, "/old/x", "http://[::1]:80/new/x")
	f(`path = "/u/{id}"`+"\n"+`redirect = { to = "/users/{id}/" }`, "/u/a%2Fb?x", "/users/a%2Fb/?x")
	f(`path = "/u/{id:*}"`+"\n"+`redirect = { to = "/{id}" }`, "/u//evil.example", "/evil.example")
	f(`path = "/u/{id:*}"`+"\n"+`redirect = { to = "/{id}" }`, "/u///evil.example", "/evil.example")
	f(`path = "/u/{id:*}"`+"\n"+`redirect = { to = "https://h/{id}" }`, "/u//x", "https://h/x")
	f(`path = "/a"`+"\n"+`redirect = { to = "/b/{path...}" }`, "/a", "/b/a")
	q := "prefix = \"/old\"\n"
	f(q+`redirect = { to = "/new" }`, "/old", "/new")
	f(q+`redirect = { to = "/new" }`, "/old/x/y?z", "/new/x/y?z")
	f(q+`redirect = { to = "/new" }`, "/old//x", "/new/x")
	f(q+`redirect = { to = "/new" }`, "/old/", "/new/")
	f(q+`redirect = { to = "https://h" }`, "/old/x", "https://h/x")
	f(q+`redirect = { to = "/new/" }`, "/old/x", "/new/x")
	f("path = \"/x/{x}\"\n"+`redirect = { to = "/new#{params.x}" }`, "/x/1", "/new#1")
	f(p+`redirect = { to = "/login?next={path}&q={query.q}&all={uri}" }`, "/old/a?q=x%26y&z",
		"/login?next=/old/a&q=x%26y&all=%2Fold%2Fa%3Fq%3Dx%2526y%26z")
	f(p+`redirect = { to = "/x?{query}" }`, "/old/a", "/x")
	f(p+`redirect = { to = "/x/{query.q}" }`, "/old/a?q=..%2F%0d%0aX", "/x/..%2F%0D%0AX?q=..%2F%0d%0aX")
}

func TestStatus(t *testing.T) {
	for _, status := range []string{"301", "302", "303", "307", "308"} {
		b := build1(t, base+"prefix = \"/\"\nredirect = { to = \"/a\", status = "+status+" }")
		x := new(edge.Exchange)
		run(b, x, "/").Run(x)
		if got := strconv.Itoa(x.Status()); got != status {
			t.Errorf("%s: %s", status, got)
		}
	}
}

func TestRespond(t *testing.T) {
	f := func(keys string, status int, body string, headers ...string) {
		t.Helper()
		x := new(edge.Exchange)
		filter := run(build1(t, base+"prefix = \"/\"\nrespond = "+keys), x, "/a?b")
		if v := filter.Run(x); v != edge.Answered || !x.Local {
			t.Errorf("verdict %v", v)
		}
		var got []byte
		if x.Out != nil {
			got, _ = io.ReadAll(x.Out)
		}
		if x.Status() != status || string(got) != body || x.OutLen != int64(len(body)) {
			t.Errorf("%s: %d %q", keys, x.Status(), got)
		}
		var fields []string
		for k, v := range x.Resp.Each() {
			fields = append(fields, string(k)+": "+string(v))
		}
		if !slices.Equal(fields, headers) {
			t.Errorf("%s: %q, want %q", keys, fields, headers)
		}
	}
	f(`{}`, 200, "")
	f(`{ status = 410 }`, 410, "")
	f(`{ body = "pong\n" }`, 200, "pong\n", "Content-Type: text/plain; charset=utf-8")
	f(`{ body = "{}", headers = { "content-type" = "application/json", x-b = "2", X-A = "1" } }`, 200, "{}",
		"Content-Type: application/json", "x-b: 2", "X-A: 1")
	f(`{ headers = { Server = "s", Set-Cookie = "a=b", Cache-Control = "" } }`, 200, "",
		"Server: s", "Set-Cookie: a=b", "Cache-Control: ")
	f(`{ status = 204 }`, 204, "")
}

// Answers follow each other in one exchange's memory.
func TestAgain(t *testing.T) {
	b := build1(t, base+`prefix = "/"`+"\n"+`respond = { body = "x", headers = { X-A = "1" } }`)
	x := new(edge.Exchange)
	for range 3 {
		run(b, x, "/").Run(x)
		if n := x.Resp.Count("X-A"); n != 1 {
			t.Fatalf("%d fields", n)
		}
		x.Reset()
	}
}

func TestMistakes(t *testing.T) {
	f := func(keys, want string) {
		t.Helper()
		_, err := live.Check("test.toml", []byte(base+keys), []edge.Feature{pool.Feature, Feature})
		if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", keys, err, want)
		}
	}
	p := "prefix = \"/a/\"\n"
	r := p + "redirect = { to = "
	f(p+`redirect = {}`, "test.toml:7:12: route[1].redirect.to: is required, or one of scheme, host and port")
	f(r+`"" }`, "must not be empty")
	f(r+`"/b", status = 300 }`, "route[1].redirect.status: must be 301, 302, 303, 307 or 308, is 300")
	f(r+`"b" }`, `must be a path such as "/new/"`)
	f(r+`"ftp://h/" }`, `must be a path`)
	f(r+`"javascript://h/" }`, `must be a path`)
	f(r+`"//h/" }`, `must say a scheme before "//"`)
	f(r+`"https:///a" }`, "must say a host")
	f(r+`"https://a@h/" }`, "plain host")
	f(r+`"/b\r\nX: y" }`, "without spaces, line ends or control characters")
	f(r+`"/b c" }`, "without spaces")
	f(r+`"/é" }`, "ASCII")
	f(r+`"/{id}" }`, `{id} is not known; known are {host}, `)
	f(r+`"/{id" }`, "an opening brace without")
	f(r+`"https://{path...}/" }`, "would let the client choose the target")
	f(r+`"https://h{path...}" }`, "would let the client choose the target")
	f(r+`"/b{uri}" }`, "{uri} is no path")
	f(r+`"https://{{host}}/" }`, "write %7B or %7D")
	f(r+`"/b", scheme = "https" }`, "leave scheme, host and port out")
	f(p+`redirect = { scheme = "ftp" }`, `must be "http" or "https"`)
	f(p+`redirect = { port = 70000 }`, "must be between 1 and 65535")
	f(p+`redirect = { host = "a/b" }`, "must be a plain host")
	f(p+`redirect = { host = "" }`, "must be a plain host")
	f(r+`"/%zz" }`, "two hexadecimal digits")
	f("path = \"/{a}/{a}\"\n"+`redirect = { to = "/{a}" }`, "named twice")
	f(p+`respond = { body = "{nam}" }`, "{nam} is not known; known are {host}, ")
	f(p+`respond = { headers = { X-A = "{nam}" } }`, "headers.X-A: {nam} is not known")
	f(p+`respond = { headers = { Content-Type = "{host}" } }`, "must be fixed")
	f(p+`respond = { status = 199 }`, "must be between 200 and 599")
	f(p+`respond = { status = 204, body = "x" }`, "an answer with status 204 has no body")
	h := p + "respond = { headers = { "
	f(h+`Connection = "close" } }`, "route[1].respond.headers.Connection: belongs to one connection")
	f(h+`transfer-encoding = "chunked" } }`, "belongs to one connection")
	f(h+`Content-Length = "1" } }`, "made by the gateway")
	f(h+`date = "x" } }`, "made by the gateway")
	f(h+`"X Y" = "1" } }`, "is not the name of a header")
	f(h+`"" = "1" } }`, "is not the name of a header")
	f(h+`X-A = "1\r\nX-B: 2" } }`, "one line without control characters")
	f(h+`X-A = " 1" } }`, "begins and ends with something to see")
	f(h+`X-A = "1", x-a = "2" } }`, "is given twice")
	f(p+"pool = \"app\"\nrespond = {}", `route "route-1" is answered by "pool" already`)
	f(p+"redirect = { to = \"/b\" }\nrespond = {}", `is answered by "redirect" already`)
}

func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../configs/answer.toml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil || !bytes.Contains(readme, text) {
		t.Errorf("README.md does not show the example (%v)", err)
	}
	b := build1(t, string(text))
	f := func(target string, status int, location string) {
		t.Helper()
		x := new(edge.Exchange)
		run(b, x, target).Run(x)
		if got := string(x.Resp.Get("Location")); x.Status() != status || got != location {
			t.Errorf("%s: %d %s", target, x.Status(), got)
		}
	}
	f("/old/a?b=c", 308, "https://example.com/new/a?b=c")
	f("/u/7?b=c", 302, "/users/7?from=short#top")
	f("/ping", 200, "")
	f("/legacy/x", 410, "")
	if len(b.Nowhere.Filters(edge.Admit)) != 0 {
		t.Error("a request without a route is answered by its fault")
	}
}

// FuzzRedirect: no request gets out of the site it is redirected within.
func FuzzRedirect(f *testing.F) {
	b := build1(f, base+`path = "/p/{a}/{b:*}"`+"\n"+`redirect = { to = "/{b}" }`+
		"\n[[route]]\nprefix = \"/q\"\n"+`redirect = { to = "/" }`+
		"\n[[route]]\nprefix = \"/\"\n"+`redirect = { to = "https://example.com/{path...}" }`)
	f.Add("/p/a//evil.example")
	f.Add("/q//evil.example?x")
	f.Fuzz(func(t *testing.T, target string) {
		x := new(edge.Exchange)
		filter := run(b, x, target)
		if filter == nil {
			return
		}
		filter.Run(x)
		to := string(x.Resp.Get("Location"))
		own, inside := strings.CutPrefix(to, "https://example.com")
		if x.Match.Rule != 2 && inside || !strings.HasPrefix(own, "/") || strings.HasPrefix(own, "//") ||
			strings.HasPrefix(own, `/\`) {
			t.Fatalf("%q goes to %q", target, to)
		}
	})
}
