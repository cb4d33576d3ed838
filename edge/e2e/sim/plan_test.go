//go:build sim

package sim

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// plan is what a world is built with, as far as the invariants ask for it.
type plan struct {
	routes  string // letters of the routes that there are
	limits  []*bound
	stale   time.Duration // how long the cache may serve what is stale
	retries bool          // attempts may be repeated
	hedges  bool
	chaos   bool // the network fails too
	calm    bool // nothing but time closes a connection that can be used again
	fleet   bool // limits are counted by Redis
	polite  bool // targets answer as they should
	idle    time.Duration
}

// bound is what a limit may admit.
type bound struct {
	name, route string
	burst, rate float64 // at once, and each second
	inFlight    int     // at once under way; 0: no bound
	quota       int     // in all; 0: no bound
	fleet       bool    // it is counted elsewhere, where a request may count that is refused
}

// common is a world of some clients and targets, with whatever a draw has put into its configuration.
func common(w *world) {
	d := w.drawsOf("plan")
	p := &w.plan
	p.chaos, p.idle, p.calm = d.one(2), 59*time.Second, true
	w.net.misbehave(p.chaos, d)
	p.polite = d.one(4)
	p.routes = "p"
	var pools, more, routes strings.Builder
	fmt.Fprintf(&pools, "[pool.app]\ntargets = [%s]\nresponse_timeout = \"2s\"\nstream_idle_timeout = \"3s\"\n", w.targets(d, 3))
	w.poolKeys(d, &pools)
	if d.one(2) {
		p.routes += "cc"
		w.cacheKeys(d, &more)
		routes.WriteString("[[route]]\nname = \"c\"\nprefix = \"/c\"\npool = \"app\"\ntimeout = \"20s\"\ncache = \"main\"\n")
	}
	if d.one(3) || p.fleet {
		p.routes += "l"
		w.limitKeys(d, &more)
		routes.WriteString("[[route]]\nname = \"l\"\nprefix = \"/l\"\npool = \"app\"\ntimeout = \"20s\"\nrate_limits = [\"l\"]\n")
	}
	if d.one(3) {
		p.routes += "d"
		w.discovered(d, &pools)
		routes.WriteString("[[route]]\nname = \"d\"\nprefix = \"/d\"\npool = \"found\"\ntimeout = \"20s\"\n")
	}
	if d.one(4) {
		p.routes += "m"
		fmt.Fprintf(&pools, "[pool.shadow]\ntargets = [%s]\n", w.targets(d, 1))
		routes.WriteString("[[route]]\nname = \"m\"\nprefix = \"/m\"\npool = \"app\"\ntimeout = \"20s\"\nmirror = { pool = \"shadow\" }\n")
	}
	w.conf = "\n[[listener]]\nname = \"main\"\naddress = \"" + gateway.String() + "\"\n" + w.listenerKeys(d) +
		"[admin]\naddress = \"127.0.0.1:9901\"\n[log.access]\noutput = \"off\"\n" +
		pools.String() + more.String() + routes.String() +
		"[[route]]\nname = \"p\"\nprefix = \"/p\"\npool = \"app\"\ntimeout = \"20s\"\n"
	for i := range 1 + d.n(5) {
		w.actors = append(w.actors, newClient(w, i, 1+d.n(20+200*d.n(2))))
	}
	if d.one(2) {
		p.calm = false
		w.actors = append(w.actors, newOperator(w, 1+d.n(20)))
	}
}

// fleet is a common world whose limit is that of a fleet. It does not repeat from its seed: the client of Redis leaves
// to chance which of its goroutines comes first.
func fleet(w *world) {
	w.plan.fleet = true
	common(w)
}

// targets adds up to most targets to the world and returns their addresses, as a list of the configuration has them.
func (w *world) targets(d *draws, most int) string {
	var all []string
	for range 1 + d.n(most) {
		t := newTarget(w)
		w.actors = append(w.actors, t)
		all = append(all, fmt.Sprintf("%q", t.at))
	}
	return strings.Join(all, ", ")
}

func (w *world) listenerKeys(d *draws) string {
	keys := ""
	if d.one(6) {
		keys += "max_connections = 2\n"
	}
	if d.one(6) {
		keys += "idle_timeout = \"1s\"\n"
	}
	if d.one(6) {
		keys += "header_timeout = \"1s\"\n"
	}
	return keys
}

