package pool

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/pool/balance"
	"github.com/penstock-edge/penstock/pool/fixed"
	"github.com/penstock-edge/penstock/pool/hashkey"
	"github.com/penstock-edge/penstock/pool/kept"
	"github.com/penstock-edge/penstock/pool/outcome"
	"github.com/penstock-edge/penstock/pool/queue"
	"github.com/penstock-edge/penstock/pool/section"
	"github.com/penstock-edge/penstock/pool/ticket"
)

// Feature makes the [pool.NAME] sections and routes' `pool` key work.
var Feature = edge.Feature{Name: "pools", Answers: []string{"pool"}, New: build}

// pools are all pools of one generation.
type pools struct {
	list  []*Pool
	first bool // of the process: nothing is served yet
	files *descriptors.Budget
}

// connections returns how many connections there may be to all targets; 0: that is not known, since some are
// found by name.
func (ps *pools) connections() (n int) {
	for _, p := range ps.list {
		for _, t := range p.conf.Members {
			if _, err := netip.ParseAddrPort(t.Address); err != nil && !strings.HasPrefix(t.Address, "unix:") {
				return 0
			}
			n += p.conf.MaxConnections
		}
		if p.conf.Source != nil {
			return 0
		}
	}
	return n
}

func build(h *edge.Host) *edge.Instance { return buildOver(h, overHTTP1) }

// buildOver builds the pools of a generation, whose targets are asked over what the maker makes.
func buildOver(h *edge.Host, over maker) *edge.Instance {
	ps := &pools{}
	series := newSeries(h.Metrics)
	var server struct {
		// Where this gateway runs: targets of the same zone are preferred.
		Zone string `toml:"zone"`
	}
	h.Config.Server.Table.Decode(&server)
	if dir := h.Config.Server.StateDir; dir != "" && !filepath.IsAbs(dir) {
		h.Config.Server.Table.Errorf("state_dir", "must be a path that begins with /, is %q", dir)
	}
	own := h.Config.Own()
	ps.first = h.Current == nil || h.Current.Load() == nil
	for _, t := range h.Config.File.Root.Children("pool") {
		p := newPool(h, t, series, server.Zone, own, over)
		ps.list = append(ps.list, p)
		h.Offer(p.Name, p)
	}
	ps.linkFallbacks(h)
	ps.admin(h)
	ps.files, _ = edge.Keep(h.State, descriptors.Key, descriptors.New, nil) // New does not fail
	return &edge.Instance{
		Route:   func(r *edge.RouteSetup) { ps.route(h, r) },
		Open:    ps.open,
		Start:   ps.start,
		Status:  ps.status,
		Unready: ps.unready,
		Close:   ps.close,
	}
}

// linkFallbacks finds the pools that others fall back on. They may not go in a circle.
func (ps *pools) linkFallbacks(h *edge.Host) {
	for _, p := range ps.list {
		f := p.conf.Fallback
		switch {
		case f == nil:
		case f.Pool != "":
			p.fallback = h.Upstream(f.Table, "pool", f.Pool)
		case f.Status != 0:
			p.fallbackTo = fixed.New(f)
		}
	}
	for _, p := range ps.list {
		next, _ := p.fallback.(*Pool)
		for range ps.list {
			if next == nil {
				break
			}
			if next == p {
				p.conf.Fallback.Table.Errorf("pool", "pools fall back on each other in a circle")
				break
			}
			next, _ = next.fallback.(*Pool)
		}
	}
}

func (ps *pools) route(h *edge.Host, r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	if slices.ContainsFunc(ps.list, func(p *Pool) bool { return p.sticky != nil }) {
		r.Add(edge.Respond, stick{}) // which pool answers, a split or a fallback decides
	}
	var keys struct {
		// true: a POST and the like may reach a target twice.
		RetryUnsafe bool `toml:"retry_unsafe" default:"false"`
		// forward: the target decides whether a client sends its body (100, 417).
		Expect string `toml:"expect" default:"local" enum:"local|forward"`
	}
	r.Table.Decode(&keys)
	r.Plan.RetryUnsafe = keys.RetryUnsafe
	r.Plan.ForwardExpect = keys.Expect == "forward"
	if r.Plan.ForwardExpect {
		r.Note("expect", "forward")
	}
	if keys.RetryUnsafe {
		r.Note("retry_unsafe", "true")
	}
	if !r.Table.Has("pool") {
		return
	}
	v, _ := r.Table.Value("pool")
	name, ok := v.String()
	if !ok {
		return // config has reported that it must be a string
	}
	r.Answers("pool")
	r.Plan.Upstream = h.Upstream(r.Table, "pool", name)
	r.Note("pool", name)
}

// series are the metrics of all pools, prepared once for a scope.
type series struct {
	retries, refused, hedges, hedgeWon *metric.Counters
	mended                             *metric.Counters
	latency                            *metric.Histograms
	outcomes, ejections, waits         *metric.Counters
}

