package capacity

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/penstock-edge/penstock/bench/rig"
)

// file is a configuration as if it had been read.
func file(t *testing.T, text string) *File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "test.toml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Read(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var spec = Spec{Origin: "127.0.0.1:1", Addr: "127.0.0.1:2", Secure: "127.0.0.1:3", Admin: "127.0.0.1:4",
	Cert: "/c/cert", Dir: "/logs"}

const head = "[[listener]]\naddress = \":8080\"\n[pool.app]\ntargets = [\"10.0.0.1:80\"]\n"

func TestCopyReplaces(t *testing.T) {
	f := file(t, `
[admin]
address = "unix:/run/admin.sock"
[log.access]
output = "/var/log/access.log"
format = "combined"
[[listener]]
name = "public"
address = "unix:/run/public.sock"
max_connections_per_ip = 5
idle_timeout = "5s"
[[listener]]
address = ":443"
tls_min_version = "1.3"
proxy_protocol = true
[[listener.certificate]]
cert = "/etc/cert"
key = "/etc/key"
[pool.app]
balance = "least_connections"
targets = ["10.0.0.1:80", { address = "10.0.0.2:80", weight = 2 }]
[pool.app.health]
path = "/healthz"
interval = "5s"
[pool.app.tls]
enabled = true
ca = "/etc/ca.pem"
[rate_limit.per_ip]
rate = "100/s"
[[route]]
name = "first"
hosts = ["api.example.com", "*.example.org"]
methods = ["PUT"]
prefix = "/v1/"
pool = "app"
[[route]]
hosts = ["www.example.com"]
prefix = "/"
pool = "app"
`)
	c, err := f.Copy(spec)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Admin struct{ Address string }
		Log   struct {
			Access struct{ Output, Format string }
		}
		Listener []map[string]any
		Pool     map[string]map[string]any
		Limits   map[string]map[string]any `toml:"rate_limit"`
		Route    []map[string]any
	}
	if _, err := toml.Decode(c.Text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Admin.Address != spec.Admin || got.Log.Access.Output != "/logs/access.log" ||
		got.Log.Access.Format != "combined" {
		t.Errorf("%+v", got)
	}
	plain, secure := got.Listener[0], got.Listener[1]
	if len(got.Listener) != 2 || plain["address"] != spec.Addr || secure["address"] != spec.Secure ||
		plain["certificate"] != nil || plain["idle_timeout"] != "5s" || plain["max_connections_per_ip"] != nil ||
		plain["name"] != nil || secure["tls_min_version"] != "1.3" || secure["proxy_protocol"] != nil ||
		tables(secure, "certificate")[0]["cert"] != "/c/cert.crt" {
		t.Errorf("listeners %v", got.Listener)
	}
	app := got.Pool["app"]
	if targets := app["targets"].([]any); len(targets) != 1 || targets[0] != spec.Origin || app["tls"] != nil ||
		app["balance"] != "least_connections" || child(app, "health")["path"] != "/0" ||
		child(app, "health")["interval"] != "5s" {
		t.Errorf("pool %v", app)
	}
	if got.Limits["per_ip"]["mode"] != "observe" || got.Limits["per_ip"]["rate"] != "100/s" {
		t.Errorf("limits %v", got.Limits)
	}
	first, second, bare := got.Route[0], got.Route[1], got.Route[2]
	if hosts := first["hosts"].([]any); len(hosts) != 1 || hosts[0] != host || c.Route != "first" || c.Path != "/v1/128" ||
		!slices.Contains(first["methods"].([]any), any("GET")) {
		t.Errorf("route %v, %+v", first, c)
	}
	if second["hosts"].([]any)[0] != "www.example.com" {
		t.Errorf("a route that is not measured: %v", second)
	}
	if bare["name"] != bareName || bare["pool"] != bareName || len(bare) != 4 || bare["hosts"].([]any)[0] != host {
		t.Errorf("bare %v", bare)
	}
	if len(c.Notes) < 6 {
		t.Errorf("notes %q", c.Notes)
	}
	if again, _ := f.Copy(spec); again.Text != c.Text {
		t.Error("the file itself was changed")
	}
}

