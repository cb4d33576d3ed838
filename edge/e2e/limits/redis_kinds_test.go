package limits

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestFleetSentinel fails over from a master that is killed to its replica, under load.
func TestFleetSentinel(t *testing.T) {
	master := e2e.StartRedis(t)
	replica := e2e.StartRedis(t, "--replicaof", "127.0.0.1 "+master.Port())
	e2e.Eventually(t, "the replica has what the master has", func() bool {
		return strings.Contains(master.Do("WAIT", "1", "100"), ":1")
	})
	sentinel := startSentinel(t, master)
	e2e.Eventually(t, "the sentinel knows the replica", func() bool {
		return strings.Contains(sentinel.Do("SENTINEL", "REPLICAS", "main"), replica.Port())
	})
	nodes := startFleet(t, 2, e2e.LimitedTo(e2e.Record(t, nil).Addr, "scope = \"fleet\"\nrate = \"1/h\"\nburst = 1000000\nfleet_timeout = \"50ms\"\n",
		"[redis]\naddress = [\""+sentinel.Addr+"\"]\n[redis.sentinel]\nmaster = \"main\"\n"))
	shots, took := flood(t, nodes, 200, func() {
		time.Sleep(time.Second)
		master.Kill()
		e2e.Eventually(t, "the gateways have the new master", func() bool {
			for _, g := range nodes {
				if g.Metric("penstock_redis_up") != 1 || g.Metric("penstock_redis_losses_total") == 0 {
					return false
				}
			}
			return true
		})
	})
	// What was asked of the old master, less what it had not passed on, and all that was told afterwards.
	e2e.Eventually(t, "the new master knows of what was spent without one", func() bool {
		return spentOn(replica, "g") >= 0.98*float64(len(shots))
	})
	n := tally(t, shots)
	t.Logf("%d requests in %.1f s over a failover: %v; the new master knows of %.0f", len(shots), took.Seconds(), n, spentOn(replica, "g"))
	if len(n) != 1 || n[200] != len(shots) || spentOn(replica, "g") > 1.02*float64(len(shots)) {
		t.Errorf("%v, %v", n, spentOn(replica, "g"))
	}
}

// spentOn is what the one key of kind has spent, as the server says.
func spentOn(r *e2e.RedisServer, kind string) float64 {
	key := ""
	for _, k := range strings.Fields(r.Do("KEYS", "*limit:main:"+kind+":*")) {
		key = k
	}
	spent, at := 0.0, 0.0
	_, _ = fmt.Sscan(r.Do("GET", key), &spent, &at) // 0 while there is no such key
	return spent
}

// TestFleetCluster spreads the limits of a request over the nodes of a cluster.
func TestFleetCluster(t *testing.T) {
	// The bus is otherwise 10,000 ports higher, where other tests have theirs.
	_, busOfA, _ := net.SplitHostPort(e2e.FreeAddr(t))
	_, busOfB, _ := net.SplitHostPort(e2e.FreeAddr(t))
	a := e2e.StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", busOfA)
	b := e2e.StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", busOfB)
	for r, slots := range map[*e2e.RedisServer][2]string{a: {"0", "8191"}, b: {"8192", "16383"}} {
		if out := r.Do("CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]); out != "+OK" {
			t.Skip("this redis-server has no such cluster commands: " + out)
		}
	}
	a.Do("CLUSTER", "SET-CONFIG-EPOCH", "1")
	b.Do("CLUSTER", "SET-CONFIG-EPOCH", "2")
	a.Do("CLUSTER", "MEET", "127.0.0.1", b.Port(), busOfB)
	e2e.Eventually(t, "the cluster is whole", func() bool {
		return strings.Contains(a.Do("CLUSTER", "INFO"), "cluster_state:ok") && strings.Contains(b.Do("CLUSTER", "INFO"), "cluster_state:ok")
	})
	conf := e2e.Simple(e2e.Record(t, nil).Addr, `rate_limits = ["all", "user"]`, "[redis]\naddress = [\""+a.Addr+"\", \""+b.Addr+"\"]\ncluster = true\n",
		"[rate_limit.all]\nscope = \"fleet\"\nrate = \"1/h\"\nburst = 40\nkey = \"global\"\nfleet_timeout = \"2s\"\n",
		"[rate_limit.user]\nscope = \"fleet\"\nrate = \"1/h\"\nburst = 3\nkey = \"header:X-User\"\nfleet_timeout = \"2s\"\n")
	nodes := startFleet(t, 2, conf)
	admitted := 0
	for user := range 20 {
		for i := range 6 {
			if nodes[i%2].Get("/x", "X-User", fmt.Sprint("u", user)).StatusCode == 200 {
				admitted++
			}
		}
	}
	// Three of each of thirteen users, and one of the next. What one limit has charged to a request that the other
	// refuses is given back a moment later, so that a few are refused which need not be.
	if admitted > 40 || admitted < 30 {
		t.Errorf("%d admitted, want 40", admitted)
	}
	if strings.Contains(a.Do("DBSIZE"), ":0") || strings.Contains(b.Do("DBSIZE"), ":0") {
		t.Error("all keys are on one node")
	}
}

