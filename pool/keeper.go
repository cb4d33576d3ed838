package pool

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/certs"
	"github.com/penstock-edge/penstock/pool/discovery"
	"github.com/penstock-edge/penstock/pool/guard"
	"github.com/penstock-edge/penstock/pool/health"
	"github.com/penstock-edge/penstock/pool/limit"
	"github.com/penstock-edge/penstock/pool/outcome"
	"github.com/penstock-edge/penstock/pool/outlier"
	"github.com/penstock-edge/penstock/pool/section"
)

// keeper is what the leading pool of a name does on its own: it checks its targets, resolves their names,
// looks for outliers, moves the limits, and finds new targets.
type keeper struct {
	p      *Pool
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when run has ended
	judge  outlier.Judge
	looked int64 // when the judge looked last, clock nanoseconds

	mu      sync.Mutex                     // guards watches
	watches map[*Target]context.CancelFunc // goroutines that look after one target
}

// start makes p the leader of its name.
func (p *Pool) start() {
	s := p.shared
	k := &keeper{p: p, done: make(chan struct{}), watches: map[*Target]context.CancelFunc{}}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	s.mu.Lock()
	before := s.keeper // not the leader's: it may be closed already, and its keeper still in a step
	p.keeper, s.keeper = k, k
	s.leader = p
	s.own.Set(p.conf.Own)
	s.follow()
	s.configure(p.conf)
	s.review()
	s.settle()
	s.mu.Unlock()
	p.reweigh() // orders may have come since it was built
	if before != nil {
		before.cancel()
	}
	k.follow()
	go k.run(before)
	if p.conf.TLS.Renewable() {
		r := certs.Renewer{Pool: p.Name, TLS: &p.conf.TLS, Renewed: p.certsRenewed, Refused: p.certsRefused,
			Changed: p.closeIdle}
		go r.Run(k.ctx)
	}
	if src := p.conf.Source; src != nil {
		go src.Run(k.ctx, func(eps []discovery.Endpoint, err error) {
			if k.ctx.Err() == nil {
				p.found(eps, err)
			}
		})
	}
}

// close ends what start began and lets go of the targets.
func (p *Pool) close() {
	if p.keeper != nil {
		p.keeper.cancel()
	}
	p.shared.leave(p)
	p.applying.Lock()
	p.closed = true
	p.applying.Unlock()
	for _, m := range p.set.Load().members {
		m.unhook()
	}
	p.shared.writer.Wait()
}

// closeIdle closes all idle connections to the targets.
func (p *Pool) closeIdle() {
	for _, m := range p.set.Load().members {
		m.closeIdle()
	}
}

// configure switches the guards on that conf asks for. What is switched off keeps its state. s.mu is held.
func (s *shared) configure(conf *section.Config) {
	g := &guard.Guards{}
	if conf.Breaker != nil {
		s.all.Breaker.Configure(conf.Breaker)
		g.Breaker = s.all.Breaker
	}
	if conf.Concurrency != nil {
		s.all.Limiter.Configure(conf.Concurrency)
		g.Limiter = s.all.Limiter
	}
	if conf.Admission != nil && conf.Admission.Enabled {
		s.all.Throttle.Configure(conf.Admission)
		g.Throttle = s.all.Throttle
	}
	s.guards.Store(g)
	h := conf.Hedge
	s.observes.Store(h != nil && h.Quantile > 0 || conf.Concurrency != nil && conf.Concurrency.Adaptive)
	switch {
	case h == nil:
		s.hedgeDelay.Store(0)
	case h.Quantile == 0:
		s.hedgeDelay.Store(int64(h.Fixed))
	}
	for _, t := range s.sorted() { // what is not looked for any more is no reason
		if conf.Health == nil {
			s.marked(t, isUnhealthy, false, "no checks any more")
		}
		if conf.Outlier == nil {
			s.marked(t, isEjected, false, "no ejection any more")
		}
		if conf.Breaker == nil || !conf.Breaker.PerTarget {
			s.marked(t, isBroken, false, "no breaker any more")
		}
	}
}

// follow begins to look after the targets that are new in the set, and ends it for those that are gone.
func (k *keeper) follow() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx.Err() != nil {
		return
	}
	now := map[*Target]bool{}
	for _, m := range k.p.set.Load().members {
		now[m.Target] = true
		if k.watches[m.Target] == nil {
			ctx, cancel := context.WithCancel(k.ctx)
			k.watches[m.Target] = cancel
			k.watch(ctx, m)
		}
	}
	for t, cancel := range k.watches {
		if !now[t] {
			cancel()
			delete(k.watches, t)
		}
	}
}

