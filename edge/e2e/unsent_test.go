package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// inOneGo sends n requests at once and returns how many had each status.
func (g *gateway) inOneGo(n int, method string) map[int]int {
	g.t.Helper()
	var mu sync.Mutex
	statuses := map[int]int{}
	var clients sync.WaitGroup
	for range n {
		clients.Go(func() {
			req, err := http.NewRequest(method, "http://"+g.addr+"/x", strings.NewReader("abc"))
			if err != nil {
				g.t.Error(err)
				return
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				g.t.Error(err)
				return
			}
			resp.Body.Close()
			mu.Lock()
			statuses[resp.StatusCode]++
			mu.Unlock()
		})
	}
	clients.Wait()
	return statuses
}

// TestUnsentCostsNoBudget: what certainly did not reach a target goes to another one, whatever its method, and
// takes nothing from the budget of the retries; backups are reached when all others are dead.
func TestUnsentCostsNoBudget(t *testing.T) {
	t.Parallel()
	f := func(stands, targets, keys string) {
		t.Helper()
		for _, method := range []string{"GET", "POST"} {
			g := start(t, poolOf(targets, "slow_start = \"0s\"\n"+keys))
			left := g.metric("penstock_retry_budget_left")
			if got := g.inOneGo(40, method); got[200] != 40 {
				t.Errorf("%s: %s: %v", stands, method, got)
			}
			if n := g.metric("penstock_retry_budget_left"); n < left {
				t.Errorf("%s: %s: the budget has gone from %v to %v", stands, method, left, n)
			}
			if n := g.metric("penstock_retry_budget_refusals_total"); n != 0 {
				t.Errorf("%s: %s: %v refusals", stands, method, n)
			}
			g.stop()
		}
	}
	good := record(t, nil)
	f("one of two", quoted(freeAddr(t), good.addr), "retry = {}")
	f("no budget at all", quoted(freeAddr(t), good.addr), "retry = { budget_percent = 0 }")
	f("two of three", quoted(freeAddr(t), freeAddr(t), good.addr), "retry = { attempts = 3 }")
	backup := fmt.Sprintf(`%s, { address = "%s", backup = true }`, quoted(freeAddr(t), freeAddr(t)), good.addr)
	f("all but the backup", backup, "retry = { attempts = 3 }")
	f("a hash", quoted(freeAddr(t), good.addr), "retry = {}\nbalance = \"consistent_hash\"\nhash_key = \"header:X-None\"")
	f("few connections", quoted(freeAddr(t), good.addr), "retry = {}\nmax_connections = 2\nwait_timeout = \"10s\"")
}

// TestUnsentIsBounded: attempts bounds those too, and where there is no other target the budget does.
func TestUnsentIsBounded(t *testing.T) {
	t.Parallel()
	dead := func(n int) string {
		var addrs []string
		for range n {
			addrs = append(addrs, freeAddr(t))
		}
		return quoted(addrs...)
	}
	g := start(t, poolOf(dead(5), "retry = { attempts = 3 }"))
	if got := g.inOneGo(10, "POST"); got[502] != 10 {
		t.Errorf("%v", got)
	}
	g.counted("penstock_retries_total", 20)
	if n := g.metric("penstock_retry_budget_left"); n != 3 {
		t.Errorf("%v of the budget are left", n)
	}
	g = start(t, poolOf(dead(1), "retry = { attempts = 3, backoff = \"1ms\" }"))
	if got := g.inOneGo(10, "POST"); got[502] != 10 {
		t.Errorf("%v", got)
	}
	g.counted("penstock_retries_total", 3)
	g = start(t, poolOf(dead(2), ""))
	if got := g.inOneGo(5, "POST"); got[502] != 5 || g.metric("penstock_retries_total") != 0 {
		t.Errorf("without a policy: %v", got)
	}
}

// TestUnsentCounts: a connection that could not be made is a failure of its target, for the checks on live traffic
// and for its own breaker, though no client notices; the breaker of the pool counts what clients see.
func TestUnsentCounts(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	good := httpOrigin(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	f := func(stands, keys, state string) {
		t.Helper()
		dead := freeAddr(t)
		g := start(t, poolOf(quoted(dead, good), keys))
		eventually(t, stands+": the dead target is out", func() bool {
			if got := g.inOneGo(4, "POST"); got[200] != 4 {
				t.Fatalf("%s: %v", stands, got)
			}
			return dig(g.poolStatus(), "targets", 0, "state") == state
		})
		if n := g.metric(`penstock_breaker_state`); n != 0 {
			t.Errorf("%s: the pool's breaker is %v", stands, n)
		}
		g.stop()
	}
	f("outlier", "retry = {}\noutlier = { consecutive_errors = 3 }\nbreaker = { error_percent = 30, min_requests = 5 }",
		"ejected")
	f("its own breaker", "retry = {}\nbreaker = { error_percent = 50, min_requests = 5, per_target = true }", "broken")
}

// TestUnsentUpgrade: a request for an upgrade that did not reach its target goes to another one too.
func TestUnsentUpgrade(t *testing.T) {
	t.Parallel()
	g := start(t, poolOf(quoted(freeAddr(t), webSocketEcho(t)), "retry = {}"))
	for range 4 { // each of the targets has its turns
		c, _ := dialWebSocket(t, g.addr)
		_ = c.CloseNow() // it was opened: that is all
	}
}
