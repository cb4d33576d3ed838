package pools

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/bench/storm"
	"github.com/penstock-edge/penstock/edge/e2e"
)

// robust is a pool with everything on that keeps clients from noticing a broken target.
const robust = `
[[listener]]
address = "{{addr}}"

[pool.app]
balance = "ewma"
targets = [%s]
connect_timeout = "250ms"
slow_start = "2s"
  [pool.app.health]
  path = "/healthz"
  interval = "1s"
  unhealthy_interval = "250ms"
  timeout = "300ms"
  [pool.app.outlier]
  interval = "500ms"
  error_percent = 20
  latency_factor = 5
  [pool.app.breaker]
  error_percent = 50
  open_for = "1s"
  recovery = "1s"
  [pool.app.retry]
  attempts = 3
  on = ["connect", "reset", "timeout", "500-504"]
  per_try_timeout = "300ms"
  backoff = "5ms"
  [pool.app.hedge]
  after = "p95"
  [pool.app.concurrency]
  adaptive = true
  limit = 200
  min = 50

[[route]]
prefix = "/"
pool = "app"
`

// quote lists targets for a configuration.
func quote(origins ...*target) string {
	var list []string
	for _, o := range origins {
		list = append(list, `"`+o.addr+`"`)
	}
	return strings.Join(list, ", ")
}

// patient is robust with time for targets that share their processors with everybody else: in ordinary runs what
// is broken must show, and nothing else.
var patient = strings.NewReplacer(`connect_timeout = "250ms"`, `connect_timeout = "2s"`,
	`timeout = "300ms"`, `timeout = "2s"`).Replace(robust)

// slowMS is how long a slow target takes: longer than an attempt may.
func slowMS(t *testing.T) int64 {
	if _, long := e2e.Soak(t, 0); long {
		return 502
	}
	return 2502
}

// survives pours requests on a gateway with four targets, breaks the second one, reloads all the while, and looks
// at what the clients notice.
func survives(t *testing.T, origins []*target, breaks func()) {
	t.Helper()
	if _, long := e2e.Soak(t, 0); long {
		survivesMeasured(t, origins, breaks)
		return
	}
	g := e2e.Start(t, fmt.Sprintf(patient, quote(origins...)))
	s := e2e.Pour(t, g.Addr, 100, 100)
	e2e.Eventually(t, "all targets are used", func() bool {
		for _, target := range g.TargetsOf("app") {
			if target["ewma_seconds"] == 0.0 {
				return false
			}
		}
		return true
	})
	broken := s.Since()
	breaks()
	reloads := 0
	e2e.Eventually(t, "the broken one is out or avoided, under 30 reloads", func() bool {
		if status, text := g.Reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, text)
		}
		reloads++
		return reloads >= 30 && outOrAvoided(g.TargetsOf("app"), origins[1].addr)
	})
	status, samples := g.Status(), s.Stop()
	if during := storm.Between(samples, broken, time.Hour); during.Bad > max(3, during.N/100) { // a slow machine makes few
		t.Errorf("clients saw errors: %v\n%v", during, status)
	}
}

// outOrAvoided reports whether a target is out, or counts as far slower than another one: hedges spare clients
// most of the time-outs that would put it out.
func outOrAvoided(targets map[string]map[string]any, addr string) bool {
	if targets[addr]["state"] != "healthy" {
		return true
	}
	took := targets[addr]["ewma_seconds"].(float64)
	for _, other := range targets {
		if took > max(0.2, 10*other["ewma_seconds"].(float64)) {
			return true
		}
	}
	return false
}

