package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func testOptions() Options {
	return Options{
		Env: func(name string) (string, bool) {
			value, ok := map[string]string{"PORT": "8080", "EMPTY": "", "NEST": "${PORT}"}[name]
			return value, ok
		},
		ReadFile: func(name string) ([]byte, error) {
			if text, ok := map[string]string{"/key": "s3cret\n", "/crlf": "a\nb\r\n"}[name]; ok {
				return []byte(text), nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("no such file")}
		},
	}
}

func TestGolden(t *testing.T) {
	update := os.Getenv("UPDATE_GOLDEN") != ""
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got := "good\n"
		if err := Load(filepath.Base(name), text, testOptions()).File.Finish().Err(); err != nil {
			got = err.Error() + "\n"
		}
		wantName := strings.TrimSuffix(name, ".toml") + ".want"
		if update {
			if err := os.WriteFile(wantName, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(wantName)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%swant\n%s", name, got, want)
		}
	}
}

func TestLoadCore(t *testing.T) {
	text, err := os.ReadFile("testdata/core.toml")
	if err != nil {
		t.Fatal(err)
	}
	c := Load("core.toml", text, testOptions())
	f := func(got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	f(c.Server.DrainTimeout, 90*time.Second)
	f(c.Server.TrustedProxies, []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("192.0.2.7/32"),
	})
	f(c.Admin.Address, "unix:/run/penstock/admin.sock")
	f(c.Log.Level, "debug")
	f(len(c.Listeners), 2)
	l := c.Listeners[0]
	f(l.Certificates[1].Key, "/etc/penstock/b.key")
	f(l.Certificates[1].Table.Path(), "listener[1].certificate[2]")
	f(l.Table.Path(), "listener[1]")
	l.Table, l.Certificates = nil, nil
	f(l, Listener{
		Name: "public", Address: ":8443", ReusePort: true, ProxyProtocol: true,
		HeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MinReceiveRate: 1024,
		MaxHeaderBytes: 32 << 10, MaxBodyBytes: 1e9, MaxConnections: 1000, MaxConnectionsPerIP: 20,
		TLSMinVersion: "1.3", UnderscoreFields: "drop",
	})
	l = c.Listeners[1]
	f(len(l.Certificates), 1)
	l.Table, l.Certificates = nil, nil
	f(l, Listener{
		Name: "[::1]:8080", Address: "[::1]:8080", HeaderTimeout: 10 * time.Second,
		IdleTimeout: 75 * time.Second, MinReceiveRate: 240, MinSendRate: 240, MaxHeaderBytes: 16 << 10,
		MaxBodyBytes: 64 << 20, MaxConnections: 100000, TLSMinVersion: "1.2", UnderscoreFields: "drop",
	})
	r := c.Routes[0]
	f(r.Table.Path(), "route[1]")
	r.Table = nil
	f(r, Route{
		Name: "user", Hosts: []string{"api.example.com", "*.example.org"},
		Methods: []string{"GET", "M-SEARCH"}, Path: "/v1/users/{id}",
		Headers: map[string]string{"X-Beta": "yes", "X-Trace": "!"}, Query: map[string]string{"debug": "1"},
		Priority: -5, Pool: "users", Timeout: time.Minute,
	})
	f(c.Routes[1].Name, "route-2")
}

// What owners decode must be left to them, and be known once they have.
func TestLoadLeavesFeatures(t *testing.T) {
	c := Load("x.toml", []byte(`
[log.access]
output = "off"
[[listener]]
address = ":0"
[[listener]]
address = ":0"
[pool.app]
targets = ["a:1"]
[[route]]
prefix = "/"
cache = "default"
`), testOptions())
	f := func(want ...string) {
		t.Helper()
		var keys []string
		for _, e := range c.File.Finish() {
			keys = append(keys, e.Key+": "+e.Message)
		}
		if !reflect.DeepEqual(keys, want) {
			t.Errorf("got %q, want %q", keys, want)
		}
	}
	f("log.access: unknown key", "pool: unknown key", "route[1].cache: unknown key")
	c.Routes[0].Table.Value("cache")
	access := c.Log.Table.Child("access")
	f("log.access.output: unknown key", "pool: unknown key")
	access.Value("output")
	pools := c.File.Root.Children("pool")
	f("pool.app.targets: unknown key")
	pools[0].Value("targets")
	f()
}

