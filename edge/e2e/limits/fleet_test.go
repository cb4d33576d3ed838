package limits

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/bench/storm"
	"github.com/penstock-edge/penstock/edge/e2e"
)

// startFleet starts gateways with one configuration and waits until they know each other.
func startFleet(t *testing.T, n int, conf string) []*e2e.Gateway {
	t.Helper()
	nodes := make([]*e2e.Gateway, n)
	for i := range nodes {
		nodes[i] = e2e.Start(t, conf)
	}
	e2e.Eventually(t, "the gateways know each other", func() bool {
		for _, g := range nodes {
			if g.Metric("penstock_redis_up") != 1 || g.Metric("penstock_redis_nodes") != float64(n) {
				return false
			}
		}
		return true
	})
	return nodes
}

// flood sends requests to all gateways at once and returns all shots and how long it took.
func flood(t *testing.T, nodes []*e2e.Gateway, rate float64, during func()) (shots []storm.Shot, took time.Duration) {
	t.Helper()
	began := time.Now()
	floods := make([]*storm.Flood, len(nodes))
	for i, g := range nodes {
		floods[i] = e2e.Pour(t, g.Addr, rate/float64(len(nodes)), 20)
	}
	during()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, f := range floods {
		wg.Go(func() {
			s := f.Stop()
			mu.Lock()
			shots = append(shots, s...)
			mu.Unlock()
		})
	}
	wg.Wait()
	return shots, time.Since(began)
}

// tally counts shots by status; one without an answer fails the test.
func tally(t *testing.T, shots []storm.Shot) map[int]int {
	t.Helper()
	n := map[int]int{}
	for _, s := range shots {
		if s.Err != nil {
			t.Errorf("after %v: %v", s.Due, s.Err)
		}
		n[s.Status]++
	}
	return n
}

// TestFleetExact: three gateways that ask before they answer admit what one would.
func TestFleetExact(t *testing.T) {
	redis := e2e.StartRedis(t)
	nodes := startFleet(t, 3, e2e.SharedBy(e2e.Record(t, nil).Addr, redis.Addr,
		"rate = \"100/s\"\nburst = 50\nfleet_timeout = \"2s\"\n"))
	long := loadSeconds(4)
	shots, took := flood(t, nodes, 1000, func() { time.Sleep(long) })
	n := tally(t, shots)
	want := 100*took.Seconds() + 50
	t.Logf("%d requests over three gateways in %.3f s: %d admitted, rate and burst give %.1f", len(shots), took.Seconds(), n[200], want)
	if len(n) != 2 || float64(n[200]) > want+1 || float64(n[200]) < 100*long.Seconds() {
		t.Errorf("%v, want %.1f admitted", n, want)
	}
	for _, g := range nodes {
		if f := g.Metric(`penstock_rate_limit_fallbacks_total{limit="main"}`); f != 0 {
			t.Errorf("%v requests were decided without the server", f)
		}
	}
}

// TestFleetFast: three gateways that tell afterwards admit no more than one lease each beyond that.
func TestFleetFast(t *testing.T) {
	redis := e2e.StartRedis(t)
	nodes := startFleet(t, 3, e2e.SharedBy(e2e.Record(t, nil).Addr, redis.Addr,
		"rate = \"100/s\"\nburst = 50\nfleet = \"fast\"\nfleet_lease = 10\n"))
	long := loadSeconds(4)
	shots, took := flood(t, nodes, 1000, func() { time.Sleep(long) })
	n := tally(t, shots)
	want := 100*took.Seconds() + 50
	t.Logf("%d requests over three gateways in %.3f s: %d admitted, rate and burst give %.1f, with three leases of 10 at most %.1f",
		len(shots), took.Seconds(), n[200], want, want+30)
	if len(n) != 2 || float64(n[200]) > want+30 || float64(n[200]) < 100*long.Seconds() {
		t.Errorf("%v, want %.1f to %.1f admitted", n, want, want+30)
	}
}

// changes returns what the log says in turn: whether the server answers. It never says the same twice.
func changes(g *e2e.Gateway) (up []bool) {
	for line := range strings.Lines(g.Log.String()) {
		answers := strings.Contains(line, "redis answers")
		if !answers && !strings.Contains(line, "redis does not answer") {
			continue
		}
		if len(up) > 0 && up[len(up)-1] == answers {
			g.T.Errorf("said twice: %s", line)
		}
		up = append(up, answers)
	}
	return up
}