// TestFleetSecure speaks TLS with a client's certificate and a password, which no log shows.
func TestFleetSecure(t *testing.T) {
	a := e2e.NewAuthority(t, "Test Authority")
	cert, key := a.Write(t.TempDir(), "redis", a.Issue(false, "127.0.0.1"))
	ca, secret := a.File, "hunter2-is-no-secret"
	redis := e2e.NewRedis(t, "--requirepass", secret, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca)
	redis.Args = append(redis.Args, "--port", "0", "--tls-port", redis.Port())
	redis.Start()
	conf := func(password, more string) string {
		return e2e.LimitedTo(e2e.Record(t, nil).Addr, "scope = \"fleet\"\nrate = \"1/h\"\nburst = 1\non_failure = \"deny\"\nfleet_timeout = \"2s\"\n",
			"[redis]\naddress = \""+redis.Addr+"\"\npassword = \""+password+"\"\n[redis.tls]\nenabled = true\nca = \""+ca+"\"\n"+more)
	}
	client := "cert = \"" + cert + "\"\nkey = \"" + key + "\"\n"
	g := startFleet(t, 1, conf(secret, client))[0]
	for i, want := range []int{200, 429} {
		if r := g.Get("/x"); r.StatusCode != want {
			t.Errorf("request %d: %d", i, r.StatusCode)
		}
	}
	for what, c := range map[string]string{"no certificate": conf(secret, ""), "a wrong password": conf("guess-of-a-stranger", client)} {
		g := e2e.Start(t, c)
		e2e.Eventually(t, what+" is told", func() bool { return strings.Contains(g.Log.String(), "redis does not answer") })
		if r := g.Get("/x"); r.StatusCode != 503 {
			t.Errorf("%s: %d", what, r.StatusCode)
		}
		if strings.Contains(g.Log.String(), secret) || strings.Contains(g.Log.String(), "guess-of") {
			t.Error("the log shows a password")
		}
	}
}

// TestFleetReload changes a rate, and the server, while gateways run.
func TestFleetReload(t *testing.T) {
	redis, other := e2e.StartRedis(t), e2e.StartRedis(t)
	target := e2e.Record(t, nil).Addr
	conf := func(server, keys string) string { return e2e.SharedBy(target, server, "fleet_timeout = \"2s\"\n"+keys) }
	g := startFleet(t, 1, conf(redis.Addr, "rate = \"1/h\"\nburst = 3\n"))[0]
	statuses := func(n int) (s string) {
		for range n {
			s += fmt.Sprint(g.Get("/x").StatusCode, " ")
		}
		return s
	}
	if s := statuses(4); s != "200 200 200 429 " {
		t.Error(s)
	}
	g.Write(conf(redis.Addr, "rate = \"1/h\"\nburst = 5\n"))
	g.Reload()
	if s := statuses(3); s != "200 200 429 " {
		t.Error("with two more:", s)
	}
	g.Write(conf(other.Addr, "rate = \"1/h\"\nburst = 5\n"))
	g.Reload()
	e2e.Eventually(t, "the other server is used", func() bool { return other.Do("ZCARD", "penstock:nodes") == ":1" })
	if s := statuses(6); s != "200 200 200 200 200 429 " {
		t.Error("with another server:", s)
	}
	e2e.Eventually(t, "the first server knows that the gateway has gone", func() bool { return redis.Do("ZCARD", "penstock:nodes") == ":0" })
}