func TestCopyFindsRoutes(t *testing.T) {
	f := func(route, path string) {
		t.Helper()
		c, err := file(t, head+"[[route]]\npool = \"app\"\n"+route).Copy(spec)
		if err != nil || c.Path != path {
			t.Errorf("%s: %+v, %v; want %s", route, c, err, path)
		}
	}
	f(`prefix = "/"`, "/128")
	f(`prefix = "/v1"`, "/v1/128")
	f(`path = "/v1/ping"`, "/v1/ping?/128")
	f(`path = "/128"`, "/128")
	f(`path = "/u/{id}"`, "/u/128")
	f(`path = "/u/{id}/{tab?}"`, "/u/128/128")
	f(`path = "/u/{rest:*}"`, "/u/128")
	f(`path = "/u/{id:[0-9]{4}}/x"`, "/u/1234/x?/128")
	f(`path = "/u/{id:q+}/{n}"`, "/u/128/128") // the condition is dropped
	f("prefix = \"/a/\"\nrewrite = \"/index.html\"", "/a/128?/128")
	f("prefix = \"/\"\nquery = { debug = \"1\", \"a b\" = \"*\", no = \"!\", x = \"~[a-c]{3}\" }",
		"/128?a+b=1&debug=1&x=abc&/128")
}

func TestCopyOfAnswers(t *testing.T) {
	f := func(route, expect, contains string) {
		t.Helper()
		c, err := file(t, head+"[[route]]\nprefix = \"/\"\n"+route).Copy(spec)
		if err != nil || c.Expect != expect || !strings.Contains(c.Text, contains) {
			t.Errorf("%s: %+v, %v", route, c, err)
		}
	}
	f(`redirect = { to = "/x" }`, "status-308", `to = "/x"`)
	f(`redirect = { to = "/x", status = 302 }`, "status-302", "status = 302")
	f(`respond = { status = 410 }`, "", "status = 200")
	f(`respond = { body = "x" }`, "", `body = "x"`)
}

func TestChains(t *testing.T) {
	f := file(t, head+`
[pool.b]
targets = ["10.0.0.1:80"]
[pool.b.retry]
attempts = 2
[[route]]
prefix = "/a/"
pool = "app"
timeout = "1s"
[[route]]
name = "two"
path = "/b"
hosts = ["x.example.com"]
pool = "app"
timeout = "9s"
[[route]]
prefix = "/c/"
pool = "b"
timeout = "1s"
[[route]]
prefix = "/d/"
split = [{ pool = "app" }, { pool = "b" }]
sticky = "ip"
[[route]]
prefix = "/e/"
respond = { body = "x" }
`)
	want := []Chain{
		{Routes: []string{"route-1", "two"}, Answer: "pool", Features: []string{"route timeout"}},
		{Routes: []string{"route-3"}, Answer: "pool", Features: []string{"route timeout", "pool retry"}, Index: 2},
		{Routes: []string{"route-4"}, Answer: "split", Index: 3,
			Features: []string{"route split", "route sticky", "pool retry"}},
		{Routes: []string{"route-5"}, Answer: "respond", Index: 4},
	}
	got := f.Chains()
	if !slices.EqualFunc(got, want, func(a, b Chain) bool {
		return slices.Equal(a.Routes, b.Routes) && slices.Equal(a.Features, b.Features) && a.Answer == b.Answer &&
			a.Index == b.Index
	}) {
		t.Errorf("%+v", got)
	}
}

func TestReadRefuses(t *testing.T) {
	f := func(text string) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "x.toml")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(name); err == nil {
			t.Errorf("%q is read", text)
		}
	}
	f("")
	f("[[listener]]\naddress = \":1\"\n")
	f("[[route]\n")
	if _, err := Read(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing file is read")
	}
}

// TestCopiesAreValid has the gateway's own program check the copy of every chain, whole and without each feature.
func TestCopiesAreValid(t *testing.T) {
	dir := t.TempDir()
	ours := filepath.Join(dir, "penstock")
	if out, err := exec.Command("go", "build", "-pgo=off", "-buildvcs=false", "-o", ours,
		"../../cmd/penstock").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := spec
	s.Cert, s.Dir = filepath.Join(dir, "cert"), dir
	if err := rig.WriteCert(s.Cert); err != nil {
		t.Fatal(err)
	}
	hidden := file(t, head+`
[[route]]
hosts = ["a.example.com"]
prefix = "/"
pool = "app"
[[route]]
hosts = ["bench.example.com"]
prefix = "/"
pool = "app"
timeout = "1s"
[[route]]
prefix = "/"
headers = { "X-A" = "1", "X-B" = "~x", "X-C" = "*", "X-D" = "!" }
pool = "app"
timeout = "2s"
max_body_bytes = "1KiB"
`)
	names, err := filepath.Glob("../../configs/*.toml")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range append(names, hidden.Name) {
		f, err := Read(name)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, c := range f.Chains() {
			for _, without := range append(append([]string{""}, f.Shared()...), c.Features...) {
				s.Index, s.Without, s.Wide, s.Apart = c.Index, without, without == "", without == ""
				if _, err := prepare(ours, f, s, filepath.Join(dir, "copy.toml")); err != nil {
					t.Errorf("%s, %s without %q: %v", name, c.Name(), without, err)
				}
			}
		}
	}
}