// survivesMeasured is survives with figures, at a rate and with times that want the machine for themselves.
func survivesMeasured(t *testing.T, origins []*target, breaks func()) {
	t.Helper()
	g := e2e.Start(t, fmt.Sprintf(robust, quote(origins...)))
	s := e2e.Pour(t, g.Addr, 2000, 400)
	s.Wait(3 * time.Second)
	broken := s.Since()
	breaks()
	reloads := 0
	for ; s.Since() < broken+8*time.Second; reloads++ {
		if status, text := g.Reload(); status != 200 {
			t.Fatalf("reload: %d %s", status, text)
		}
		s.Wait(s.Since() + 75*time.Millisecond)
	}
	ended := s.Since()
	status := g.Status()
	samples := s.Stop()
	before := storm.Between(samples, time.Second, broken)
	during := storm.Between(samples, broken, ended)
	after := storm.Between(samples, broken+3*time.Second, ended)
	t.Logf("before:       %v", before)
	t.Logf("while broken: %v", during)
	t.Logf("3 s later:    %v; %d reloads", after, reloads)
	broke := e2e.Dig(status, "pools", 0, "targets", 1)
	t.Logf("the broken one is %v: %v", e2e.Dig(broke, "state"), e2e.Dig(broke, "why"))
	if during.Bad*1000 > during.N {
		t.Errorf("clients saw %d errors in %d requests, want 0.1 %% at most\n%v", during.Bad, during.N, status)
	}
	if after.P99 > before.P99+150*time.Millisecond {
		t.Errorf("p99 is %v three seconds after the fault, and was %v\n%v", after.P99, before.P99, status)
	}
	if reloads < 30 {
		t.Errorf("only %d reloads", reloads)
	}
}

// fourTargets starts four that take 2 ms.
func fourTargets(t *testing.T) []*target {
	t.Helper()
	var origins []*target
	for range 4 {
		o := newTarget(t)
		o.behave(storm.Behaviour{DelayMS: 2})
		origins = append(origins, o)
	}
	return origins
}

// TestOneOfFourBreaks breaks one of four targets in each of the ways that count.
func TestOneOfFourBreaks(t *testing.T) {
	f := func(name string, breaks func(o *target)) {
		t.Run(name, func(t *testing.T) {
			origins := fourTargets(t)
			survives(t, origins, func() { breaks(origins[1]) })
		})
	}
	f("killed", func(o *target) { o.kill() })
	f("stopped", func(o *target) { o.signal(syscall.SIGSTOP) })
	f("slow", func(o *target) { o.behave(storm.Behaviour{DelayMS: slowMS(t)}) })
	f("half errors", func(o *target) { o.behave(storm.Behaviour{DelayMS: 2, FailPart: 0.5}) })
}

// TestOneOfFourIsCutOff is the same with the network of one target: it swallows all packets, or is slow, loses the
// answers, and resets connections.
func TestOneOfFourIsCutOff(t *testing.T) {
	t.Run("black hole", func(t *testing.T) {
		origins := fourTargets(t)
		far, swallow := farTarget(t)
		origins[1] = far
		survives(t, origins, swallow)
	})
	api := toxiproxy(t)
	f := func(name, toxics string) {
		t.Run(name, func(t *testing.T) {
			origins := fourTargets(t)
			line := e2e.FreeAddr(t)
			toxic(t, api, "POST", "/proxies", fmt.Sprintf(`{"name":%q,"listen":%q,"upstream":%q,"enabled":true}`,
				name, line, origins[1].addr))
			origins[1] = &target{addr: line}
			survives(t, origins, func() { toxic(t, api, "POST", "/proxies/"+name+"/toxics", toxics) })
		})
	}
	f("latency", fmt.Sprintf(`{"type":"latency","stream":"downstream","toxicity":1,"attributes":{"latency":%d,"jitter":50}}`,
		slowMS(t)))
	f("silence", `{"type":"timeout","stream":"downstream","toxicity":1,"attributes":{"timeout":0}}`)
	f("resets", `{"type":"reset_peer","stream":"upstream","toxicity":0.5,"attributes":{"timeout":5}}`)
}