func TestLoadSyntaxError(t *testing.T) {
	c := Load("x.toml", []byte("a = \"b\n"), testOptions())
	c.File.Root.Errorf("a", "an echo")
	errs := c.File.Finish()
	want := "x.toml:1:7: strings cannot contain newlines"
	if errs.Error() != want || c.Server.DrainTimeout != 30*time.Second {
		t.Errorf("got %s, want %s", errs, want)
	}
	if c.Server.Table == nil || c.Admin.Table == nil || c.Log.Table == nil {
		t.Error("no table")
	}
}

func TestEndpoints(t *testing.T) {
	parse := func(address string) endpoint {
		t.Helper()
		e, ok := parseEndpoint(address)
		if !ok {
			t.Fatalf("%q is refused", address)
		}
		return e
	}
	f := func(a, b string, want bool) {
		t.Helper()
		if got := parse(a).clashes(parse(b)); got != want {
			t.Errorf("%s and %s: %v", a, b, got)
		}
		if got := parse(b).clashes(parse(a)); got != want {
			t.Errorf("%s and %s: %v", b, a, got)
		}
	}
	f(":80", ":80", true)
	f(":80", ":81", false)
	f(":80", "0.0.0.0:80", true)
	f("[::]:80", "0.0.0.0:80", true)
	f(":80", "192.0.2.1:80", true)
	f("192.0.2.2:80", "192.0.2.1:80", false)
	f("localhost:80", "127.0.0.1:80", true)
	f("[2001:db8:0::1]:80", "[2001:db8::1]:80", true)
	f("[::ffff:192.0.2.1]:80", "192.0.2.1:80", true)
	f("Edge.example:80", "edge.example:80", true)
	f(":0", ":0", false)
	f("unix:/a", "unix:/a", true)
	f("unix:/a", "unix:/./a", true)
	f("unix:/a", "unix:/b", false)
	f("unix:/a", ":80", false)
	refused := func(address string) {
		t.Helper()
		if e, ok := parseEndpoint(address); ok {
			t.Errorf("%q is %+v", address, e)
		}
	}
	refused("")
	refused("80")
	refused("host")
	refused(":")
	refused(":65536")
	refused(":-1")
	refused(":+1")
	refused(":http")
	refused("a b:80")
	refused("-a:80")
	refused("a..b:80")
	refused("256.0.0.1:80")
	refused("::1:80")
	refused("http://a:80")
	refused("unix:")
	refused("unix:/")
	refused("unix:a")
}

func FuzzLoad(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 4096 {
			return
		}
		c := Load("x.toml", text, testOptions())
		errs := c.File.Finish()
		body := string(text)[byteOrderMark(string(text)):]
		lines := strings.Split(body, "\n")
		for i, e := range errs {
			if e.Line < 1 || e.Line > len(lines) || e.Col < 1 || e.Col > len(lines[e.Line-1])+1 {
				t.Fatalf("no such place: %s", e)
			}
			if i > 0 && (errs[i-1].Line > e.Line || errs[i-1].Line == e.Line && errs[i-1].Col > e.Col) {
				t.Fatalf("not in order:\n%s", errs)
			}
			if strings.Contains(e.Error(), "\n") {
				t.Fatalf("more than a line: %q", e)
			}
		}
		if len(errs) == 0 && (len(c.Listeners) == 0 || len(c.Routes) == 0) {
			t.Fatalf("good: %q", text)
		}
	})
}
