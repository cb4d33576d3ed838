package pools

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestUnsentCostsNoBudget: what certainly did not reach a target goes to another one, whatever its method, and
// takes nothing from the budget of the retries; backups are reached when all others are dead.
func TestUnsentCostsNoBudget(t *testing.T) {
	t.Parallel()
	f := func(stands, targets, keys string) {
		t.Helper()
		for _, method := range []string{"GET", "POST"} {
			g := e2e.Start(t, e2e.PoolOf(targets, "slow_start = \"0s\"\n"+keys))
			left := g.Metric("penstock_retry_budget_left")
			if got := g.InOneGo(40, method); got[200] != 40 {
				t.Errorf("%s: %s: %v", stands, method, got)
			}
			if n := g.Metric("penstock_retry_budget_left"); n < left {
				t.Errorf("%s: %s: the budget has gone from %v to %v", stands, method, left, n)
			}
			if n := g.Metric("penstock_retry_budget_refusals_total"); n != 0 {
				t.Errorf("%s: %s: %v refusals", stands, method, n)
			}
			g.Stop()
		}
	}
	good := e2e.Record(t, nil)
	f("one of two", e2e.Quoted(e2e.FreeAddr(t), good.Addr), "retry = {}")
	f("no budget at all", e2e.Quoted(e2e.FreeAddr(t), good.Addr), "retry = { budget_percent = 0 }")
	f("two of three", e2e.Quoted(e2e.FreeAddr(t), e2e.FreeAddr(t), good.Addr), "retry = { attempts = 3 }")
	backup := fmt.Sprintf(`%s, { address = "%s", backup = true }`, e2e.Quoted(e2e.FreeAddr(t), e2e.FreeAddr(t)), good.Addr)
	f("all but the backup", backup, "retry = { attempts = 3 }")
	f("a hash", e2e.Quoted(e2e.FreeAddr(t), good.Addr), "retry = {}\nbalance = \"consistent_hash\"\nhash_key = \"header:X-None\"")
	f("few connections", e2e.Quoted(e2e.FreeAddr(t), good.Addr), "retry = {}\nmax_connections = 2\nwait_timeout = \"10s\"")
}

// TestUnsentIsBounded: attempts bounds those too, and where there is no other target the budget does.
func TestUnsentIsBounded(t *testing.T) {
	t.Parallel()
	dead := func(n int) string {
		var addrs []string
		for range n {
			addrs = append(addrs, e2e.FreeAddr(t))
		}
		return e2e.Quoted(addrs...)
	}
	g := e2e.Start(t, e2e.PoolOf(dead(5), "retry = { attempts = 3 }"))
	if got := g.InOneGo(10, "POST"); got[502] != 10 {
		t.Errorf("%v", got)
	}
	g.Counted("penstock_retries_total", 20)
	if n := g.Metric("penstock_retry_budget_left"); n != 3 {
		t.Errorf("%v of the budget are left", n)
	}
	g = e2e.Start(t, e2e.PoolOf(dead(1), "retry = { attempts = 3, backoff = \"1ms\" }"))
	if got := g.InOneGo(10, "POST"); got[502] != 10 {
		t.Errorf("%v", got)
	}
	g.Counted("penstock_retries_total", 3)
	g = e2e.Start(t, e2e.PoolOf(dead(2), ""))
	if got := g.InOneGo(5, "POST"); got[502] != 5 || g.Metric("penstock_retries_total") != 0 {
		t.Errorf("without a policy: %v", got)
	}
}

// TestUnsentCounts: a connection that could not be made is a failure of its target, for the checks on live traffic
// and for its own breaker, though no client notices; the breaker of the pool counts what clients see.
func TestUnsentCounts(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	good := e2e.HTTPOrigin(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	f := func(stands, keys, state string) {
		t.Helper()
		dead := e2e.FreeAddr(t)
		g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(dead, good), keys))
		e2e.Eventually(t, stands+": the dead target is out", func() bool {
			if got := g.InOneGo(4, "POST"); got[200] != 4 {
				t.Fatalf("%s: %v", stands, got)
			}
			return e2e.Dig(g.PoolStatus(), "targets", 0, "state") == state
		})
		if n := g.Metric(`penstock_breaker_state`); n != 0 {
			t.Errorf("%s: the pool's breaker is %v", stands, n)
		}
		g.Stop()
	}
	f("outlier", "retry = {}\noutlier = { consecutive_errors = 3 }\nbreaker = { error_percent = 30, min_requests = 5 }",
		"ejected")
	f("its own breaker", "retry = {}\nbreaker = { error_percent = 50, min_requests = 5, per_target = true }", "broken")
}

// TestUnsentUpgrade: a request for an upgrade that did not reach its target goes to another one too.
func TestUnsentUpgrade(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(e2e.FreeAddr(t), e2e.WebSocketEcho(t)), "retry = {}"))
	for range 4 { // each of the targets has its turns
		c, _ := e2e.DialWebSocket(t, g.Addr)
		_ = c.CloseNow() // it was opened: that is all
	}
}
