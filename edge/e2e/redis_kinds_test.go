package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestFleetSentinel fails over from a master that is killed to its replica, under load.
func TestFleetSentinel(t *testing.T) {
	master := startRedis(t)
	replica := startRedis(t, "--replicaof", "127.0.0.1 "+master.port())
	eventually(t, "the replica has what the master has", func() bool {
		return strings.Contains(master.do("WAIT", "1", "100"), ":1")
	})
	sentinel := startSentinel(t, master)
	eventually(t, "the sentinel knows the replica", func() bool {
		return strings.Contains(sentinel.do("SENTINEL", "REPLICAS", "main"), replica.port())
	})
	nodes := startFleet(t, 2, limitedTo(record(t, nil).addr, "scope = \"fleet\"\nrate = \"1/h\"\nburst = 1000000\nfleet_timeout = \"50ms\"\n",
		"[redis]\naddress = [\""+sentinel.addr+"\"]\n[redis.sentinel]\nmaster = \"main\"\n"))
	shots, took := flood(t, nodes, 200, func() {
		time.Sleep(time.Second)
		master.kill()
		eventually(t, "the gateways have the new master", func() bool {
			for _, g := range nodes {
				if g.metric("penstock_redis_up") != 1 || g.metric("penstock_redis_losses_total") == 0 {
					return false
				}
			}
			return true
		})
	})
	// What was asked of the old master, less what it had not passed on, and all that was told afterwards.
	eventually(t, "the new master knows of what was spent without one", func() bool {
		return spentOn(replica, "g") >= 0.98*float64(len(shots))
	})
	n := tally(t, shots)
	t.Logf("%d requests in %.1f s over a failover: %v; the new master knows of %.0f", len(shots), took.Seconds(), n, spentOn(replica, "g"))
	if len(n) != 1 || n[200] != len(shots) || spentOn(replica, "g") > 1.02*float64(len(shots)) {
		t.Errorf("%v, %v", n, spentOn(replica, "g"))
	}
}

// spentOn is what the one key of kind has spent, as the server says.
func spentOn(r *redisServer, kind string) float64 {
	key := ""
	for _, k := range strings.Fields(r.do("KEYS", "*limit:main:"+kind+":*")) {
		key = k
	}
	spent, at := 0.0, 0.0
	_, _ = fmt.Sscan(r.do("GET", key), &spent, &at) // 0 while there is no such key
	return spent
}

// TestFleetCluster spreads the limits of a request over the nodes of a cluster.
func TestFleetCluster(t *testing.T) {
	// The bus is otherwise 10,000 ports higher, where other tests have theirs.
	_, busOfA, _ := net.SplitHostPort(freeAddr(t))
	_, busOfB, _ := net.SplitHostPort(freeAddr(t))
	a := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", busOfA)
	b := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", busOfB)
	for r, slots := range map[*redisServer][2]string{a: {"0", "8191"}, b: {"8192", "16383"}} {
		if out := r.do("CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]); out != "+OK" {
			t.Skip("this redis-server has no such cluster commands: " + out)
		}
	}
	a.do("CLUSTER", "SET-CONFIG-EPOCH", "1")
	b.do("CLUSTER", "SET-CONFIG-EPOCH", "2")
	a.do("CLUSTER", "MEET", "127.0.0.1", b.port(), busOfB)
	eventually(t, "the cluster is whole", func() bool {
		return strings.Contains(a.do("CLUSTER", "INFO"), "cluster_state:ok") && strings.Contains(b.do("CLUSTER", "INFO"), "cluster_state:ok")
	})
	conf := simple(record(t, nil).addr, `rate_limits = ["all", "user"]`, "[redis]\naddress = [\""+a.addr+"\", \""+b.addr+"\"]\ncluster = true\n",
		"[rate_limit.all]\nscope = \"fleet\"\nrate = \"1/h\"\nburst = 40\nkey = \"global\"\nfleet_timeout = \"2s\"\n",
		"[rate_limit.user]\nscope = \"fleet\"\nrate = \"1/h\"\nburst = 3\nkey = \"header:X-User\"\nfleet_timeout = \"2s\"\n")
	nodes := startFleet(t, 2, conf)
	admitted := 0
	for user := range 20 {
		for i := range 6 {
			if nodes[i%2].get("/x", "X-User", fmt.Sprint("u", user)).StatusCode == 200 {
				admitted++
			}
		}
	}
	// Three of each of thirteen users, and one of the next. What one limit has charged to a request that the other
	// refuses is given back a moment later, so that a few are refused which need not be.
	if admitted > 40 || admitted < 30 {
		t.Errorf("%d admitted, want 40", admitted)
	}
	if strings.Contains(a.do("DBSIZE"), ":0") || strings.Contains(b.do("DBSIZE"), ":0") {
		t.Error("all keys are on one node")
	}
}