func (w *world) poolKeys(d *draws, b *strings.Builder) {
	p := &w.plan
	if d.one(3) {
		fmt.Fprintf(b, "balance = %q\n", []string{"round_robin", "least_connections", "ewma", "random", "consistent_hash"}[d.n(5)])
	}
	if d.one(3) {
		fmt.Fprintf(b, "max_connections = %d\nmax_waiting = %d\nwait_timeout = %q\n", 1+d.n(2), 1+d.n(3), wait(d))
	}
	if p.hedges = d.one(4); p.hedges {
		b.WriteString("hedge = { after = \"20ms\" }\n")
	}
	if p.retries = d.one(4); p.retries {
		fmt.Fprintf(b, "retry = { attempts = %d }\n", 2+d.n(2))
	}
	if d.one(6) {
		b.WriteString("sticky = {}\n")
	}
	if d.one(6) {
		b.WriteString("breaker = { min_requests = 3, open_for = \"100ms\", recovery = \"1s\" }\n")
	}
	if d.one(6) {
		p.calm = false
		b.WriteString("outlier = { consecutive_errors = 2, eject_for = \"200ms\" }\n")
	}
	if d.one(6) {
		fmt.Fprintf(b, "concurrency = { limit = %d, queue = %d, queue_timeout = %q }\n", 1+d.n(3), d.n(3), wait(d))
	}
	if d.one(6) {
		p.calm = false
		b.WriteString("health = { path = \"/h/0\", interval = \"500ms\", timeout = \"100ms\" }\n")
	}
	if d.one(8) {
		b.WriteString("idle_timeout = \"100ms\"\n")
		p.calm = false
	}
	p.calm = p.calm && !p.hedges && !p.chaos
}

func wait(d *draws) string { return []string{"1s", "20ms", "5s"}[d.n(3)] }

func (w *world) cacheKeys(d *draws, b *strings.Builder) {
	b.WriteString("[cache.main]\nsize = \"4MiB\"\n")
	if d.one(3) {
		w.plan.stale = 2 * time.Second
		fmt.Fprintf(b, "%s = \"2s\"\n", []string{"stale_while_revalidate", "stale_if_error"}[d.n(2)])
	}
	if d.one(4) {
		fmt.Fprintf(b, "wait_timeout = \"100ms\"\n")
	}
	if d.one(4) {
		b.WriteString("compress = [\"gzip\"]\ncompress_min = \"100B\"\ncompress_types = [\"*/*\"]\n")
	}
}

// limitKeys writes the limit of the route l: each client is a key.
func (w *world) limitKeys(d *draws, b *strings.Builder) {
	l := &bound{name: "l", route: "l"}
	b.WriteString("[rate_limit.l]\nkey = \"header:X-Client\"\n")
	kind := d.n(4)
	if p := &w.plan; p.fleet {
		kind = 4
	}
	switch kind {
	case 4:
		r := newRedis(w)
		w.actors = append(w.actors, r)
		l.burst, l.rate, l.fleet = float64(1+d.n(4)), float64(1+d.n(20)), true
		fmt.Fprintf(b, "rate = \"%v/s\"\nburst = %v\nscope = \"fleet\"\nfleet = \"exact\"\non_failure = \"deny\"\n"+
			"[redis]\naddress = %q\nconnect_timeout = \"100ms\"\n", l.rate, l.burst, r.at)
	case 0:
		l.burst, l.rate = float64(1+d.n(4)), float64(1+d.n(20))
		fmt.Fprintf(b, "rate = \"%v/s\"\nburst = %v\n", l.rate, l.burst)
	case 1:
		l.rate = float64(1 + d.n(10))
		l.burst = 2 * l.rate // a window counts what came before by its share
		fmt.Fprintf(b, "algorithm = \"sliding_window\"\nrate = \"%v/s\"\n", l.rate)
	case 2:
		l.inFlight = 1 + d.n(2)
		fmt.Fprintf(b, "algorithm = \"concurrency\"\nmax_in_flight = %d\n", l.inFlight)
	case 3:
		l.quota = 1 + d.n(8)
		fmt.Fprintf(b, "algorithm = \"quota\"\nquota = %d\nperiod = \"day\"\nfile = %q\n", l.quota, w.dir+"/l.quota")
	}
	w.plan.limits = append(w.plan.limits, l)
}

// discovered writes a pool whose targets come from a name server or a file.
func (w *world) discovered(d *draws, b *strings.Builder) {
	var all []netip.AddrPort
	for range 1 + d.n(2) {
		t := newTarget(w)
		w.actors = append(w.actors, t)
		all = append(all, t.at)
	}
	b.WriteString("[pool.found]\nresponse_timeout = \"2s\"\nstream_idle_timeout = \"3s\"\n")
	switch d.n(3) {
	case 0:
		n := newNames(w, all)
		w.actors = append(w.actors, n)
		fmt.Fprintf(b, "discover = { dns = \"a:app.sim:80\", servers = [%q], min_ttl = \"1s\" }\n", n.at)
	case 1:
		w.net.names["app.sim"] = all
		b.WriteString("targets = [\"app.sim:80\"]\nresolve_interval = \"1s\"\n")
	case 2:
		f := newTargetFile(w, all)
		w.actors = append(w.actors, f)
		fmt.Fprintf(b, "discover = { file = %q }\n", f.path)
	}
}
