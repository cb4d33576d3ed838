package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// cold starts the gateway without waiting until it is ready.
func cold(t testing.TB, conf string, env ...string) *gateway {
	t.Helper()
	g := &gateway{t: t, addr: freeAddr(t), admin: freeAddr(t), log: &lockedBuffer{}}
	g.file = filepath.Join(t.TempDir(), "penstock.toml")
	g.write(conf)
	g.launch(env...)
	t.Cleanup(g.stop)
	eventually(t, "the admin API answers", func() bool { status, _ := g.readiness(); return status > 0 })
	return g
}

// readiness returns what /readyz says; 0: nothing.
func (g *gateway) readiness() (int, string) {
	resp, err := http.Get("http://" + g.admin + "/readyz")
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // a cut answer shows in the comparison
	return resp.StatusCode, string(b)
}

// agent is a Consul agent at a fixed address, which may be away.
type agent struct {
	t    testing.TB
	addr string
	v    *changing
	s    *httptest.Server // nil: away
}

func newConsulAgent(t testing.TB) *agent {
	a := &agent{t: t, addr: freeAddr(t), v: newChanging()}
	t.Cleanup(a.away)
	return a
}

// back makes it answer that target is the only one.
func (a *agent) back(target string) {
	a.t.Helper()
	a.v.set(target)
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		a.t.Fatal(err)
	}
	a.s = &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(a.answer)}}
	a.s.Start()
}

func (a *agent) answer(w http.ResponseWriter, r *http.Request) {
	index := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("index"), &index) // none is 0
	addr, at := a.v.after(index, r)
	host, port, _ := net.SplitHostPort(addr)
	w.Header().Set("X-Consul-Index", fmt.Sprint(at))
	fmt.Fprintf(w, `[{"Node":{"Address":"10.9.9.9"},"Service":{"Address":%q,"Port":%s}}]`, host, port)
}

func (a *agent) away() {
	if a.s != nil {
		a.s.CloseClientConnections()
		a.s.Close()
		a.s = nil
	}
}

// foundBy is a configuration with one pool that Consul fills.
func foundBy(a *agent, more string) string {
	return `
[[listener]]
address = "{{addr}}"
[pool.app]
discover = { consul = { address = "` + a.addr + `", service = "app" } }
[[route]]
prefix = "/"
pool = "app"
` + more
}

// TestNotReadyUntilFound: a gateway whose pool has never had targets is not ready, says why, to the service manager
// too, and a reload changes nothing of that; the first answer makes it ready.
func TestNotReadyUntilFound(t *testing.T) {
	t.Parallel()
	o, a := newMoody(t), newConsulAgent(t)
	m, env := listenNotify(t)
	g := cold(t, foundBy(a, "[server]\nready_after = \"1h\"\n"), env)
	not := func(when string) {
		t.Helper()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				status, text := g.readiness()
				if status != 503 || !strings.Contains(text, "pool app") || !strings.Contains(text, "cannot ask Consul") {
					t.Errorf("%s: /readyz says %d %q", when, status, text)
				}
			})
		}
		wg.Wait()
		if n, _ := m.count("READY=1"); n > 0 {
			t.Errorf("%s: the service manager was told that the gateway is ready", when)
		}
	}
	eventually(t, "the first question has failed", func() bool {
		_, text := g.readiness()
		return strings.Contains(text, "cannot ask Consul")
	})
	not("at first")
	m.waitFor(t, "EXTEND_TIMEOUT_USEC=36", 1)
	if status := statusOf(t, g.addr, "/x"); status != 503 {
		t.Errorf("a request gets %d", status)
	}
	if status, text := g.reload(); status != 200 {
		t.Errorf("reload: %d %s", status, text)
	}
	not("after a reload")
	if !strings.Contains(g.log.String(), "not ready") {
		t.Error("the log says nothing")
	}
	a.back(o.addr)
	eventually(t, "ready", func() bool { status, _ := g.readiness(); return status == 200 })
	if status := statusOf(t, g.addr, "/x"); status != 200 {
		t.Errorf("a request gets %d when the gateway is ready", status)
	}
	m.waitFor(t, "READY=1", 1)
	a.away() // what was found stays, and with it readiness
	g.reload()
	m.waitFor(t, "READY=1", 2) // of the reload
	if status, text := g.readiness(); status != 200 || statusOf(t, g.addr, "/x") != 200 {
		t.Errorf("with the agent away again /readyz says %d %s", status, text)
	}
	// A pool that a reload adds takes readiness from nobody.
	other := newConsulAgent(t)
	g.write(foundBy(a, "[pool.other]\ndiscover = { consul = { address = \""+other.addr+"\", service = \"x\" } }\n"))
	g.reload()
	if status, text := g.readiness(); status != 200 {
		t.Errorf("after a reload /readyz says %d %s", status, text)
	}
	if n, _ := m.count("READY=1"); n > 3 {
		t.Errorf("%d times READY=1", n)
	}
}