// TestFleetSecure speaks TLS with a client's certificate and a password, which no log shows.
func TestFleetSecure(t *testing.T) {
	a := newAuthority(t, "Test Authority")
	cert, key := a.write(t.TempDir(), "redis", a.issue(false, "127.0.0.1"))
	ca, secret := a.file, "hunter2-is-no-secret"
	redis := newRedis(t, "--requirepass", secret, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca)
	redis.args = append(redis.args, "--port", "0", "--tls-port", redis.port())
	redis.start()
	conf := func(password, more string) string {
		return limitedTo(record(t, nil).addr, "scope = \"fleet\"\nrate = \"1/h\"\nburst = 1\non_failure = \"deny\"\nfleet_timeout = \"2s\"\n",
			"[redis]\naddress = \""+redis.addr+"\"\npassword = \""+password+"\"\n[redis.tls]\nenabled = true\nca = \""+ca+"\"\n"+more)
	}
	client := "cert = \"" + cert + "\"\nkey = \"" + key + "\"\n"
	g := startFleet(t, 1, conf(secret, client))[0]
	for i, want := range []int{200, 429} {
		if r := g.get("/x"); r.StatusCode != want {
			t.Errorf("request %d: %d", i, r.StatusCode)
		}
	}
	for what, c := range map[string]string{"no certificate": conf(secret, ""), "a wrong password": conf("guess-of-a-stranger", client)} {
		g := start(t, c)
		eventually(t, what+" is told", func() bool { return strings.Contains(g.log.String(), "redis does not answer") })
		if r := g.get("/x"); r.StatusCode != 503 {
			t.Errorf("%s: %d", what, r.StatusCode)
		}
		if strings.Contains(g.log.String(), secret) || strings.Contains(g.log.String(), "guess-of") {
			t.Error("the log shows a password")
		}
	}
}

// TestFleetReload changes a rate, and the server, while gateways run.
func TestFleetReload(t *testing.T) {
	redis, other := startRedis(t), startRedis(t)
	target := record(t, nil).addr
	conf := func(server, keys string) string { return sharedBy(target, server, "fleet_timeout = \"2s\"\n"+keys) }
	g := startFleet(t, 1, conf(redis.addr, "rate = \"1/h\"\nburst = 3\n"))[0]
	statuses := func(n int) (s string) {
		for range n {
			s += fmt.Sprint(g.get("/x").StatusCode, " ")
		}
		return s
	}
	if s := statuses(4); s != "200 200 200 429 " {
		t.Error(s)
	}
	g.write(conf(redis.addr, "rate = \"1/h\"\nburst = 5\n"))
	g.reload()
	if s := statuses(3); s != "200 200 429 " {
		t.Error("with two more:", s)
	}
	g.write(conf(other.addr, "rate = \"1/h\"\nburst = 5\n"))
	g.reload()
	eventually(t, "the other server is used", func() bool { return other.do("ZCARD", "penstock:nodes") == ":1" })
	if s := statuses(6); s != "200 200 200 200 200 429 " {
		t.Error("with another server:", s)
	}
	eventually(t, "the first server knows that the gateway has gone", func() bool { return redis.do("ZCARD", "penstock:nodes") == ":0" })
}