// TestFleetWithoutServer kills redis for a while, under load: no request waits for it, and what is admitted meanwhile
// is what on_failure says.
func TestFleetWithoutServer(t *testing.T) {
	for _, mode := range []string{"exact", "fast"} {
		for name, stop := range map[string][2]func(*e2e.RedisServer){
			"killed": {(*e2e.RedisServer).Kill, (*e2e.RedisServer).Start},
			"paused": {func(r *e2e.RedisServer) { r.Signal(syscall.SIGSTOP) }, func(r *e2e.RedisServer) { r.Signal(syscall.SIGCONT) }},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				redis := e2e.StartRedis(t, "--appendonly", "yes", "--appendfsync", "everysec")
				nodes := startFleet(t, 3, e2e.SharedBy(e2e.Record(t, nil).Addr, redis.Addr,
					"rate = \"300/s\"\nburst = 60\nfleet = \""+mode+"\"\n"))
				gone := loadSeconds(2)
				_, long := e2e.Soak(t, 0)
				shots, took := flood(t, nodes, 900, func() {
					time.Sleep(time.Second)
					stop[0](redis)
					time.Sleep(gone)
					stop[1](redis)
					e2e.Eventually(t, "all gateways have the server back", func() bool {
						for _, g := range nodes {
							if g.Metric("penstock_redis_up") != 1 {
								return false
							}
						}
						return true
					})
					time.Sleep(time.Second)
				})
				n := tally(t, shots)
				// A busy machine may make the server too slow besides: each loss is told of, and each return.
				losses := 0.0
				for _, g := range nodes {
					e2e.Eventually(t, "a line for each change", func() bool {
						lost := g.Metric("penstock_redis_losses_total")
						up := changes(g)
						return lost >= 1 && up[len(up)-1] && len(slices.DeleteFunc(up, func(up bool) bool { return up })) == int(lost)
					})
					losses += g.Metric("penstock_redis_losses_total")
				}
				slowest := time.Duration(0)
				for _, s := range shots {
					slowest = max(slowest, s.Took)
				}
				// The server's burst, and that of the parts and their leases each time it is gone.
				most := 300*took.Seconds() + 60 + losses*(60/3+15)
				least := 300 * (took.Seconds() - 1) / 2
				if long {
					least *= 2 * 0.9
				}
				t.Logf("%d requests in %.1f s, of them %v without a server: %v; at most %.0f may be admitted; slowest answer %v",
					len(shots), took.Seconds(), gone, n, most, slowest)
				if len(n) != 2 || float64(n[200]) > most || float64(n[200]) < least {
					t.Errorf("%v", n)
				}
				for _, g := range nodes {
					if g.Metric(`penstock_rate_limit_fallbacks_total{limit="main"}`) == 0 {
						t.Error("no request was decided without the server")
					}
				}
			})
		}
	}
}

// TestFleetOnFailure looks at one gateway whose server is not there at all.
func TestFleetOnFailure(t *testing.T) {
	f := func(name, keys string, want ...int) {
		t.Run(name, func(t *testing.T) {
			g := e2e.Start(t, e2e.SharedBy(e2e.Record(t, nil).Addr, e2e.FreeAddr(t), "rate = \"1/h\"\nburst = 2\n"+keys))
			for i, w := range want {
				if r := g.Get("/x"); r.StatusCode != w {
					t.Errorf("request %d: %d, want %d", i, r.StatusCode, w)
				}
			}
			if g.Metric("penstock_redis_up") != 0 {
				t.Error("the server counts as up")
			}
		})
	}
	for _, mode := range []string{"exact", "fast"} {
		fleet := "fleet = \"" + mode + "\"\n"
		f(mode+" local", fleet, 200, 200, 429)
		f(mode+" allow", fleet+"on_failure = \"allow\"\n", 200, 200, 200, 200)
		f(mode+" deny", fleet+"on_failure = \"deny\"\n", 503, 503)
		f(mode+" deny observed", fleet+"on_failure = \"deny\"\nmode = \"observe\"\n", 200, 200)
	}
}