// farTarget is a target in a network namespace of its own; swallow lets all packets that it sends vanish.
func farTarget(t *testing.T) (o *target, swallow func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	run := func(args ...string) error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	id := os.Getpid() % 10_000
	ns, here, there := fmt.Sprintf("penstock%d", id), fmt.Sprintf("psa%d", id), fmt.Sprintf("psb%d", id)
	if err := run("netns", "add", ns); err != nil && os.Getenv("CI") == "" {
		t.Skipf("no network namespaces here: %v", err)
	}
	t.Cleanup(func() {
		_ = run("link", "del", here) // the namespace takes its time to let go of the other end
		_ = run("netns", "del", ns)  // what is left is visible in ip netns
	})
	subnet := fmt.Sprintf("10.%d.%d.", 64+id/200, id%200)
	for _, args := range [][]string{
		{"link", "add", here, "type", "veth", "peer", "name", there, "netns", ns},
		{"addr", "add", subnet + "1/24", "dev", here},
		{"link", "set", here, "up"},
		{"-n", ns, "addr", "add", subnet + "2/24", "dev", there},
		{"-n", ns, "link", "set", there, "up"},
		{"-n", ns, "link", "set", "lo", "up"},
	} {
		if err := run(args...); err != nil {
			t.Fatal(err)
		}
	}
	o = &target{t: t, addr: subnet + "2:8080", netns: ns}
	o.start()
	t.Cleanup(o.kill)
	o.behave(storm.Behaviour{DelayMS: 2})
	return o, func() {
		t.Helper()
		if err := run("-n", ns, "route", "add", "blackhole", subnet+"1/32"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTotalOutage: when all targets are dead the gateway says so at once, and serves again as soon as one check
// finds a target.
func TestTotalOutage(t *testing.T) {
	a, b := newTarget(t), newTarget(t)
	g := e2e.Start(t, fmt.Sprintf(robust, quote(a, b)))
	if status := statusOf(t, g.Addr, "/x"); status != 200 {
		t.Fatalf("status %d", status)
	}
	a.kill()
	b.kill()
	e2e.Eventually(t, "503 for want of targets", func() bool { return statusOf(t, g.Addr, "/x") == 503 })
	s := e2e.Pour(t, g.Addr, 200, 50)
	s.Wait(2 * time.Second)
	out := storm.Between(s.Stop(), 0, time.Hour)
	t.Logf("all targets dead: %v", out)
	// A few try the breaker, and say what they found: 502.
	if out.Statuses["503"]+out.Statuses["502"] != out.N || out.Statuses["502"] > out.N/20 {
		t.Errorf("%v, want 503", out)
	}
	if _, long := e2e.Soak(t, 0); long && out.P50 > 5*time.Millisecond {
		t.Errorf("%v, want 503 within 5 ms", out)
	}
	s = e2e.Pour(t, g.Addr, 200, 50)
	a.start()
	back := s.Since()
	e2e.Eventually(t, "200 again", func() bool { return statusOf(t, g.Addr, "/x") == 200 })
	t.Logf("served again %v after a target came back; checks come every 250 ms", s.Since()-back)
	s.Stop()
}

func statusOf(t testing.TB, addr, path string) int {
	t.Helper()
	resp := e2e.Raw(t, addr, "GET "+path+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	status := 0
	_, _ = fmt.Sscanf(resp, "HTTP/1.1 %d", &status) // 0 says enough
	return status
}

// TestRetryBudget counts at the origins what retries add when every answer is a failure.
func TestRetryBudget(t *testing.T) {
	a, b := newTarget(t), newTarget(t)
	a.behave(storm.Behaviour{FailPart: 1, FailWith: 503})
	b.behave(storm.Behaviour{FailPart: 1, FailWith: 503})
	g := e2e.Start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
targets = [`+quote(a, b)+`]
  [pool.app.retry]
  attempts = 4
  on = ["connect", "503"]
  budget_percent = 10
  backoff = "1ms"
[[route]]
prefix = "/"
pool = "app"
`)
	before := a.tally().Requests + b.tally().Requests
	s := e2e.Pour(t, g.Addr, 500, 100)
	s.Wait(6 * time.Second)
	sent := int64(len(s.Stop()))
	got := a.tally().Requests + b.tally().Requests - before
	t.Logf("%d requests, %d attempts: %.2f %% more; the budget is 10 %%", sent, got, 100*float64(got-sent)/float64(sent))
	if got > sent+sent/10+3 {
		t.Errorf("%d attempts for %d requests", got, sent)
	}
	if got < sent+sent/20 {
		t.Errorf("%d attempts for %d requests: the budget is not used", got, sent)
	}
	if g.Metric(`penstock_retry_budget_refusals_total{pool="app"}`) == 0 {
		t.Error("no refusal is counted")
	}
}

// TestPostAtMostOnce kills and restarts targets under a stream of POSTs, each with a body of its own, and counts
// them at the origins.
func TestPostAtMostOnce(t *testing.T) {
	origins := []*target{newTarget(t), newTarget(t), newTarget(t)}
	g := e2e.Start(t, fmt.Sprintf(robust, quote(origins...)))
	s := e2e.Pour(t, g.Addr, 300, 100, func(s *storm.Options) {
		s.Request = func(i int) string {
			body := fmt.Sprintf("order-%d", i)
			return fmt.Sprintf("POST /orders HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	})
	seen := map[string]int{}
	var mu sync.Mutex
	for round := range 4 {
		s.Wait(time.Duration(round+1) * time.Second)
		o := origins[round%2] // the third one keeps its tally
		o.kill()
		s.Wait(s.Since() + 300*time.Millisecond)
		o.start()
	}
	samples := s.Stop()
	for _, o := range origins {
		for body, n := range o.tally().Bodies {
			mu.Lock()
			seen[body] += n
			mu.Unlock()
		}
	}
	all := storm.Between(samples, 0, time.Hour)
	twice := 0
	for body, n := range seen {
		if n > 1 {
			twice++
			t.Errorf("%q was received %d times", body, n)
		}
	}
	t.Logf("%v; %d bodies seen by those that lived, %d of them twice", all, len(seen), twice)
	if all.N == all.Bad {
		t.Error("no POST was served")
	}
}

// TestHedging compares a pool where some answers are slow with and without hedging: how many of its clients have
// to wait for the slow ones, which does not depend on how many there are, as a percentile of few requests does. An
// ordinary run, on a busy machine, shows only that there are hedges and that they do no harm.
func TestHedging(t *testing.T) {
	const slow = 300 * time.Millisecond
	rate, took := 100.0, 3*time.Second
	_, long := e2e.Soak(t, 0)
	if long {
		rate, took = 400, 8*time.Second
	}
	run := func(hedge string) (figures storm.Figures, waited int, more float64) {
		origins := []*target{newTarget(t), newTarget(t), newTarget(t)}
		for _, o := range origins {
			o.behave(storm.Behaviour{DelayMS: 5, SlowPart: 0.02, SlowMS: slow.Milliseconds()})
		}
		g := e2e.Start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
balance = "random"
targets = [`+quote(origins...)+`]
`+hedge+`
[[route]]
prefix = "/"
pool = "app"
`)
		s := e2e.Pour(t, g.Addr, rate, 200)
		s.Wait(took)
		from := time.Second
		samples := s.Stop()
		attempts := int64(0)
		for _, o := range origins {
			attempts += o.tally().Requests
		}
		for _, m := range samples {
			if m.Due >= from && m.Took >= slow {
				waited++
			}
		}
		return storm.Between(samples, from, time.Hour), waited, 100 * (float64(attempts)/float64(len(samples)) - 1)
	}
	without, before, _ := run("")
	with, after, more := run("  [pool.app.hedge]\n  after = \"p95\"\n")
	t.Logf("without: %v", without)
	t.Logf("with:    %v; %.2f %% more requests", with, more)
	t.Logf("p99 is %.1f times shorter", float64(without.P99)/float64(with.P99))
	if more <= 0 || with.Bad+without.Bad > 0 {
		t.Errorf("hedging made %.2f %% more requests; %d and %d bad answers", more, without.Bad, with.Bad)
	}
	if !long {
		return
	}
	if before == 0 || after > max(1, before*with.N/without.N/5) { // one may meet two slow ones
		t.Errorf("%d of %d waited for the slow ones with hedging, %d of %d without: at most a fifth was wanted", after, with.N,
			before, without.N)
	}
	if more > 5 {
		t.Errorf("hedging made %.2f %% more requests, want at most 5 %%", more)
	}
}

// TestOverload offers a pool five times what it can serve, with clients that give up after a second. Without a
// limit the target works for clients that have left; with the adaptive one it stays useful. How useful is measured
// in long runs alone.
func TestOverload(t *testing.T) {
	const workers, delay = 10, 20 // 500 a second
	run := func(limit string) (goodput float64, f storm.Figures) {
		o := newTarget(t)
		o.behave(storm.Behaviour{DelayMS: delay, Workers: workers})
		g := e2e.Start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
targets = [`+quote(o)+`]
max_connections = 4000
max_waiting = 10000
wait_timeout = "30s"
`+limit+`
[[route]]
prefix = "/"
pool = "app"
timeout = "20s"
`)
		s := e2e.Pour(t, g.Addr, 2500, 2000, func(o *storm.Options) { o.Patience = time.Second })
		s.Wait(8 * time.Second)
		from, to := 3*time.Second, 7*time.Second
		samples := s.Stop()
		f = storm.Between(samples, from, to)
		return storm.Goodput(samples, from, to, time.Second), f
	}
	capacity := float64(workers) * 1000 / delay
	limited := "  [pool.app.concurrency]\n  adaptive = true\n  min = 4\n  limit = 20\n  queue = 50\n  queue_timeout = \"500ms\"\n"
	if _, long := e2e.Soak(t, 0); !long {
		if _, f := run(limited); f.Statuses["200"] == 0 || f.Statuses["503"] == 0 {
			t.Errorf("%v, want some answered and some refused", f)
		}
		return
	}
	without, f := run("")
	t.Logf("without a limit: %.0f good answers a second of %.0f possible (%.0f %%); %v", without, capacity,
		100*without/capacity, f)
	with, f := run(limited)
	t.Logf("with:            %.0f good answers a second of %.0f possible (%.0f %%); %v", with, capacity,
		100*with/capacity, f)
	if with < 0.8*capacity {
		t.Errorf("goodput is %.0f %% of the capacity, want 80", 100*with/capacity)
	}
	if without > 0.5*capacity {
		t.Errorf("goodput without a limit is %.0f %% of the capacity: the test shows nothing", 100*without/capacity)
	}
}

// TestSticky: a client stays with its target over reloads and comes back to it when it has been away.
func TestSticky(t *testing.T) {
	origins := []*target{newTarget(t), newTarget(t), newTarget(t)}
	conf := `
[[listener]]
address = "{{addr}}"
[pool.app]
targets = [` + quote(origins...) + `]
drain_timeout = "0s"
  [pool.app.sticky]
  cookie = "seat"
[[route]]
prefix = "/"
pool = "app"
`
	g := e2e.Start(t, conf)
	first := e2e.Raw(t, g.Addr, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	_, cookie, ok := strings.Cut(first, "Set-Cookie: seat=")
	if !ok {
		t.Fatalf("no cookie:\n%s", first)
	}
	cookie, _, _ = strings.Cut(cookie, ";")
	ask := func(cookie string) (body string, set bool) {
		resp := e2e.Raw(t, g.Addr, "GET /x HTTP/1.1\r\nHost: h\r\nCookie: a=b; seat="+cookie+"\r\nConnection: close\r\n\r\n")
		_, body, _ = strings.Cut(resp, "\r\n\r\n")
		return body, strings.Contains(resp, "Set-Cookie")
	}
	_, seat, _ := strings.Cut(first, "\r\n\r\n")
	stays := func(when string) {
		t.Helper()
		for range 12 {
			if body, set := ask(cookie); body != seat || set {
				t.Fatalf("%s: %q answered, new cookie %v, want %q", when, body, set, seat)
			}
		}
	}
	stays("at first")
	g.Write(conf + "# changed\n")
	if status, text := g.Reload(); status != 200 {
		t.Fatal(text)
	}
	stays("after a reload")
	post := func(verb string) {
		t.Helper()
		addr := strings.TrimSpace(seat)
		resp := e2e.Raw(t, g.Admin, "POST /pools/app/targets/"+addr+"/"+verb+" HTTP/1.1\r\nHost: "+g.Admin+
			"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(resp, "HTTP/1.1 204") {
			t.Fatal(resp)
		}
	}
	post("drain")
	if body, set := ask(cookie); body == seat || !set { // a drained target is left for good
		t.Errorf("while its target is drained %q answered, new cookie %v", body, set)
	}
	post("undrain")
	stays("after its target's return")
	forged := cookie[:len(cookie)-2] + "AA"
	if _, set := ask(forged); !set {
		t.Error("a forged cookie was believed")
	}
}
