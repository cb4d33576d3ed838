package pools

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// cold starts the gateway without waiting until it is ready.
func cold(t testing.TB, conf string, env ...string) *e2e.Gateway {
	t.Helper()
	g := &e2e.Gateway{T: t, Addr: e2e.FreeAddr(t), Admin: e2e.FreeAddr(t), Log: &e2e.LockedBuffer{}}
	g.File = filepath.Join(t.TempDir(), "penstock.toml")
	g.Write(conf)
	g.Launch(env...)
	t.Cleanup(g.Stop)
	e2e.Eventually(t, "the admin API answers", func() bool { status, _ := g.Readiness(); return status > 0 })
	return g
}

// agent is a Consul agent at a fixed address, which may be away.
type agent struct {
	t    testing.TB
	addr string
	v    *changing
	s    *httptest.Server // nil: away
}

func newConsulAgent(t testing.TB) *agent {
	a := &agent{t: t, addr: e2e.FreeAddr(t), v: newChanging()}
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
	o, a := e2e.NewMoody(t), newConsulAgent(t)
	m, env := e2e.ListenNotify(t)
	g := cold(t, foundBy(a, "[server]\nready_after = \"1h\"\n"), env)
	not := func(when string) {
		t.Helper()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				status, text := g.Readiness()
				if status != 503 || !strings.Contains(text, "pool app") || !strings.Contains(text, "cannot ask Consul") {
					t.Errorf("%s: /readyz says %d %q", when, status, text)
				}
			})
		}
		wg.Wait()
		if n, _ := m.Count("READY=1"); n > 0 {
			t.Errorf("%s: the service manager was told that the gateway is ready", when)
		}
	}
	e2e.Eventually(t, "the first question has failed", func() bool {
		_, text := g.Readiness()
		return strings.Contains(text, "cannot ask Consul")
	})
	not("at first")
	m.WaitFor(t, "EXTEND_TIMEOUT_USEC=36", 1)
	if status := statusOf(t, g.Addr, "/x"); status != 503 {
		t.Errorf("a request gets %d", status)
	}
	if status, text := g.Reload(); status != 200 {
		t.Errorf("reload: %d %s", status, text)
	}
	not("after a reload")
	if !strings.Contains(g.Log.String(), "not ready") {
		t.Error("the log says nothing")
	}
	a.back(o.Addr)
	e2e.Eventually(t, "ready", func() bool { status, _ := g.Readiness(); return status == 200 })
	if status := statusOf(t, g.Addr, "/x"); status != 200 {
		t.Errorf("a request gets %d when the gateway is ready", status)
	}
	m.WaitFor(t, "READY=1", 1)
	a.away() // what was found stays, and with it readiness
	g.Reload()
	m.WaitFor(t, "READY=1", 2) // of the reload
	if status, text := g.Readiness(); status != 200 || statusOf(t, g.Addr, "/x") != 200 {
		t.Errorf("with the agent away again /readyz says %d %s", status, text)
	}
	// A pool that a reload adds takes readiness from nobody.
	other := newConsulAgent(t)
	g.Write(foundBy(a, "[pool.other]\ndiscover = { consul = { address = \""+other.addr+"\", service = \"x\" } }\n"))
	g.Reload()
	if status, text := g.Readiness(); status != 200 {
		t.Errorf("after a reload /readyz says %d %s", status, text)
	}
	if n, _ := m.Count("READY=1"); n > 3 {
		t.Errorf("%d times READY=1", n)
	}
}

// TestReadyAfter: the gateway waits so long and no longer, and says for whom.
func TestReadyAfter(t *testing.T) {
	t.Parallel()
	m, env := e2e.ListenNotify(t)
	g := cold(t, foundBy(newConsulAgent(t), "[server]\nready_after = \"1500ms\"\n"), env)
	g.WaitReady()
	m.WaitFor(t, "READY=1", 1)
	e2e.Eventually(t, "the log tells of it", func() bool {
		return strings.Contains(g.Log.String(), "ready although") && strings.Contains(g.Log.String(), "pool app")
	})
	if status := statusOf(t, g.Addr, "/x"); status != 503 {
		t.Errorf("a request gets %d", status)
	}
	g = cold(t, foundBy(newConsulAgent(t), "[server]\nready_after = \"0s\"\n"))
	if status, text := g.Readiness(); status != 200 {
		t.Errorf("without a wait: %d %s", status, text)
	}
}

