package pools

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// watchedTarget is an origin that counts its checks and its requests apart.
type watchedTarget struct {
	addr           string
	asked, checked atomic.Int64
}

func newWatched(t testing.TB) *watchedTarget {
	t.Helper()
	o := &watchedTarget{}
	o.addr = e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			o.checked.Add(1)
			return
		}
		o.asked.Add(1)
		fmt.Fprint(w, o.addr)
	})
	return o
}

// crowdOf has several clients make some requests each for path, and returns how often each body came. A client
// does not stay with a target: it sends back no cookie.
func crowdOf(t testing.TB, addr, path string) map[string]int {
	t.Helper()
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for range 6 {
		c := e2e.DialRaw(t, addr)
		wg.Go(func() {
			for i := range 20 {
				c.Send(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: a\r\nX-Key: %d\r\n\r\n", path, i))
				a := c.Answer("GET")
				from := a.Body
				if a.StatusCode != 200 {
					from = a.Code()
				}
				mu.Lock()
				got[fmt.Sprintf("%d %s", a.StatusCode, from)]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return got
}

// only fails the test unless all that the crowd got came from these addresses.
func only(t testing.TB, what string, got map[string]int, addrs ...string) {
	t.Helper()
	for answer := range got {
		if _, addr, _ := strings.Cut(answer, " "); !strings.HasPrefix(answer, "200 ") || !contains(addrs, addr) {
			t.Errorf("%s: %v, want answers of %v alone", what, got, addrs)
			return
		}
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// balances are all ways to choose a target.
var balances = []string{"round_robin", "least_connections", "consistent_hash", "ewma", "random"}

// pooled is a configuration with one pool for each of names, at the path of its name.
func pooled(names []string, keys func(name string) string) string {
	var b strings.Builder
	b.WriteString("[[listener]]\naddress = \"{{addr}}\"\n")
	for _, name := range names {
		fmt.Fprintf(&b, "[pool.%s]\nhealth = { path = \"/healthz\", interval = \"50ms\" }\n%s\n", name, keys(name))
		fmt.Fprintf(&b, "[[route]]\npath = \"/%s\"\npool = %q\n", name, name)
	}
	return b.String()
}

// TestWeightZero: a target of weight 0 is known and checked, and gets no new clients, whatever the balance; so is
// one with drain, and one that is disabled is not there.
func TestWeightZero(t *testing.T) {
	t.Parallel()
	zero, drained, disabled, on := newWatched(t), newWatched(t), newWatched(t), newWatched(t)
	g := e2e.Start(t, pooled(balances, func(name string) string {
		return fmt.Sprintf(`balance = %q
hash_key = "header:X-Key"
targets = [{ address = %q, weight = 0 }, { address = %q, drain = true }, { address = %q, disabled = true }, %q]`,
			name, zero.addr, drained.addr, disabled.addr, on.addr)
	}))
	for _, name := range balances {
		only(t, name, crowdOf(t, g.Addr, "/"+name), on.addr)
		ts := g.TargetsOf(name)
		if len(ts) != 3 || ts[disabled.addr] != nil {
			t.Errorf("%s: targets are %v", name, ts)
		}
		for _, o := range []*watchedTarget{zero, drained} {
			if s := ts[o.addr]; s["state"] != "drained" || s["usable"] != false {
				t.Errorf("%s: /status says %v", name, s)
			}
		}
		if w := ts[zero.addr]["weight"]; w != 0.0 {
			t.Errorf("%s: weight 0 is shown as %v", name, w)
		}
	}
	for _, o := range []*watchedTarget{zero, drained} {
		e2e.Eventually(t, "it is checked all the same", func() bool { return o.checked.Load() > 1 })
	}
	if n := disabled.checked.Load() + disabled.asked.Load(); n > 0 {
		t.Errorf("a disabled target was asked %d times", n)
	}
}

// TestWeightZeroEverywhere: when nobody takes new clients there is nobody to ask, and a reload brings them back.
func TestWeightZeroEverywhere(t *testing.T) {
	t.Parallel()
	a, b := newWatched(t), newWatched(t)
	conf := func(weight int) string {
		return pooled(balances, func(name string) string {
			return fmt.Sprintf("balance = %q\ntargets = [{ address = %q, weight = %d }, { address = %q, weight = %d, backup = true }]",
				name, a.addr, weight, b.addr, weight)
		})
	}
	g := e2e.Start(t, conf(0))
	for _, name := range balances {
		c := e2e.DialRaw(t, g.Addr)
		if got := c.Get("/" + name); got.StatusCode != 503 || got.Code() != "no_upstream" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.Body)
		}
	}
	g.Write(conf(3))
	g.Reload()
	for _, name := range balances {
		only(t, name, crowdOf(t, g.Addr, "/"+name), a.addr)
	}
	g.Write(conf(0))
	g.Reload()
	for _, name := range balances {
		if got := crowdOf(t, g.Addr, "/"+name); got["503 no_upstream"] != 120 || a.asked.Load() != int64(120*len(balances)) {
			t.Errorf("%s: %v, %d requests reached the target", name, got, a.asked.Load())
		}
	}
}

// TestWeightZeroFound: what a source finds with weight 0 gets no new clients.
func TestWeightZeroFound(t *testing.T) {
	t.Parallel()
	zero, on := newWatched(t), newWatched(t)
	host, zeroPort, _ := net.SplitHostPort(zero.addr)
	_, onPort, _ := net.SplitHostPort(on.addr)
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("index") != "" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("X-Consul-Index", "1")
		service := `{"Service":{"Address":%q,"Port":%s,"Weights":{"Passing":%d,"Warning":0}},"Checks":[{"Status":%q}]}`
		passing, warning := 0, "passing"
		if strings.HasSuffix(r.URL.Path, "/warns") {
			passing, warning = 5, "warning"
		}
		fmt.Fprintf(w, "["+service+","+service+"]", host, zeroPort, passing, warning, host, onPort, 1, "passing")
	}))
	t.Cleanup(agent.Close) // after the gateway, whose queries it holds back
	names := newNameServer(t)
	srv := func(zeroWeight, onWeight int) {
		var rrs []dns.RR
		for _, text := range []string{
			fmt.Sprintf("_http._tcp.app.test. 0 IN SRV 0 %d %s t.app.test.", zeroWeight, zeroPort),
			fmt.Sprintf("_http._tcp.app.test. 0 IN SRV 0 %d %s t.app.test.", onWeight, onPort),
			"t.app.test. 0 IN A " + host} {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			rrs = append(rrs, rr)
		}
		names.mu.Lock()
		names.rrs = rrs
		names.mu.Unlock()
	}
	srv(0, 7)
	list := t.TempDir() + "/targets.toml"
	text := fmt.Sprintf("targets = [{ address = %q, weight = 0 }, { address = \"127.0.0.1:1\", disabled = true }, %q]\n", zero.addr, on.addr)
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	from := map[string]string{
		"consul":  fmt.Sprintf(`{ consul = { address = %q, service = "app" } }`, agent.Listener.Addr()),
		"warning": fmt.Sprintf(`{ consul = { address = %q, service = "warns", passing_only = false } }`, agent.Listener.Addr()),
		"dns":     fmt.Sprintf(`{ dns = "srv:_http._tcp.app.test", servers = [%q], min_ttl = "100ms" }`, names.addr),
		"file":    fmt.Sprintf(`{ file = %q }`, list),
	}
	kinds := []string{"consul", "warning", "dns", "file"}
	if _, err := exec.LookPath("etcd"); err == nil {
		discover, set := etcd(t)
		value, _ := json.Marshal(map[string]any{"address": zero.addr, "weight": 0})
		set(on.addr)
		discover = strings.Replace(discover, "/app/", "/app", 1)
		put(t, strings.Split(discover, `"`)[1], "/app2", string(value))
		from["etcd"], kinds = discover, append(kinds, "etcd")
	}
	g := e2e.Start(t, pooled(kinds, func(name string) string { return "discover = " + from[name] }))
	for _, kind := range kinds {
		only(t, kind, crowdOf(t, g.Addr, "/"+kind), on.addr)
		if s := g.TargetsOf(kind)[zero.addr]; s["state"] != "drained" || s["weight"] != 0.0 {
			t.Errorf("%s: /status says %v", kind, s)
		}
	}
	// RFC 2782: weight 0 is also what administrators write where there is nothing to choose.
	srv(0, 0)
	e2e.Eventually(t, "records without any weight are asked alike", func() bool {
		got := crowdOf(t, g.Addr, "/dns")
		return got["200 "+zero.addr] > 0 && got["200 "+on.addr] > 0
	})
}

// put sets a key of etcd.
func put(t testing.TB, client, key, value string) {
	t.Helper()
	body, _ := json.Marshal(map[string][]byte{"key": []byte(key), "value": []byte(value)})
	resp, err := http.Post(client+"/v3/kv/put", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("put: %d", resp.StatusCode)
	}
}

// TestAdminOrders: what the admin API sets for a target holds at once, over reloads that do not change the target,
// and shows in /status; a change of the target in the file ends it.
func TestAdminOrders(t *testing.T) {
	t.Parallel()
	a, b := newWatched(t), newWatched(t)
	conf := func(ofA, more string) string {
		return e2e.PoolOf(fmt.Sprintf("{ address = %q%s }, %q", a.addr, ofA, b.addr), "slow_start = \"0s\"\n"+more)
	}
	g := e2e.Start(t, conf("", ""))
	must := func(what string) {
		t.Helper()
		if status, text := g.Order("app", a.addr, what); status != 204 {
			t.Fatalf("%s: %d %s", what, status, text)
		}
	}
	reload := func(text string) {
		t.Helper()
		g.Write(text)
		if status, text := g.Reload(); status != 200 {
			t.Fatal(text)
		}
	}
	share := func() int { return crowdOf(t, g.Addr, "/x")["200 "+a.addr] }
	want := func(when string, n int) {
		t.Helper()
		if got := share(); got < n-5 || got > n+5 || n == 0 && got > 0 { // several clients: the order slips a little
			t.Errorf("%s: %d of 120 requests, want %d", when, got, n)
		}
	}
	set := func() any { return e2e.Dig(g.TargetsOf("app")[a.addr], "set") }
	want("at first", 60)
	if set() != nil {
		t.Errorf("nothing was set, /status says %v", set())
	}
	must("weight?value=3")
	want("weight 3", 90)
	reload(conf("", "max_connections = 100\n"))
	want("weight 3 after a reload", 90)
	if w, c := e2e.Dig(set(), "weight"), e2e.Dig(g.TargetsOf("app")[a.addr], "weight"); w != 3.0 || c != 3.0 {
		t.Errorf("/status says %v and %v", w, c)
	}
	must("drain")
	want("drained", 0)
	reload(conf("", ""))
	want("drained, after a reload", 0)
	if d := e2e.Dig(set(), "drain"); d != true {
		t.Errorf("/status says %v", set())
	}
	must("undrain")
	want("undrained, weight 3 still", 90)
	must("weight?value=0")
	want("weight 0", 0)
	reload(conf(", weight = 2", "")) // the file has changed it
	want("weight 2 of the file", 80)
	if set() != nil {
		t.Errorf("/status says %v after a change of the file", set())
	}
	reload(conf(", drain = true", ""))
	want("drained by the file", 0)
	must("undrain")
	want("undrained against the file", 60)
	reload(conf(", drain = true, zone = \"z\"", ""))
	want("the file says the same", 60)
	reload(e2e.PoolOf(fmt.Sprintf("%q", b.addr), ""))
	reload(conf(", drain = true", ""))
	want("it was away", 0)
	must("undrain")
	must("drain")
	if set() != nil {
		t.Errorf("what the file says is no order: %v", set())
	}
	for what, status := range map[string]int{"weight": 400, "weight?value=": 400, "weight?value=-1": 400, "weight?value=65536": 400,
		"weight?value=x": 400, "weight?value=65535": 204, "wait": 404, "weight?value=%2B5": 400, "weight?value=%zz": 400,
		"weight?value=5&value=6": 400, "weight?value=5&valeu=6": 400, "drain?value=1": 400, "undrain?soft": 400} {
		if got, text := g.Order("app", a.addr, what); got != status {
			t.Errorf("%s: %d %s, want %d", what, got, text, status)
		}
	}
	if got, text := g.Order("app", strings.Replace(a.addr, ":", "%3A", 1), "weight?value=7"); got != 204 {
		t.Errorf("an address that is escaped: %d %s", got, text)
	}
	if got, _ := g.Order("app", "10.9.9.9:1", "weight?value=1"); got != 404 {
		t.Errorf("weight of an unknown target: %d", got)
	}
}

// TestAdminOrdersUnderReloads: orders and reloads at the same time lose no order.
func TestAdminOrdersUnderReloads(t *testing.T) {
	t.Parallel()
	a, b := newWatched(t), newWatched(t)
	conf := e2e.PoolOf(e2e.Quoted(a.addr, b.addr), "slow_start = \"0s\"\n")
	g := e2e.Start(t, conf)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				g.Reload()
			}
		}
	})
	for i := range 30 {
		if status, text := g.Order("app", a.addr, fmt.Sprintf("weight?value=%d", i%3*5)); status != 204 {
			t.Fatalf("%d %s", status, text)
		}
		n := crowdOf(t, g.Addr, "/x")["200 "+a.addr]
		if i%3 == 0 && n != 0 || i%3 == 2 && n < 100 {
			t.Errorf("with weight %d it got %d of 120", i%3*5, n)
		}
	}
	close(stop)
	wg.Wait()
}