// watch starts what looks after one target.
func (k *keeper) watch(ctx context.Context, m *member) {
	if m.name.Named() {
		go m.name.Refresh(ctx, k.p.conf.ResolveInterval, k.p.Name)
	}
	h := k.p.conf.Health
	if h == nil {
		return
	}
	k.p.shared.mark(m.Target, isUnhealthy, !m.known.Usable(h), "not checked yet")
	to := health.Target{Address: m.Address, Host: m.host, Proxy: k.p.conf.Proxy}
	if k.p.conf.TLS.Enabled {
		to.TLS = func() *tls.Config { return k.p.conf.TLS.For(m.Address) }
	}
	if m.name.Named() {
		to.Dial = func(ctx context.Context) (net.Conn, error) {
			until, _ := ctx.Deadline()
			return m.name.Dial(ctx, until)
		}
	}
	c := health.NewChecker(h, to)
	go c.Run(ctx, &m.known, func(err error) { k.p.shared.checked(m, h, err) })
}

// checked takes in the result of an active check by the settings h. A reload may have come in between: it
// counts as long as the leader makes the same checks.
func (s *shared) checked(m *member, h *health.Config, err error) {
	if descriptors.Short(err) { // says nothing of the target
		s.lacks("a check of a target", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil || s.targets[m.key] != m.Target {
		return
	}
	if now := s.leader.conf.Health; now == nil || !now.Same(h) {
		return
	}
	if !m.known.Report(h, err, !s.anyUsable(), time.Now()) {
		return
	}
	why := "check passed"
	if err != nil {
		why = "check failed: " + err.Error()
	}
	if err == nil && m.reasons&isUnhealthy != 0 && m.ejection.Over(math.MaxInt64) {
		s.marked(m.Target, isEjected, false, "it was dead, and a check finds it back")
	}
	s.marked(m.Target, isUnhealthy, !m.known.Usable(h), why)
}

// beat is how often the limits move.
const beat = 100 * time.Millisecond

// run does what is done from time to time: often where the pool has something that moves, else only closing
// idle connections.
func (k *keeper) run(before *keeper) {
	defer close(k.done)
	if before != nil {
		<-before.done // one at a time moves what is shared
	}
	p := k.p
	every := max(p.conf.IdleTimeout/4, beat)
	if p.store.Dir != "" && p.conf.Source != nil {
		every = min(every, keepEvery)
	}
	if p.moves() {
		every = beat
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	reaped := clock.Now()
	kept := reaped
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-tick.C:
		}
		now := clock.Now()
		if now-reaped >= int64(p.conf.IdleTimeout)/4 {
			reaped = now
			before := now - int64(p.conf.IdleTimeout) // negative at first: nothing is that old
			p.shared.each(func(t *Target) { t.transport.Retire(before) })
		}
		if p.conf.Source != nil && now-kept >= int64(keepEvery) {
			kept = now
			p.keep()
		}
		if every == beat {
			k.contained(now)
		}
	}
}

// contained is step. A mistake in it must not end the process, which serves requests.
func (k *keeper) contained(now int64) {
	var f *edge.Fault // written to the log by Contain
	defer edge.Contain(&f)
	k.step(now)
}

// moves reports whether something in the pool changes with time.
func (p *Pool) moves() bool {
	c := p.conf
	return c.Balance == "ewma" || c.SlowStart > 0 && c.Changes() || c.Retry != nil || c.Hedge != nil ||
		c.Outlier != nil || c.Breaker != nil || c.Concurrency != nil || c.Admission != nil
}

// sorted returns all targets, in an order that repeats. s.mu is held.
func (s *shared) sorted() []*Target {
	return slices.SortedFunc(maps.Values(s.targets),
		func(a, b *Target) int { return strings.Compare(a.Address, b.Address) })
}

// each calls f for every target.
func (s *shared) each(f func(*Target)) {
	s.mu.Lock()
	all := s.sorted()
	s.mu.Unlock()
	for _, t := range all {
		f(t)
	}
}

// step is one beat.
func (k *keeper) step(now int64) {
	s, conf := k.p.shared, k.p.conf
	s.budget.Tick(now, s.requests.Sum())
	if s.observes.Load() {
		s.recent.Look()
		if h := conf.Hedge; h != nil && h.Quantile > 0 {
			s.hedgeDelay.Store(int64(s.recent.Quantile(h.Quantile)))
		}
	}
	g := s.guards.Load()
	if g.Limiter != nil {
		k.tickLimiter(g.Limiter, now)
	}
	if g.Throttle != nil {
		g.Throttle.Tick(now)
	}
	members := k.p.set.Load().members
	for _, m := range members {
		if m.inFlight.Load() == 0 {
			m.pace.Decay(now) // a target that hangs has not become faster
		}
	}
	k.warm(members, now)
	if conf.Outlier != nil {
		k.readmit(members, now)
		if now-k.looked >= int64(conf.Outlier.Interval) {
			k.looked = now
			k.look(members)
		}
	}
	if conf.Breaker != nil && conf.Breaker.PerTarget {
		k.reopen(members)
	}
}

// tickLimiter gives the limiter what it decides by.
func (k *keeper) tickLimiter(l *limit.Limiter, now int64) {
	s := k.p.shared
	typical, n := s.recent.Latest(0.5)
	dropped := s.dropped.Sum()
	l.Tick(now, limit.Sample{Count: n, Typical: typical, Dropped: int(dropped - s.droppedSeen)})
	s.droppedSeen = dropped
}

// warm moves the targets that are in their slow start.
func (k *keeper) warm(members []*member, now int64) {
	window := int64(k.p.conf.SlowStart)
	for _, m := range members {
		r := m.ramp.Load()
		if r == 0 {
			continue
		}
		k.p.shared.mu.Lock()
		since := now - m.warmFrom
		k.p.shared.mu.Unlock()
		share := uint32(0)
		if since < window {
			share = max(rampLeast, uint32(since*65536/window))
		}
		m.ramp.Store(share)
	}
}

// readmit ends ejections whose time is over.
func (k *keeper) readmit(members []*member, now int64) {
	for _, m := range members {
		if m.state.Load()&isEjected != 0 || m.ejection.Until() > 0 {
			k.readmitOne(m, now)
		}
	}
}

func (k *keeper) readmitOne(m *member, now int64) {
	s := k.p.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.reasons&isEjected != 0 && m.ejection.Over(now) {
		s.marked(m.Target, isEjected, false, "its time is over")
	}
}

// look compares the targets with each other.
func (k *keeper) look(members []*member) {
	samples := make([]outlier.Sample, len(members))
	for i, m := range members {
		samples[i] = m.sample()
	}
	for _, v := range k.judge.Look(k.p.conf.Outlier, samples) {
		members[v.Index].eject(v.Why)
	}
}

// sample is what the judge goes by.
func (m *member) sample() outlier.Sample {
	s := outlier.Sample{Key: m.key, Latency: m.pace.Value(), Usable: m.state.Load() == 0}
	ok := m.outcomes[outcome.OK].Sum()
	s.Errors = m.outcomes[outcome.Error].Sum()
	for _, o := range []outcome.Outcome{outcome.Connect, outcome.Reset, outcome.Timeout, outcome.Protocol} {
		s.GatewayErrors += m.outcomes[o].Sum()
	}
	s.Requests = ok + s.Errors + s.GatewayErrors
	return s
}

// stumbled takes in an attempt that failed.
func (m *member) stumbled(x *edge.Exchange, o outcome.Outcome, f *edge.Fault, status int) {
	kind := outlier.TargetError
	if o != outcome.Error {
		kind = outlier.GatewayError
		m.pool.shared.dropped.Inc(x.Lane)
	}
	m.stumble.Note(f, status)
	run := m.streak.Error(kind)
	if c := m.pool.conf.Outlier; c != nil && outlier.Tripped(c, kind, run) && m.state.Load()&isEjected == 0 {
		_, what := m.stumble.Get()
		m.eject(fmt.Sprintf("%d errors in a row, the last one: %s", run, what))
	}
}

// eject takes m out for a while, unless too many are out already.
func (m *member) eject(why string) {
	p := m.pool
	s := p.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.reasons&isEjected != 0 || p.conf.Outlier == nil || s.leader == nil {
		return
	}
	out, all := 0, s.leader.set.Load().members
	for _, other := range all {
		if other.reasons&isEjected != 0 {
			out++
		}
	}
	if !outlier.Allowed(p.conf.Outlier, len(all), out) {
		return
	}
	m.ejection.Eject(p.conf.Outlier, clock.Now())
	m.ejections.Inc(0)
	m.streak.Success() // it begins anew when it comes back
	s.marked(m.Target, isEjected, true, why)
}

// report passes to the target's own breaker how an attempt ended.
func (m *member) report(b *breaker.Breaker, permit breaker.Permit, x *edge.Exchange, o outcome.Outcome) {
	at := x.Times.Done
	if at == 0 {
		at = clock.Now()
	}
	switch o {
	case outcome.Client, outcome.Cancelled, outcome.Gateway:
		b.Cancel(permit)
	default:
		b.Done(at, permit, o != outcome.OK, time.Duration(x.Times.Answer-x.Times.Sent))
	}
}

// reopen lets targets be chosen again whose breaker may be tried.
func (k *keeper) reopen(members []*member) {
	now := clock.Now()
	for _, m := range members {
		if m.breaker != nil && m.state.Load()&isBroken != 0 && m.breaker.Ripe(now) {
			k.p.shared.mark(m.Target, isBroken, false, "its breaker may be tried")
		}
	}
}
