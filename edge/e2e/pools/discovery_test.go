package pools

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/penstock-edge/penstock/bench/storm"
	"github.com/penstock-edge/penstock/edge/e2e"
)

// nameServer is a DNS server whose answer may be set, and lost.
type nameServer struct {
	addr string
	asks atomic.Int64

	mu    sync.Mutex
	rrs   []dns.RR
	fails string // how it does not answer; "": it does
}

func newNameServer(t testing.TB) *nameServer {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{addr: pc.LocalAddr().String()}
	up, done := make(chan struct{}), make(chan error, 1)
	s := &dns.Server{PacketConn: pc, Handler: n, NotifyStartedFunc: func() { close(up) }}
	go func() { done <- s.ActivateAndServe() }()
	<-up
	t.Cleanup(func() { _ = s.Shutdown(); <-done })
	return n
}

// set makes these addresses the targets of _http._tcp.app.test.
func (n *nameServer) set(t testing.TB, ttl int, addrs ...string) {
	t.Helper()
	var rrs []dns.RR
	for i, addr := range addrs {
		host, port, _ := net.SplitHostPort(addr)
		for _, text := range []string{
			fmt.Sprintf("_http._tcp.app.test. %d IN SRV 0 1 %s t%d.app.test.", ttl, port, i),
			fmt.Sprintf("t%d.app.test. %d IN A %s", i, ttl, host)} {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			rrs = append(rrs, rr)
		}
	}
	n.mu.Lock()
	n.rrs = rrs
	n.mu.Unlock()
}

func (n *nameServer) fail(how string) {
	n.mu.Lock()
	n.fails = how
	n.mu.Unlock()
}

// ServeDNS implements dns.Handler.
func (n *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	n.asks.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	reply := new(dns.Msg).SetReply(q)
	switch n.fails {
	case "silence":
		return
	case "SERVFAIL":
		reply.Rcode = dns.RcodeServerFailure
	case "NXDOMAIN":
		reply.Rcode = dns.RcodeNameError
	case "":
		for _, rr := range n.rrs {
			if h := rr.Header(); strings.EqualFold(h.Name, q.Question[0].Name) && h.Rrtype == q.Question[0].Qtype {
				reply.Answer = append(reply.Answer, rr)
			}
		}
	}
	_ = w.WriteMsg(reply) // whoever asked may be gone
}

// dnsOutage is how long the name server has no answer.
func dnsOutage(t testing.TB) time.Duration {
	t.Helper()
	seconds, err := strconv.Atoi(os.Getenv("PENSTOCK_LOAD_SECONDS"))
	if err != nil {
		seconds = 4
	}
	return time.Duration(seconds) * time.Second
}