// stuck makes clients with cookies of their own, and returns them with the target of each.
type stuck struct{ cookie, seat string }

func newStuck(t testing.TB, addr string) stuck {
	t.Helper()
	a := e2e.DialRaw(t, addr).Get("/x")
	for _, c := range a.Cookies() {
		if c.Name == "seat" {
			return stuck{c.Value, a.Body}
		}
	}
	t.Fatalf("no cookie: %d %v", a.StatusCode, a.Header)
	return stuck{}
}

// ask returns who answers the client, and whether it got another cookie.
func (s stuck) ask(t testing.TB, addr string) (seat string, moved bool) {
	t.Helper()
	c := e2e.DialRaw(t, addr)
	c.Send("GET /x HTTP/1.1\r\nHost: a\r\nCookie: seat=" + s.cookie + "\r\n\r\n")
	a := c.Answer("GET")
	return a.Body, len(a.Cookies()) > 0
}

// TestDrainTimeout: while a target drains it serves the clients that stick to it and no others; when drain_timeout
// has passed, it serves nobody, and they stick to another one.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	a, b := newWatched(t), newWatched(t)
	conf := func(timeout string) string {
		return e2e.PoolOf(e2e.Quoted(a.addr, b.addr), "slow_start = \"0s\"\ndrain_timeout = \""+timeout+"\"\nsticky = { cookie = \"seat\" }\n")
	}
	g := e2e.Start(t, conf("1h"))
	var clients []stuck
	for range 8 {
		clients = append(clients, newStuck(t, g.Addr))
	}
	on := func() (n int) {
		for _, c := range clients {
			if c.seat == a.addr {
				n++
			}
		}
		return n
	}()
	if on == 0 || on == len(clients) {
		t.Fatalf("%d of %d clients are on one target", on, len(clients))
	}
	stay := func(when string) {
		t.Helper()
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() {
				for range 5 {
					if seat, moved := c.ask(t, g.Addr); seat != c.seat || moved {
						t.Errorf("%s: a client of %s was answered by %s, another cookie %v", when, c.seat, seat, moved)
					}
				}
			})
		}
		wg.Wait()
	}
	stay("at first")
	g.DrainTarget("drain", a.addr)
	stay("while it drains")
	only(t, "new clients", crowdOf(t, g.Addr, "/x"), b.addr)
	if s := g.TargetsOf("app")[a.addr]; s["state"] != "drained" || s["drains_until"] == nil {
		t.Errorf("/status says %v", s)
	}
	g.Reload()
	stay("after a reload")
	g.Write(conf("200ms"))
	g.Reload()
	for _, c := range clients {
		if c.seat != a.addr {
			continue
		}
		e2e.Eventually(t, "the client has moved", func() bool {
			seat, moved := c.ask(t, g.Addr)
			return seat == b.addr && moved
		})
	}
	only(t, "when it has passed", crowdOf(t, g.Addr, "/x"), b.addr)
	if s := g.TargetsOf("app")[a.addr]; s["drains_until"] != nil {
		t.Errorf("/status says %v", s)
	}
	g.DrainTarget("undrain", a.addr)
	stay("after its return")
}