// TestFleetLimitsTogether: a request with several limits is charged to all of them or to none, in one round trip.
func TestFleetLimitsTogether(t *testing.T) {
	redis := e2e.StartRedis(t)
	conf := e2e.Simple(e2e.Record(t, nil).Addr, `rate_limits = ["all", "user", "here"]`, "[redis]\naddress = \""+redis.Addr+"\"\n",
		"[rate_limit.all]\nscope = \"fleet\"\nrate = \"1/h\"\nburst = 5\nkey = \"global\"\nfleet_timeout = \"2s\"\n",
		"[rate_limit.user]\nscope = \"fleet\"\nrate = \"2/h\"\nalgorithm = \"sliding_window\"\nkey = \"header:X-User\"\nfleet_timeout = \"2s\"\n",
		"[rate_limit.here]\nrate = \"100/s\"\n")
	nodes := startFleet(t, 2, conf)
	got := ""
	for i := range 9 {
		r := nodes[i%2].Get("/x", "X-User", strconv.Itoa(i/3))
		got += fmt.Sprint(r.StatusCode, " ")
	}
	if want := "200 200 429 200 200 429 200 429 429 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// Seven asked and refused by "user" were not charged to "all", nor to what this node counts alone.
	if n := strings.Count(redis.Do("KEYS", "penstock:limit:*"), "penstock:limit:"); n != 4 {
		t.Errorf("%d keys on the server, want those of 3 users and 1 for all", n)
	}
}

// TestFleetQuota: a quota of the fleet is one for all gateways, and outlives all of them.
func TestFleetQuota(t *testing.T) {
	redis := e2e.StartRedis(t)
	conf := e2e.SharedBy(e2e.Record(t, nil).Addr, redis.Addr, "algorithm = \"quota\"\nquota = 5\nperiod = \"month\"\nzone = \"Asia/Kolkata\"\nfleet_timeout = \"2s\"\n")
	nodes := startFleet(t, 2, conf)
	for i := range 5 {
		if r := nodes[i%2].Get("/x"); r.StatusCode != 200 {
			t.Fatalf("request %d: %d", i, r.StatusCode)
		}
	}
	for _, g := range nodes {
		if r := g.Get("/x"); r.StatusCode != 429 || r.Header.Get("Retry-After") == "" {
			t.Errorf("%d %v", r.StatusCode, r.Header)
		}
		g.Stop()
	}
	if r := startFleet(t, 1, conf)[0].Get("/x"); r.StatusCode != 429 {
		t.Errorf("after a restart: %d", r.StatusCode)
	}
}

// TestFleetSlowServer: a server that answers later than requests wait is not asked, until it is quick again.
func TestFleetSlowServer(t *testing.T) {
	redis, delay := e2e.StartRedis(t), &atomic.Int64{}
	conf := e2e.SharedBy(e2e.Record(t, nil).Addr, e2e.Slowly(t, redis.Addr, delay), "rate = \"1000/s\"\nfleet_timeout = \"100ms\"\n")
	g := startFleet(t, 1, conf)[0]
	shots, _ := flood(t, []*e2e.Gateway{g}, 300, func() {
		delay.Store(int64(150 * time.Millisecond))
		e2e.Eventually(t, "the server counts as gone", func() bool { return g.Metric("penstock_redis_up") == 0 })
		e2e.Eventually(t, "it was asked again, and was too slow", func() bool {
			return g.Metric(`penstock_rate_limit_fallbacks_total{limit="main"}`) > 100
		})
		if n := g.Metric("penstock_redis_losses_total"); n < 1 { // a slow machine may lose it before
			t.Errorf("it was lost %v times", n)
		}
		delay.Store(0)
		e2e.Eventually(t, "it is asked again", func() bool { return g.Metric("penstock_redis_up") == 1 })
	})
	if n := tally(t, shots); len(n) != 1 || n[200] != len(shots) {
		t.Errorf("%v", n)
	}
	late := 0
	for _, s := range shots {
		if s.Took > 90*time.Millisecond {
			late++
		}
	}
	t.Logf("of %d requests %d waited for the server as long as they may", len(shots), late)
}