// TestDNSOutage: while DNS has no answer, in any way, clients notice nothing, and reloads change nothing; a new
// answer is followed within its time to live.
func TestDNSOutage(t *testing.T) {
	a, b, c := e2e.NewMoody(t), e2e.NewMoody(t), e2e.NewMoody(t)
	n := newNameServer(t)
	n.set(t, 0, a.Addr, b.Addr)
	g := e2e.Start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
discover = { dns = "srv:_http._tcp.app.test", servers = ["`+n.addr+`"], min_ttl = "100ms", max_ttl = "200ms" }
health = { path = "/healthz", interval = "200ms" }
[[route]]
prefix = "/"
pool = "app"
`)
	s := e2e.Pour(t, g.Addr, 200, 100)
	long := dnsOutage(t)
	began := s.Since()
	ways := []string{"silence", "SERVFAIL", "NXDOMAIN", "empty"}
	for i, how := range ways {
		n.fail(how)
		s.Wait(began + long*time.Duration(i+1)/time.Duration(len(ways)))
		if status, text := g.Reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, text)
		}
	}
	out := storm.Between(s.Stop(), 0, time.Hour)
	t.Logf("%v without an answer of DNS: %v", long, out)
	if out.Bad > 0 || out.Statuses["200"] != out.N {
		t.Errorf("clients noticed: %v", out)
	}
	if n := g.Metric(`penstock_discovery_errors_total{pool="app"}`); n == 0 {
		t.Error("no error of the discovery is counted")
	}
	if fmt.Sprint(e2e.Dig(g.PoolStatus(), "discovery", "error")) == "" {
		t.Error("/status has no error of the discovery")
	}
	if !strings.Contains(g.Log.String(), "the last known ones stay in use") {
		t.Error("the log says nothing")
	}
	n.set(t, 0, b.Addr, c.Addr)
	n.fail("")
	e2e.Eventually(t, "the new target is asked, the old one is not", func() bool {
		before := a.Asked.Load()
		for range 10 {
			statusOf(t, g.Addr, "/x")
		}
		return c.Asked.Load() > 0 && a.Asked.Load() == before
	})
	if n := g.Metric(`penstock_pool_targets{pool="app"}`); n != 2 {
		t.Errorf("%v targets, want 2", n)
	}
}

// TestDiscoverySources: each source at work in the binary; what it says is followed without a reload.
func TestDiscoverySources(t *testing.T) {
	f := func(name string, source func(t *testing.T) (discover string, set func(addr string))) {
		t.Run(name, func(t *testing.T) {
			a, b := e2e.NewMoody(t), e2e.NewMoody(t)
			discover, set := source(t)
			set(a.Addr)
			g := e2e.Start(t, "[[listener]]\naddress = \"{{addr}}\"\n[pool.app]\ndiscover = "+discover+
				"\n[[route]]\nprefix = \"/\"\npool = \"app\"\n")
			c := e2e.DialRaw(t, g.Addr)
			if got := c.Get("/x"); got.StatusCode != 200 || got.Body != a.Addr {
				t.Fatalf("the first request: %d %q", got.StatusCode, got.Body)
			}
			set(b.Addr)
			e2e.Eventually(t, "the other target", func() bool { return c.Get("/x").Body == b.Addr })
			if err := e2e.Dig(g.PoolStatus(), "discovery", "error"); err != nil {
				t.Errorf("an error stands in /status: %v", err)
			}
		})
	}
	f("consul", consul)
	f("kubernetes", kubernetes)
	f("etcd", etcd)
}

// changing is a value that long polls wait for.
type changing struct {
	mu      sync.Mutex
	n       int // how often it was set
	value   string
	changed chan struct{}
}

func newChanging() *changing { return &changing{changed: make(chan struct{})} }

func (c *changing) set(v string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n, c.value = c.n+1, v
	close(c.changed)
	c.changed = make(chan struct{})
}

// after returns the value when it has been set more than n times.
func (c *changing) after(n int, r *http.Request) (value string, at int) {
	for {
		c.mu.Lock()
		value, at = c.value, c.n
		changed := c.changed
		c.mu.Unlock()
		if at > n {
			return value, at
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return value, at
		}
	}
}

// consul answers blocking queries.
func consul(t *testing.T) (string, func(string)) {
	v := newChanging()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/health/service/app" {
			http.NotFound(w, r)
			return
		}
		index, _ := strconv.Atoi(r.URL.Query().Get("index")) // none is 0
		addr, at := v.after(index, r)
		host, port, _ := net.SplitHostPort(addr)
		w.Header().Set("X-Consul-Index", strconv.Itoa(at))
		fmt.Fprintf(w, `[{"Node":{"Address":"10.9.9.9"},"Service":{"Address":%q,"Port":%s}}]`, host, port)
	}))
	t.Cleanup(s.Close)
	return `{ consul = { address = "` + s.Listener.Addr().String() + `", service = "app" } }`, v.set
}

// kubernetes lists and watches endpoint slices; each watch first answers that its version is gone.
func kubernetes(t *testing.T) (string, func(string)) {
	v := newChanging()
	slice := func(addr string, at int) string {
		host, port, _ := net.SplitHostPort(addr)
		return fmt.Sprintf(`{"kind":"EndpointSlice","metadata":{"name":"app-1","resourceVersion":"%d"},`+
			`"addressType":"IPv4","ports":[{"name":"http","port":%s}],"endpoints":[{"addresses":[%q]}]}`, at, port, host)
	}
	var watches atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices" {
			http.NotFound(w, r)
			return
		}
		if q.Get("watch") == "" {
			addr, at := v.after(0, r)
			fmt.Fprintf(w, `{"kind":"EndpointSliceList","metadata":{"resourceVersion":"%d"},"items":[%s]}`, at, slice(addr, at))
			return
		}
		if watches.Add(1) == 1 {
			fmt.Fprintln(w, `{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}`)
			return
		}
		w.(http.Flusher).Flush()
		from, _ := strconv.Atoi(q.Get("resourceVersion")) // none is 0
		addr, at := v.after(from, r)
		fmt.Fprintf(w, "{\"type\":\"MODIFIED\",\"object\":%s}\n", slice(addr, at))
	}))
	t.Cleanup(s.Close)
	return `{ kubernetes = { namespace = "prod", service = "app", port = "http", api = "` + s.URL + `" } }`, v.set
}

// etcd is a real one.
func etcd(t *testing.T) (string, func(string)) {
	path, err := exec.LookPath("etcd")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no etcd here: the package etcd-server has it")
	}
	client, peer := "http://"+e2e.FreeAddr(t), "http://"+e2e.FreeAddr(t)
	cmd := exec.Command(path, "--data-dir", t.TempDir(), "--name", "n", "--listen-client-urls", client,
		"--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
		"--initial-cluster", "n="+peer, "--unsafe-no-fsync")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has nothing worth keeping
		_ = cmd.Wait()
	})
	e2e.Eventually(t, "etcd", func() bool {
		resp, err := http.Get(client + "/health")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == 200
	})
	set := func(addr string) {
		t.Helper()
		b64 := base64.StdEncoding.EncodeToString
		body, _ := json.Marshal(map[string]string{"key": b64([]byte("/app/one")), "value": b64([]byte(addr))})
		resp, err := http.Post(client+"/v3/kv/put", "application/json", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("put: %d", resp.StatusCode)
		}
	}
	return `{ etcd = { endpoints = ["` + client + `"], prefix = "/app/" } }`, set
}

// TestFileDiscovery: targets come from a file that is watched.
func TestFileDiscovery(t *testing.T) {
	a, b := newTarget(t), newTarget(t)
	list := t.TempDir() + "/app.targets.toml"
	put := func(targets string) {
		t.Helper()
		if err := os.WriteFile(list+".new", []byte("targets = ["+targets+"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(list+".new", list); err != nil {
			t.Fatal(err)
		}
	}
	put(quote(a))
	g := e2e.Start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
discover = { file = "`+list+`" }
[[route]]
prefix = "/"
pool = "app"
`)
	if status := statusOf(t, g.Addr, "/x"); status != 200 {
		t.Fatalf("the first request: status %d", status)
	}
	put(quote(a, b))
	e2e.Eventually(t, "the second target is asked", func() bool {
		return statusOf(t, g.Addr, "/x") == 200 && b.tally().Requests > 0
	})
	put("")
	e2e.Eventually(t, "an empty list is an error", func() bool {
		return g.Metric(`penstock_discovery_errors_total{pool="app"}`) > 0
	})
	for range 20 {
		if status := statusOf(t, g.Addr, "/x"); status != 200 {
			t.Fatalf("status %d after the list became empty", status)
		}
	}
	put(quote(b))
	e2e.Eventually(t, "the first target is not asked any more", func() bool {
		before := a.tally().Requests
		for range 8 {
			statusOf(t, g.Addr, "/x")
		}
		return a.tally().Requests == before
	})
}