// TestReadyAfter: the gateway waits so long and no longer, and says for whom.
func TestReadyAfter(t *testing.T) {
	t.Parallel()
	m, env := listenNotify(t)
	g := cold(t, foundBy(newConsulAgent(t), "[server]\nready_after = \"1500ms\"\n"), env)
	g.waitReady()
	m.waitFor(t, "READY=1", 1)
	eventually(t, "the log tells of it", func() bool {
		return strings.Contains(g.log.String(), "ready although") && strings.Contains(g.log.String(), "pool app")
	})
	if status := statusOf(t, g.addr, "/x"); status != 503 {
		t.Errorf("a request gets %d", status)
	}
	g = cold(t, foundBy(newConsulAgent(t), "[server]\nready_after = \"0s\"\n"))
	if status, text := g.readiness(); status != 200 {
		t.Errorf("without a wait: %d %s", status, text)
	}
}

// TestNotReadySources: each source that has no answer keeps the gateway from being ready.
func TestNotReadySources(t *testing.T) {
	t.Parallel()
	o := newMoody(t)
	_, port, _ := net.SplitHostPort(o.addr)
	names := newNameServer(t)
	names.fail("silence")
	list := t.TempDir() + "/targets.toml"
	nobody := freeAddr(t)
	from := map[string]string{
		"consul": `{ consul = { address = "` + nobody + `", service = "app" } }`,
		"kube":   `{ kubernetes = { service = "app", api = "http://` + nobody + `" } }`,
		"etcd":   `{ etcd = { endpoints = ["http://` + nobody + `"], prefix = "/app/" } }`,
		"dns":    `{ dns = "a:t.app.test:` + port + `", servers = ["` + names.addr + `"] }`,
		"file":   `{ file = "` + list + `" }`,
	}
	f := func(kinds ...string) *gateway {
		t.Helper()
		g := cold(t, "[server]\nready_after = \"1h\"\n"+pooled(kinds, func(name string) string { return "discover = " + from[name] }))
		for _, kind := range kinds {
			if status, text := g.readiness(); status != 503 || !strings.Contains(text, "pool "+kind) {
				t.Errorf("/readyz says %d %q, want that it waits for %s", status, text, kind)
			}
		}
		return g
	}
	f("consul", "kube", "etcd")
	g := f("dns", "file")
	names.mu.Lock()
	rr, err := dns.NewRR("t.app.test. 1 IN A 127.0.0.1")
	names.rrs, names.fails = []dns.RR{rr}, ""
	names.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "DNS has answered", func() bool { _, text := g.readiness(); return !strings.Contains(text, "pool dns") })
	if status, text := g.readiness(); status != 503 || !strings.Contains(text, "pool file") {
		t.Errorf("/readyz says %d %q", status, text)
	}
	if err := os.WriteFile(list, []byte("targets = ["+quoted(o.addr)+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.waitReady()
}

// TestLastTargets: the last good targets outlive the process where there is a state_dir, and serve as long as the
// source cannot be reached.
func TestLastTargets(t *testing.T) {
	t.Parallel()
	o, other, a := newMoody(t), newMoody(t), newConsulAgent(t)
	dir := filepath.Join(t.TempDir(), "state")
	conf := foundBy(a, "[server]\nready_after = \"1h\"\nstate_dir = \""+dir+"\"\n")
	a.back(o.addr)
	g := start(t, conf)
	file := filepath.Join(dir, "targets-app.json")
	eventually(t, "the targets are kept", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), o.addr)
	})
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v: want a file for the owner alone", info.Mode(), err)
	}
	g.stop()
	a.away()
	again := func(what string) *gateway {
		t.Helper()
		g := cold(t, conf)
		g.waitReady()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if got := dialRaw(t, g.addr).get("/x"); got.StatusCode != 200 || got.body != o.addr {
					t.Errorf("%s: %d %s", what, got.StatusCode, got.body)
				}
			})
		}
		wg.Wait()
		return g
	}
	g = again("with the agent away")
	if age, ok := dig(g.poolStatus(), "discovery", "kept_age_seconds").(float64); !ok || age < 0 || age > 600 {
		t.Errorf("/status says %v", dig(g.poolStatus(), "discovery"))
	}
	if log := g.log.String(); !strings.Contains(log, "targets kept from before the start") || !strings.Contains(log, `"age"`) {
		t.Error("the log says nothing")
	}
	g.reload()
	if status := statusOf(t, g.addr, "/x"); status != 200 {
		t.Errorf("after a reload: %d", status)
	}
	a.back(other.addr)
	eventually(t, "what the agent says is followed", func() bool { return dialRaw(t, g.addr).get("/x").body == other.addr })
	if age := dig(g.poolStatus(), "discovery", "kept_age_seconds"); age != nil {
		t.Errorf("/status says that targets of before are used, %v old", age)
	}
	eventually(t, "and kept", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), other.addr) && !strings.Contains(string(b), o.addr)
	})
	g.stop()
	a.away()

	broken := func(what string, breaks func()) {
		t.Helper()
		breaks()
		g := cold(t, conf)
		if status, text := g.readiness(); status != 503 {
			t.Errorf("%s: /readyz says %d %s", what, status, text)
		}
		if n := g.metric(`penstock_state_errors_total{pool="app"}`); n == 0 {
			t.Errorf("%s is not counted", what)
		}
		if !strings.Contains(g.log.String(), "kept targets cannot be") {
			t.Errorf("%s: the log says nothing", what)
		}
		a.back(o.addr)
		g.waitReady()
		if status := statusOf(t, g.addr, "/x"); status != 200 {
			t.Errorf("%s: a request gets %d", what, status)
		}
		g.stop()
		a.away()
	}
	broken("a file cut short", func() { must(t, os.Truncate(file, 20)) })
	must(t, os.RemoveAll(dir))
	must(t, os.WriteFile(dir, nil, 0o600))
	a.back(o.addr)
	g = start(t, conf)
	eventually(t, "a folder that is a file is counted", func() bool {
		return g.metric(`penstock_state_errors_total{pool="app"}`) > 0 && strings.Contains(g.log.String(), "kept targets cannot be")
	})
	if status := statusOf(t, g.addr, "/x"); status != 200 {
		t.Errorf("without a folder for state: %d", status)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestReadyAtOnce: what is found at the start is there before the gateway is ready.
func TestReadyAtOnce(t *testing.T) {
	t.Parallel()
	o, a := newMoody(t), newConsulAgent(t)
	a.back(o.addr)
	g := start(t, foundBy(a, "[server]\nready_after = \"1h\"\n"))
	if status := statusOf(t, g.addr, "/x"); status != 200 {
		t.Errorf("the first request gets %d", status)
	}
}