func newSeries(m *metric.Scope) *series {
	return &series{
		retries: m.Counters("penstock_retries_total", "Attempts that repeated a failed one.", "pool"),
		refused: m.Counters("penstock_retry_budget_refusals_total",
			"Retries and hedges that the budget did not allow.", "pool"),
		hedges: m.Counters("penstock_hedges_total", "Attempts made at the side of a slow one.", "pool"),
		hedgeWon: m.Counters("penstock_hedges_won_total",
			"Attempts made at the side of a slow one that were faster.", "pool"),
		mended: m.Counters("penstock_upstream_heads_mended_total",
			"Heads of answers with lines that end in LF alone or are folded, sent on clean.", "pool"),
		latency: m.Histograms("penstock_upstream_duration_seconds",
			"Time from choosing a target to the head of its answer.", metric.DefaultBounds(), "pool"),
		outcomes: m.Counters("penstock_upstream_requests_total", "Attempts by how they ended.",
			"pool", "target", "outcome"),
		waits: m.Counters("penstock_pool_waits_total",
			"Requests that found no free connection, by how their wait for one ended.", "pool", "outcome"),
		ejections: m.Counters("penstock_target_ejections_total", "How often a target was taken out as an outlier.",
			"pool", "target"),
	}
}

func newPool(h *edge.Host, t *config.Table, s *series, zone string, own *config.Own, over maker) *Pool {
	p := &Pool{Name: t.Name(), zone: zone, series: s, metrics: h.Metrics,
		store: kept.Store{Dir: h.Config.Server.StateDir, Pool: t.Name()}}
	p.conf = section.Read(t, own)
	if d := p.conf.Discover; d != nil && h.Dry {
		d.CheckFile(t.Child("discover"))
	}
	p.set.Store(&set{})
	files, _ := edge.Keep(h.State, descriptors.Key, descriptors.New, nil) // New does not fail
	fresh := func() (*shared, error) { return newShared(p.Name, files, over), nil }
	p.shared, _ = edge.Keep(h.State, "pool/"+p.Name, fresh, nil) // fresh does not fail
	p.retries, p.latency = s.retries.With(p.Name), s.latency.With(p.Name)
	p.conf.Transport.Mended = s.mended.With(p.Name)
	p.refused, p.hedges, p.hedgeWon = s.refused.With(p.Name), s.hedges.With(p.Name), s.hedgeWon.With(p.Name)
	for v := range queue.Verdicts {
		p.waits[v] = s.waits.With(p.Name, v.String())
	}
	p.seed = balance.HashKey(0, []byte(p.conf.HashSeed.Reveal()+p.Name))
	p.key = hashkey.New(p.conf, p.seed)
	if p.conf.Sticky != nil {
		p.sticky = ticket.NewCookie(p.conf.Sticky, p.shared.stickyKey[:])
		p.conflicts = h.Metrics.Counter("penstock_sticky_cookie_conflicts_total",
			"Answers whose application has a cookie of the sticky name itself: the client has theirs.",
			"pool", p.Name)
	}
	p.shared.own.SetFirst(own) // else that of the leader, until p starts
	p.gauges(h.Metrics)
	if !slices.Contains(balance.Kinds(), p.conf.Balance) {
		return p // an error of the file that has been recorded
	}
	var members []*member
	for i, spec := range p.specs(p.known()) {
		if i < len(p.conf.Members) {
			members = append(members, p.newMember(spec, h.Metrics, s))
		} else {
			members = append(members, p.newMember(spec, nil, nil))
		}
	}
	set, err := p.newSet(members)
	if err != nil {
		t.Errorf("targets", "%s", err)
	}
	p.set.Store(set)
	p.shared.join(p)
	return p
}

// newMember makes a member for a target. One that was discovered, and may go before its generation does,
// has a scope of its own for its series; m and s are nil then.
func (p *Pool) newMember(spec section.Target, m *metric.Scope, s *series) *member {
	var own *metric.Scope
	if m == nil {
		own = p.metrics.Sub()
		m, s = own, newSeries(own)
	}
	b := &member{pool: p, spec: spec, host: p.conf.HostFor(spec.Address)}
	var joined bool
	b.Target, joined = p.shared.acquire(p.conf.KeyOf(spec.Address), spec, p.conf)
	if joined && p.conf.SlowStart > 0 {
		p.shared.mu.Lock()
		p.shared.warmUp(b.Target)
		p.shared.mu.Unlock()
	}
	if p.conf.Breaker != nil && p.conf.Breaker.PerTarget {
		b.breaker = b.own
		b.own.Configure(p.conf.Breaker)
	}
	if p.sticky != nil {
		b.cookie, b.cookieTLS = p.sticky.Lines(p.Name, spec.Address)
	}
	for o := range outcome.Count {
		b.outcomes[o] = s.outcomes.With(p.Name, spec.Address, o.String())
	}
	b.ejections = s.ejections.With(p.Name, spec.Address)
	b.gauges(m)
	b.unhook = func() {
		p.shared.release(b.Target)
		if own != nil {
			own.Close()
		}
	}
	return b
}

// maxIdle bounds how many idle connections of one target are kept.
const maxIdle = 4096

func (ps *pools) start() {
	for _, p := range ps.list {
		p.start()
	}
}

// open waits for the first answer of discoveries that have none yet, though not for ever: the gateway
// should not refuse the requests of its first milliseconds.
func (ps *pools) open() {
	ps.files.Want(ps.connections())
	wait := findWait
	if ps.first {
		wait = startWait
	}
	var wg sync.WaitGroup
	for _, p := range ps.list {
		if p.conf.Source != nil && len(p.known()) == 0 {
			wg.Go(func() { p.findFirst(wait) })
		}
	}
	wg.Wait()
}

// unready names the pools that have not found their targets; "": all have.
func (ps *pools) unready() string {
	var all []string
	for _, p := range ps.list {
		if why := p.unready(); why != "" {
			all = append(all, why)
		}
	}
	return strings.Join(all, "; ")
}

func (ps *pools) close() {
	for _, p := range ps.list {
		p.close()
	}
}
