//go:build !race

package operation

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// file writes text to a file of its own.
func file(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "penstock.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestMetricsLint has promtool look at the real /metrics, of a gateway with some traffic behind it.
func TestMetricsLint(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "promtool")
	target := e2e.HTTPOrigin(t, e2e.PathOrigin)
	g := e2e.Start(t, e2e.Simple(target, "[pool.dead]\ntargets = [\""+e2e.FreeAddr(t)+"\"]\n[[route]]\nprefix = \"/dead\"\npool = \"dead\"\n",
		"[log.access]\noutput = \"/dev/null\"\n"))
	for _, request := range []string{"GET /x HTTP/1.1\r\nHost: h", "GET /dead HTTP/1.1\r\nHost: h", "BAD", "GET / HTTP/1.1"} {
		e2e.Raw(t, g.Addr, request+"\r\nConnection: close\r\n\r\n")
	}
	g.Write("broken")
	g.Reload()
	text := g.Metrics()
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	f := func(want string) {
		t.Helper()
		if !regexp.MustCompile(`(?m)^` + want).MatchString(text) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	f(`penstock_requests_total\{route="all",status_class="2xx"\} 1$`)
	f(`penstock_request_duration_seconds_bucket\{route="all",le="\+Inf"\} 1$`)
	f(`penstock_request_duration_seconds_count\{route="all"\} 1$`)
	f(`penstock_upstream_duration_seconds_bucket\{pool="app",le=`)
	f(`penstock_upstream_requests_total\{outcome="[a-z_]+",pool="app",target="` + regexp.QuoteMeta(target) + `"\} 1$`)
	f(`penstock_rejections_total\{code="upstream_connect",route="route-2"\} 1$`)
	f(`penstock_rejections_total\{code="bad_request",route="none"\} [12]$`)
	f(`penstock_connections\{listener="main"\} \d+$`)
	f(`penstock_target_healthy\{pool="app",target="[^"]+"\} 1$`)
	f(`penstock_retries_total\{pool="app"\} 0$`)
	f(`penstock_reloads_total\{result="error"\} 1$`)
	f(`penstock_generation 1$`)
	f(`go_goroutines \d+$`)
	f(`process_resident_memory_bytes `)
	f(`process_open_fds \d+$`)
}

// TestDemo: without a file the gateway serves its demo, and the first lines of the log say what to try.
func TestDemo(t *testing.T) {
	t.Parallel()
	e2e.Needs(t, "curl")
	g := &e2e.Gateway{T: t, Addr: e2e.FreeAddr(t), Admin: e2e.FreeAddr(t), Log: &e2e.LockedBuffer{}}
	g.Cmd = exec.Command(e2e.Binary, "run", "--demo-listen", g.Addr, "--demo-admin", g.Admin)
	g.Run()
	t.Cleanup(g.Stop)
	g.WaitReady()
	var curls []string
	e2e.Eventually(t, "the log tells what to try", func() bool {
		curls = nil
		for line := range strings.Lines(g.Log.String()) {
			if _, call, ok := strings.Cut(strings.TrimSpace(line), "  curl "); ok {
				curls = append(curls, "curl "+call)
			}
		}
		return len(curls) >= 6
	})
	f := func(i int, want string) {
		t.Helper()
		if !strings.HasPrefix(curls[i], "curl ") {
			t.Fatalf("%q is no call of curl", curls[i])
		}
		out, err := exec.Command("curl", append([]string{"-sS"}, strings.Fields(curls[i])[1:]...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", curls[i], err, out)
		}
	}
	f(0, "HTTP/1.1 200 OK\r\n")
	f(0, "Hello from the origin ")
	f(1, "GET /show/7 HTTP/1.1\n")
	f(2, "Hello from the origin ")
	f(3, "HTTP/1.1 308 Permanent Redirect\r\n")
	f(4, "\r\npong\n")
	f(5, `"generation": 1`)
	if strings.Contains(g.Log.String(), "error: ") || strings.Contains(g.Log.String(), "{\"") {
		t.Errorf("the demo logs errors, or no plain lines:\n%s", g.Log)
	}
	g.Signal(syscall.SIGTERM)
	if code := g.Exit(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestCheckEightMistakes: a file with eight mistakes gives eight lines, each where the mistake is.
func TestCheckEightMistakes(t *testing.T) {
	t.Parallel()
	name := file(t, `[[listener]]
address = "127.0.0.1:18080"
idle_timeout = "75 seconds"
max_conections = 10

[pool.app]
targets = ["127.0.0.1:9000", "127.0.0.1"]
balance = "round_robbin"
max_connections = "many"

[[route]]
name = "a"
prefix = "/"
pool = "ap"

[[route]]
name = "a"
path = "/x/{id}"
pool = "app"

[[listener]]
address = "127.0.0.1:18080"
`)
	want := []string{
		`:3:16: listener[1].idle_timeout: must be a duration such as `,
		`:4:1: listener[1].max_conections: unknown key (did you mean "max_connections"?)`,
		`:7:30: pool.app.targets[2]: target "127.0.0.1" is not host:port`,
		`:8:11: pool.app.balance: no balance named "round_robbin" (did you mean "round_robin"?)`,
		`:9:19: pool.app.max_connections: must be a whole number, is the string "many"`,
		`:14:8: route[1].pool: no pool named "ap" (did you mean "app"?)`,
		`:17:1: route[2].name: "a" is the name of the route at line 12 too`,
		`:22:1: listener[2].address: "127.0.0.1:18080" is already taken by the listener at line 2`,
	}
	status, stdout, stderr := e2e.Command(t, "check", name)
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if status != 1 || stdout != "" || len(lines) != len(want) {
		t.Errorf("status %d, %d lines, want 1 and %d:\n%s%s", status, len(lines), len(want), stdout, stderr)
	}
	for i, line := range lines {
		if i < len(want) && !strings.HasPrefix(line, name+want[i]) {
			t.Errorf("line %d is\n%s\nwant\n%s", i+1, line, name+want[i])
		}
	}

	status, stdout, stderr = e2e.Command(t, "check", "--json", name)
	var mistakes []struct {
		File, Key, Message string
		Line, Col          int
	}
	if err := json.Unmarshal([]byte(stdout), &mistakes); err != nil || status != 1 || len(mistakes) != len(want) || stderr != "" {
		t.Errorf("--json: status %d, %v\n%s%s", status, err, stdout, stderr)
	}
	for i, m := range mistakes {
		if m.File != name || m.Line == 0 || m.Col == 0 || !strings.Contains(want[i], m.Key) || m.Message == "" {
			t.Errorf("--json: mistake %d is %+v", i+1, m)
		}
	}

	// The same file ends a start with the same lines, and a reload with the same answer.
	if status, _, again := e2e.Command(t, "run", "--config", name); status != 1 || again != strings.Join(lines, "\n")+"\n" {
		t.Errorf("run: status %d\n%s", status, again)
	}
}

// TestCommandsOnFiles: check, routes and explain tell what would be served, and open no port.
func TestCommandsOnFiles(t *testing.T) {
	t.Parallel()
	name := file(t, `
[[listener]]
name = "public"
address = "127.0.0.1:1"
[pool.app]
targets = ["127.0.0.1:9000"]
[[route]]
name = "item"
hosts = ["*.example.com"]
path = "/items/{id}"
rewrite = "/show/{id}"
pool = "app"
[[route]]
name = "all"
prefix = "/api/"
pool = "app"
timeout = "3s"
[[route]]
name = "ping"
path = "/ping"
methods = ["GET"]
respond = { status = 200, body = "pong\n" }
[[route]]
name = "hidden"
prefix = "/api/"
methods = ["GET"]
priority = -1
pool = "app"
`)
	f := func(status int, args []string, want ...string) {
		t.Helper()
		got, stdout, stderr := e2e.Command(t, args...)
		if got != status {
			t.Errorf("penstock %v: status %d, want %d\n%s%s", args, got, status, stdout, stderr)
		}
		at := 0
		for _, w := range want {
			i := strings.Index((stdout + stderr)[at:], w)
			if i < 0 {
				t.Errorf("penstock %v does not say %q after what comes before it:\n%s%s", args, w, stdout, stderr)
				return
			}
			at += i
		}
	}
	f(0, []string{"check", name}, "public on 127.0.0.1:1", "item", "app", "hidden never matches: all takes")
	f(0, []string{"routes", name}, "item", "*.example.com", "/items/{id}", "pool app", "ping", "all", "3s", "hidden", "shadowed by all")
	f(0, []string{"explain", name, "GET", "http://a.example.com/items/7?x=1", "-H", "X-A: b"}, "item", "id = 7", "pool app",
		"GET /show/7?x=1 HTTP/1.1", "X-A: b")
	f(0, []string{"explain", name, "GET", "http://other/api/x"}, "hidden", "comes first", "all", "timeout 3s")
	f(2, []string{"explain", name, "GET", "http://other/nowhere"}, "404 no_route")
	f(2, []string{"explain", name, "POST", "http://other/ping"}, "405 method_not_allowed", "GET")
	f(0, []string{"version"}, "penstock ", "go1.")
	f(1, []string{"check", name + ".not"}, "cannot read the configuration")
	f(1, []string{"run", "--config", name + ".not"}, "cannot read the configuration")
	f(1, []string{"bogus"}, "bogus")
	for _, command := range []string{"run", "check", "routes", "explain", "reload", "drain", "status", "keys", "completion", "version"} {
		f(0, []string{command, "--help"}, "Example", "penstock "+command)
	}
}

// TestCommandsOnGateway: reload, status and drain speak to a gateway that runs.
func TestCommandsOnGateway(t *testing.T) {
	t.Parallel()
	target := e2e.HTTPOrigin(t, e2e.PathOrigin)
	g := e2e.Start(t, e2e.Simple(target))
	f := func(status int, want string, args ...string) {
		t.Helper()
		if got, stdout, stderr := e2e.Command(t, args...); got != status || !strings.Contains(stdout+stderr, want) {
			t.Errorf("penstock %v: status %d, want %d and %q\n%s%s", args, got, status, want, stdout, stderr)
		}
	}
	f(0, `"generation": 1`, "status", "--json", "--admin", g.Admin)
	f(0, "GENERATION  STATE", "status", "--config", g.File)
	g.Write(e2e.Simple(target, "[[route]]\nname = \"more\"\npath = \"/more\"\npool = \"app\"\n"))
	f(0, "more", "reload", "--admin", g.Admin)
	f(0, `"generation": 2`, "status", "--json", "--admin", g.Admin)
	g.Write(e2e.Simple(target, "[[route]]\nname = \"more\"\npath = \"/more\"\npool = \"ap\"\n"))
	f(1, g.File+`:16:8: route[2].pool: no pool named "ap" (did you mean "app"?)`, "reload", "--config", g.File)
	f(1, "does the gateway run?", "status", "--admin", e2e.FreeAddr(t))
	f(0, "", "drain", "--admin", g.Admin)
	if code := g.Exit(); code != 0 {
		t.Errorf("exit status %d after drain", code)
	}
}

// TestAdminStaysOutside: nothing of the admin API can be reached through a data listener, and what changes
// something takes POST alone.
func TestAdminStaysOutside(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, e2e.Simple(e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "the origin") })))
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/status", "/reload", "/drain", "/debug/pprof/"} {
		for _, method := range []string{"GET", "POST"} {
			got := e2e.Raw(t, g.Addr, method+" "+path+" HTTP/1.1\r\nHost: "+g.Admin+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			if !strings.HasSuffix(got, "\r\n\r\nthe origin") {
				t.Errorf("%s %s on a data listener gives %q", method, path, got)
			}
		}
	}
	for _, path := range []string{"/reload", "/drain", "/pools/app/targets/x/drain"} {
		resp, err := http.Get("http://" + g.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d, want 405", path, resp.StatusCode)
		}
	}
	if g.Readyz() != 200 || g.Metric("penstock_generation") != 1 {
		t.Error("a GET has changed something")
	}
}