// TestNotReadySources: each source that has no answer keeps the gateway from being ready.
func TestNotReadySources(t *testing.T) {
	t.Parallel()
	o := e2e.NewMoody(t)
	_, port, _ := net.SplitHostPort(o.Addr)
	names := newNameServer(t)
	names.fail("silence")
	list := t.TempDir() + "/targets.toml"
	nobody := e2e.FreeAddr(t)
	from := map[string]string{
		"consul": `{ consul = { address = "` + nobody + `", service = "app" } }`,
		"kube":   `{ kubernetes = { service = "app", api = "http://` + nobody + `" } }`,
		"etcd":   `{ etcd = { endpoints = ["http://` + nobody + `"], prefix = "/app/" } }`,
		"dns":    `{ dns = "a:t.app.test:` + port + `", servers = ["` + names.addr + `"] }`,
		"file":   `{ file = "` + list + `" }`,
	}
	f := func(kinds ...string) *e2e.Gateway {
		t.Helper()
		g := cold(t, "[server]\nready_after = \"1h\"\n"+pooled(kinds, func(name string) string { return "discover = " + from[name] }))
		for _, kind := range kinds {
			if status, text := g.Readiness(); status != 503 || !strings.Contains(text, "pool "+kind) {
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
	e2e.Eventually(t, "DNS has answered", func() bool { _, text := g.Readiness(); return !strings.Contains(text, "pool dns") })
	if status, text := g.Readiness(); status != 503 || !strings.Contains(text, "pool file") {
		t.Errorf("/readyz says %d %q", status, text)
	}
	if err := os.WriteFile(list, []byte("targets = ["+e2e.Quoted(o.Addr)+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.WaitReady()
}

// TestLastTargets: the last good targets outlive the process where there is a state_dir, and serve as long as the
// source cannot be reached.
func TestLastTargets(t *testing.T) {
	t.Parallel()
	o, other, a := e2e.NewMoody(t), e2e.NewMoody(t), newConsulAgent(t)
	dir := filepath.Join(t.TempDir(), "state")
	conf := foundBy(a, "[server]\nready_after = \"1h\"\nstate_dir = \""+dir+"\"\n")
	a.back(o.Addr)
	g := e2e.Start(t, conf)
	file := filepath.Join(dir, "targets-app.json")
	e2e.Eventually(t, "the targets are kept", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), o.Addr)
	})
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v: want a file for the owner alone", info.Mode(), err)
	}
	g.Stop()
	a.away()
	again := func(what string) *e2e.Gateway {
		t.Helper()
		g := cold(t, conf)
		g.WaitReady()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if got := e2e.DialRaw(t, g.Addr).Get("/x"); got.StatusCode != 200 || got.Body != o.Addr {
					t.Errorf("%s: %d %s", what, got.StatusCode, got.Body)
				}
			})
		}
		wg.Wait()
		return g
	}
	g = again("with the agent away")
	if age, ok := e2e.Dig(g.PoolStatus(), "discovery", "kept_age_seconds").(float64); !ok || age < 0 || age > 600 {
		t.Errorf("/status says %v", e2e.Dig(g.PoolStatus(), "discovery"))
	}
	if log := g.Log.String(); !strings.Contains(log, "targets kept from before the start") || !strings.Contains(log, `"age"`) {
		t.Error("the log says nothing")
	}
	g.Reload()
	if status := statusOf(t, g.Addr, "/x"); status != 200 {
		t.Errorf("after a reload: %d", status)
	}
	a.back(other.Addr)
	e2e.Eventually(t, "what the agent says is followed", func() bool { return e2e.DialRaw(t, g.Addr).Get("/x").Body == other.Addr })
	if age := e2e.Dig(g.PoolStatus(), "discovery", "kept_age_seconds"); age != nil {
		t.Errorf("/status says that targets of before are used, %v old", age)
	}
	e2e.Eventually(t, "and kept", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), other.Addr) && !strings.Contains(string(b), o.Addr)
	})
	g.Stop()
	a.away()

	broken := func(what string, breaks func()) {
		t.Helper()
		breaks()
		g := cold(t, conf)
		if status, text := g.Readiness(); status != 503 {
			t.Errorf("%s: /readyz says %d %s", what, status, text)
		}
		if n := g.Metric(`penstock_state_errors_total{pool="app"}`); n == 0 {
			t.Errorf("%s is not counted", what)
		}
		if !strings.Contains(g.Log.String(), "kept targets cannot be") {
			t.Errorf("%s: the log says nothing", what)
		}
		a.back(o.Addr)
		g.WaitReady()
		if status := statusOf(t, g.Addr, "/x"); status != 200 {
			t.Errorf("%s: a request gets %d", what, status)
		}
		g.Stop()
		a.away()
	}
	broken("a file cut short", func() { e2e.Must(t, os.Truncate(file, 20)) })
	e2e.Must(t, os.RemoveAll(dir))
	e2e.Must(t, os.WriteFile(dir, nil, 0o600))
	a.back(o.Addr)
	g = e2e.Start(t, conf)
	e2e.Eventually(t, "a folder that is a file is counted", func() bool {
		return g.Metric(`penstock_state_errors_total{pool="app"}`) > 0 && strings.Contains(g.Log.String(), "kept targets cannot be")
	})
	if status := statusOf(t, g.Addr, "/x"); status != 200 {
		t.Errorf("without a folder for state: %d", status)
	}
}

// TestReadyAtOnce: what is found at the start is there before the gateway is ready.
func TestReadyAtOnce(t *testing.T) {
	t.Parallel()
	o, a := e2e.NewMoody(t), newConsulAgent(t)
	a.back(o.Addr)
	g := e2e.Start(t, foundBy(a, "[server]\nready_after = \"1h\"\n"))
	if status := statusOf(t, g.Addr, "/x"); status != 200 {
		t.Errorf("the first request gets %d", status)
	}
}
