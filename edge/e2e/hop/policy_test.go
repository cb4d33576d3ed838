//go:build !race

package hop

import (
	"net"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// okWith is an answer of an origin with these fields.
func okWith(fields ...string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + strings.Join(fields, "") + "\r\nok"
}

// TestHeaderPolicies: policies change requests and every answer, also one that is stored, local or a refusal; what is
// stored is what the target sent.
func TestHeaderPolicies(t *testing.T) {
	t.Parallel()
	app := e2e.Record(t, func(r *e2e.Recorded, _ net.Conn) string {
		return okWith("Cache-Control: max-age=100\r\n", "Server: app\r\n", "X-Old: 1\r\n", "X-Old: 2\r\n", "X-New: own\r\n",
			"x-internal-a: 1\r\n", "X-Frame-Options: SAMEORIGIN\r\n", "X-ODD-Case: kept\r\n")
	})
	g := e2e.Start(t, `[server]
trusted_proxies = ["127.0.0.1"]
[[listener]]
address = "{{addr}}"
[pool.app]
targets = ["`+app.Addr+`"]
[pool.none]
targets = ["127.0.0.1:1"]
[cache.main]
[rate_limit.few]
rate = "1/h"
burst = 1
[headers.app]
request = { remove = ["X-Debug", "x-int-*"], rename = { X-A = "X-B" }, set = { X-Edge = "{host} {params.id} {query.q}", X-None = "{headers.x-missing}", X-Two = "new" }, add = { X-More = "{client}" } }
response = { remove = ["Server", "X-Internal-*"], rename = { X-Old = "X-New" }, set = { X-Edge = "{path} {query.q}" }, add = { Via = "1.1 more" } }
[[route]]
path = "/app/{id}"
pool = "app"
cache = "main"
headers_policy = ["app", "strict"]
[[route]]
path = "/none/{id}"
pool = "none"
headers_policy = ["app", "strict"]
[[route]]
path = "/few/{id}"
respond = { body = "local", headers = { Server = "mine" } }
rate_limits = ["few"]
headers_policy = ["app", "strict"]
[[route]]
path = "/plain/{id}"
pool = "app"
cache = "main"
`)
	const lines = "X.Debug: 1\r\nX.Edge: 1\r\nX.Int-C: 1\r\nX-Debug: 1\r\nX-Int-B: 1\r\nX-A: a\r\nX-B: own\r\nX-Two: 1\r\nX-Two: 2\r\nX-None: mine\r\nX-More: 0\r\n"
	f := func(path string, status int, more string) *e2e.Reply {
		t.Helper()
		k := e2e.DialRaw(t, g.Addr)
		k.Send("GET " + path + " HTTP/1.1\r\nHost: Example.com:80\r\nX-Forwarded-For: 203.0.113.9\r\n" + lines + more + "\r\n")
		a := k.Answer("GET")
		if a.StatusCode != status {
			t.Fatalf("%s: %d %q", path, a.StatusCode, a.Body)
		}
		h := a.Header
		if h.Get("X-Content-Type-Options") != "nosniff" || len(h["X-Frame-Options"]) != 1 || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("Referrer-Policy") == "" || h.Get("Server") != "" || h.Get("X-Internal-A") != "" || h.Get("X-Evil") != "" {
			t.Errorf("%s: %v", path, h)
		}
		if hsts := h.Get("Strict-Transport-Security"); (hsts != "") != strings.Contains(more, "Proto: https") {
			t.Errorf("%s: HSTS %q", path, hsts)
		}
		p, _, _ := strings.Cut(path, "?")
		if got := h.Get("X-Edge"); got != p && got != p+" X-Evil: 1" {
			t.Errorf("%s: X-Edge %q", path, got)
		}
		return a
	}
	for range 2 { // from the target, then from the cache
		a := f("/app/7?q=%0d%0aX-Evil:%201", 200, "")
		if v := strings.Join(a.Header["X-New"], ","); v != "1,2" || a.Header.Get("X-Old") != "" || !strings.Contains(a.Header.Get("Via"), "penstock") ||
			a.Header.Values("Via")[len(a.Header.Values("Via"))-1] != "1.1 more" {
			t.Errorf("%v", a.Header)
		}
	}
	f("/none/7", 502, "")
	f("/few/7", 200, "X-Forwarded-Proto: https\r\n")
	f("/few/7", 429, "")

	app.Mu.Lock()
	defer app.Mu.Unlock()
	if len(app.List) != 1 {
		t.Fatalf("%d requests arrived", len(app.List))
	}
	head := app.List[0].Head
	for _, line := range []string{"X-Edge: example.com 7 X-Evil: 1", "X-B: a", "X-Two: new", "X-More: 0", "X-More: 203.0.113.9"} {
		if strings.Count(head, "\r\n"+line+"\r\n") != 1 {
			t.Errorf("%q is not once in\n%s", line, head)
		}
	}
	for _, not := range []string{"X.Debug", "X.Edge", "X.Int", "X-Debug", "X-Int-B", "X-A:", "own", "X-None", "X-Two: 1", "\r\nX-Evil"} {
		if strings.Contains(head, not) {
			t.Errorf("%q is in\n%s", not, head)
		}
	}
}

func TestHeaderPolicyMistakes(t *testing.T) {
	t.Parallel()
	f := func(policy, want string) {
		t.Helper()
		mistaken(t, "[[listener]]\naddress = \":8080\"\n[headers.a]\n"+policy+"\n[[route]]\npath = \"/{id}\"\nrespond = {}\nheaders_policy = [\"a\"]\n", want)
	}
	f(`request = { set = { Host = "a" } }`, "headers.a.request.set.Host: is decided by preserve_host and set_host")
	f(`response = { remove = ["Content-Length"] }`, "headers.a.response.remove[1]: is made by the gateway")
	f(`request = { add = { Transfer-Encoding = "chunked" } }`, "belongs to one connection")
	f(`response = { rename = { X-A = "Connection" } }`, "Connection belongs to one connection")
	f(`response = { set = { X-A = "{hots}" } }`, "headers.a.response.set.X-A: {hots} is not known; known are {host}")
	f(`response = { set = { X-A = "{params.ids}" } }`, "uses {params.ids}, which the path of this route does not have")
	f(`response = { set = { X-A = "" } }`, "has no value")
	f(`response = { set = { X-A = "1", x-a = "2" } }`, "is given twice")
	f(`response = { set = { X-A = "a\nb" } }`, "one line without control characters")
}

// TestMapLocation: what a target says of its own paths and hosts is what clients know them by.
func TestMapLocation(t *testing.T) {
	t.Parallel()
	var addr string
	app := e2e.Record(t, func(r *e2e.Recorded, _ net.Conn) string {
		_, q, _ := strings.Cut(r.Path(), "?")
		name, value, _ := strings.Cut(q, "=")
		value = strings.NewReplacer("~", " ", "!", "#", "TARGET", addr).Replace(value)
		return okWith(map[string]string{"l": "LOCATION: ", "c": "Content-Location: ", "s": "Set-Cookie: "}[name] + value + "\r\n")
	})
	addr = app.Addr
	g := e2e.Start(t, `[[listener]]
address = "{{addr}}"
[pool.app]
targets = ["`+app.Addr+`"]
[[route]]
prefix = "/api/v1"
strip_prefix = "/api/v1"
pool = "app"
[[route]]
prefix = "/old/"
rewrite = "/new/"
pool = "app"
set_host = "app.internal"
[[route]]
path = "/u/{id}/{rest:*}"
rewrite = "/users/{id}/show/{rest}"
pool = "app"
[[route]]
prefix = "/out/"
rewrite = "/app/"
pool = "app"
[[route]]
hosts = ["root.example"]
prefix = "/"
rewrite = "/app/"
pool = "app"
[[route]]
prefix = "/off"
strip_prefix = "/off"
map_location = false
pool = "app"
[[route]]
prefix = "/"
pool = "app"
`)
	host := "pub.example"
	f := func(path, sent, want string) {
		t.Helper()
		k := e2e.DialRaw(t, g.Addr)
		k.Send("GET " + path + "?" + strings.NewReplacer(" ", "~", "#", "!").Replace(sent) + " HTTP/1.1\r\nHost: " + host + "\r\nX-Forwarded-Prefix: /evil\r\n\r\n")
		a := k.Answer("GET")
		got := a.Header.Get("Location") + a.Header.Get("Content-Location") + a.Header.Get("Set-Cookie")
		if got != want {
			t.Errorf("%s: %s becomes %q, want %q", path, sent, got, want)
		}
	}
	f("/api/v1/x", "l=/users/7?a#b", "/api/v1/users/7?a#b")
	f("/api/v1/x", "c=/", "/api/v1/")
	f("/api/v1/x", "l=/api/v1/y", "/api/v1/y")
	f("/api/v1/x", "l=http://pub.example/y", "http://pub.example/api/v1/y")
	f("/api/v1/x", "l=http://TARGET/y", "/api/v1/y")
	f("/api/v1/x", "l=https://other.example/y", "https://other.example/y")
	f("/api/v1/x", "l=next?q", "next?q")
	f("/api/v1/x", "s=a=b; Path=/; HttpOnly", "a=b; Path=/api/v1; HttpOnly")
	f("/api/v1/x", "s=a=b; path=/x;Secure", "a=b; Path=/api/v1/x;Secure")
	f("/api/v1/x", "s=__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure")
	f("/old/x", "l=/new/y", "/old/y")
	f("/old/x", "l=http://app.internal/new", "/old")
	f("/old/x", "l=/elsewhere", "/elsewhere")
	f("/old/x", "s=a=b; Domain=.internal; Path=/new", "a=b; Path=/old")
	f("/old/x", "s=a=b; Domain=pub.example", "a=b; Domain=pub.example")
	f("/u/7/posts", "l=/users/7/show/photos", "/u/7/photos")
	f("/u/7/posts", "l=/users/8/show/photos", "/users/8/show/photos")
	f("/off/x", "l=/y", "/y")
	f("/out/x", "l=http://TARGET//foe.example", "/foe.example") // what follows two slashes is a host
	f("/out/x", `l=http://TARGET/\foe.example`, "/foe.example")
	host = "root.example"
	f("/x", `l=/app/\foe.example`, "/foe.example")
	f("/x", "l=/app//foe.example", "/foe.example")
	f("/x", "l=/app/y", "/y")
	host = "pub.example"
	f("/any", "l=http://TARGET/y", "http://"+addr+"/y")

	app.Mu.Lock()
	defer app.Mu.Unlock()
	for _, r := range app.List {
		path, _, _ := strings.Cut(r.Path(), "?")
		want := ""
		if path == "/x" { // of /api/v1 or /off
			want = "X-Forwarded-Prefix: /"
		}
		if strings.Contains(r.Head, "evil") || want != "" && !strings.Contains(r.Head, want) {
			t.Errorf("the target was told\n%s", r.Head)
		}
	}
}

// TestArms: entries of a split have policies and redirects of their own, and a route several mirrors.
func TestArms(t *testing.T) {
	t.Parallel()
	one, two, shadow, audit := e2e.Record(t, nil), e2e.Record(t, nil), e2e.Record(t, nil), e2e.Record(t, nil)
	g := e2e.Start(t, `[[listener]]
address = "{{addr}}"
[pool.one]
targets = ["`+one.Addr+`"]
[pool.two]
targets = ["`+two.Addr+`"]
[pool.shadow]
targets = ["`+shadow.Addr+`"]
[pool.audit]
targets = ["`+audit.Addr+`"]
[headers.beta]
request = { set = { X-Beta = "yes" } }
response = { set = { X-Arm = "two" } }
[[route]]
name = "arms"
prefix = "/arms"
sticky = "header:X-User"
split = [{ pool = "one" }, { pool = "two", headers_policy = ["beta"] }, { redirect = { to = "https://new.example/arms", status = 307 } }]
[[route]]
name = "copied"
prefix = "/copied"
pool = "one"
mirror = [{ pool = "shadow" }, { pool = "audit", max_body_bytes = "1MiB" }]
`)
	arms := map[string]int{}
	for i := range 64 {
		user := "X-User: u" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		a := g.AskLines("/arms/x", user)
		arm := a.Header.Get("X-Arm")
		switch {
		case a.StatusCode == 307 && a.Header.Get("Location") == "https://new.example/arms/x":
			arm = "redirect"
		case a.StatusCode != 200:
			t.Fatalf("%d %v", a.StatusCode, a.Header)
		}
		arms[arm]++
		if again := g.AskLines("/arms/x", user); again.StatusCode != a.StatusCode || again.Header.Get("X-Arm") != a.Header.Get("X-Arm") {
			t.Errorf("%s got another arm", user)
		}
	}
	if len(arms) != 3 {
		t.Errorf("%v", arms)
	}
	for _, r := range one.Heads() {
		if strings.Contains(r, "X-Beta") {
			t.Errorf("the policy of another entry:\n%s", r)
		}
	}
	if got := two.Heads(); len(got) != 2*arms["two"] || !strings.Contains(got[0], "\r\nX-Beta: yes\r\n") {
		t.Errorf("%d requests for the second pool, want %d: %.300q", len(got), 2*arms["two"], got)
	}

	k := e2e.DialRaw(t, g.Addr)
	for range 3 {
		k.Send("POST /copied HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
		if a := k.Answer("POST"); a.StatusCode != 200 {
			t.Fatalf("%d", a.StatusCode)
		}
	}
	for _, o := range []*e2e.Recorder{shadow, audit} {
		e2e.Eventually(t, "each mirror has three copies", func() bool { return len(o.Heads()) == 3 })
		o.Mu.Lock()
		for _, r := range o.List {
			if r.Body != "abc" {
				t.Errorf("a copy has the body %q", r.Body)
			}
		}
		o.Mu.Unlock()
	}
	g.Counted(`penstock_mirror_requests_total{outcome="sent",pool="audit",route="copied"}`, 3)
	const base = "[[listener]]\naddress = \":8080\"\n[pool.a]\ntargets = [\"127.0.0.1:1\"]\n[[route]]\nprefix = \"/\"\n"
	mistaken(t, base+`split = [{ pool = "a", redirect = { to = "/" } }]`, "split[1].redirect: an entry has either a pool or a redirect")
	mistaken(t, base+`split = [{ pool = "a", headers_policy = ["stric"] }]`, `no headers policy named "stric" (did you mean "strict"?)`)
	mistaken(t, base+`split = [{ weight = 1 }]`, "split[1].pool: is required, or a redirect")
	mistaken(t, base+"pool = \"a\"\nmirror = [{ pool = \"a\" }, { pool = \"a\" }]", `mirror[2].pool: "a" gets copies of this route already`)
	mistaken(t, base+"pool = \"a\"\nmirror = [1]", "mirror[1]: must be a table such as")
	mistaken(t, base+"pool = \"a\"\nmirror = \"a\"", "mirror: must be a table such as")
}

// TestCookieOfTheApplication: a sticky or split cookie never replaces that of the application.
func TestCookieOfTheApplication(t *testing.T) {
	t.Parallel()
	app := e2e.Record(t, func(r *e2e.Recorded, _ net.Conn) string {
		if strings.HasSuffix(r.Path(), "/sets") {
			return okWith("set-cookie: SID=app; Path=/\r\n", "Cache-Control: max-age=100\r\n")
		}
		return okWith("Set-Cookie: other=1\r\n")
	})
	conf := `[[listener]]
address = "{{addr}}"
[pool.app]
targets = ["` + app.Addr + `"]
sticky = { cookie = "SID" }
[pool.plain]
targets = ["` + app.Addr + `"]
[[route]]
name = "sticky"
prefix = "/sticky/"
pool = "app"
[[route]]
name = "split"
prefix = "/split/"
split = [{ pool = "plain" }]
sticky = "cookie:SID"
`
	g := e2e.Start(t, conf)
	f := func(path, cookie, want string) string {
		t.Helper()
		a := g.AskLines(path, "Cookie: x=y; "+cookie)
		own := ""
		for _, line := range a.Header["Set-Cookie"] {
			if name, value, _ := strings.Cut(line, "="); name == "SID" {
				own += value[:min(3, len(value))] + "|"
			}
		}
		if strings.TrimRight(own, "|") != want && !(want == "ours" && strings.Count(own, "|") == 1 && own != "app|") {
			t.Errorf("%s with %q sets %q, want %q", path, cookie, own, want)
		}
		for _, line := range a.Header["Set-Cookie"] {
			if strings.HasPrefix(line, "SID=") {
				return strings.SplitN(line, ";", 2)[0]
			}
		}
		return ""
	}
	ours := f("/sticky/x", "", "ours")
	f("/sticky/x", ours, "")
	f("/sticky/sets", "", "app")
	f("/sticky/x", "SID=0123456789abcdef0123456789abcdef", "")
	f("/sticky/x", ours[:len(ours)-1], "ours") // made here once, and good for nobody any more
	f("/split/x", "", "ours")
	f("/split/sets", "", "app")
	f("/split/x", "SID=app", "")
	g.Counted(`penstock_sticky_cookie_conflicts_total{pool="app"}`, 2)
	g.Counted(`penstock_split_cookie_conflicts_total{route="split"}`, 1)
	said := warned(t, strings.ReplaceAll(conf, "{{addr}}", ":8080"))
	if strings.Count(said, "SID is what applications call their session") != 2 {
		t.Errorf("check says\n%s", said)
	}
	if said = warned(t, strings.NewReplacer("{{addr}}", ":8080", "SID", "seat").Replace(conf)); strings.Contains(said, "call their session") {
		t.Errorf("check says\n%s", said)
	}
}
