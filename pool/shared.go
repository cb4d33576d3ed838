package pool

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/budget"
	"github.com/penstock-edge/penstock/pool/discovery"
	"github.com/penstock-edge/penstock/pool/guard"
	"github.com/penstock-edge/penstock/pool/h1"
	"github.com/penstock-edge/penstock/pool/kept"
	"github.com/penstock-edge/penstock/pool/limit"
	"github.com/penstock-edge/penstock/pool/order"
	"github.com/penstock-edge/penstock/pool/own"
	"github.com/penstock-edge/penstock/pool/queue"
	"github.com/penstock-edge/penstock/pool/recent"
	"github.com/penstock-edge/penstock/pool/resolve"
	"github.com/penstock-edge/penstock/pool/section"
	"github.com/penstock-edge/penstock/pool/transport"
)

// shared is what the pools of one name have in common over all generations: targets and all that is known of
// them, the guards, the budget. The pool of the newest generation leads: its settings hold, and it alone
// checks, ejects and discovers.
type shared struct {
	name  string
	files *descriptors.Budget
	short descriptors.Notice // of files
	over  maker              // makes the way to a target
	h1    h1.Common          // of targets that are asked over HTTP/1

	guards   atomic.Pointer[guard.Guards] // those that the leader has switched on; never nil
	all      guard.Guards                 // all there are; they outlive being switched off
	requests *lanes.Counter               // exchanges admitted or refused, for the budget
	dropped  *lanes.Counter               // attempts that failed for other reasons than the target's answer
	budget   budget.Budget
	recent   recent.Times // to the head of an answer
	observes atomic.Bool  // recent is wanted
	// hedgeDelay: nanoseconds after which an attempt gets another one at its side; 0: never, or not known yet.
	hedgeDelay atomic.Int64

	own own.Addresses // of the gateway, by the leader's file

	queue    queue.Queue[place]   // requests that found no free connection
	lead     atomic.Pointer[Pool] // whose targets they wait for: the leader, or the newest there is; nil: none
	attended atomic.Bool          // attend runs

	mu         sync.Mutex // guards what follows, and the fields of targets that say so
	targets    map[string]*Target
	live       []*Pool                         // of generations that have not closed, oldest first
	leader     *Pool                           // nil before the first start
	keeper     *keeper                         // the one started last, though its pool may be closed by now
	found      map[string][]discovery.Endpoint // the last good answer, by source
	foundAt    time.Time                       // when; the zero time: never
	keptAt     map[string]time.Time            // likewise, of those kept from before the start
	findFailed error                           // of the last answer; nil: it was a good one
	orders     map[string]*order.Order         // of the admin API, by address
	panicking  bool
	stickyKey  [32]byte

	droppedSeen uint64 // of dropped; the keeper's

	writer kept.Writer // of the last good targets
}

// maker makes the way to a target for which there is none yet.
type maker func(t *Target, conf *section.Config) transport.Transport

// overHTTP1 is the maker of pools whose targets speak HTTP/1.
func overHTTP1(t *Target, conf *section.Config) transport.Transport {
	return h1.New(&t.shared.h1, t.Address, t.name, conf.Proxy, min(conf.MaxConnections, maxIdle))
}

func newShared(name string, files *descriptors.Budget, over maker) *shared {
	s := &shared{name: name, files: files, over: over,
		requests: lanes.NewCounter(), dropped: lanes.NewCounter(),
		targets: map[string]*Target{}, found: map[string][]discovery.Endpoint{}, keptAt: map[string]time.Time{},
		orders: map[string]*order.Order{}}
	s.all = guard.Guards{Breaker: breaker.New(&breaker.Config{}, s.breakerChanged),
		Limiter: limit.New(&limit.Config{}), Throttle: limit.NewThrottle(&limit.AdmissionConfig{})}
	s.guards.Store(&guard.Guards{})
	s.own.Pool = name
	s.h1 = h1.Common{Pool: name, Files: files, Lacks: s.lacks, CloseIdle: func() { s.each((*Target).closeIdle) }}
	chance.Read(s.stickyKey[:])
	return s
}

// lacks writes, once a minute, that the gateway had no descriptor or memory for something.
func (s *shared) lacks(what string, err error) {
	if n, due := s.short.Due(); due {
		slog.Error("the gateway has no descriptors or memory left", "for", what, "pool", s.name, "error", err,
			"count", n, "limit", s.files.Limit(), "hint", "raise LimitNOFILE, or lower max_connections")
	}
}

// breakerChanged writes the one line about a change of the pool's breaker.
func (s *shared) breakerChanged(from, to breaker.State, why string) {
	slog.Warn("breaker "+to.String(), "pool", s.name, "from", from.String(), "why", why)
}

// acquire returns the target with this key, made if there is none; joined is true when it was made for a
// pool that had targets before.
func (s *shared) acquire(key string, spec section.Target, conf *section.Config) (t *Target, joined bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t = s.targets[key]
	if t == nil {
		joined = s.leader != nil
		t = &Target{Address: spec.Address, name: resolve.New(spec.Address, s.own.Is), shared: s, key: key}
		t.transport = s.over(t, conf)
		t.own = breaker.New(&breaker.Config{}, func(_, to breaker.State, why string) {
			s.mark(t, isBroken, to == breaker.Open, "its breaker is "+to.String()+": "+why)
		})
		t.since = time.Now()
		if why := s.orders[spec.Address].Closes(&spec); why != "" { // from its first moment on
			t.reasons, t.why, t.drainFrom = isDrained, why, clock.Now()
			t.state.Store(isDrained)
		}
		s.targets[key] = t
	}
	t.refs++
	return t, joined
}

// release lets go of a target; the last one to do so closes its connections.
func (s *shared) release(t *Target) {
	s.mu.Lock()
	t.refs--
	last := t.refs == 0
	if last {
		delete(s.targets, t.key)
	}
	s.mu.Unlock()
	if last {
		t.drop()
	}
}

// Why a target is not chosen: bits of Target.reasons.
const (
	isDrained uint32 = 1 << iota
	isUnhealthy
	isEjected
	isBroken // its own breaker is open
)

// mark sets or clears one reason not to choose t and writes a line when that changes anything.
func (s *shared) mark(t *Target, reason uint32, on bool, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marked(t, reason, on, why)
}

// marked is mark while s.mu is held.
func (s *shared) marked(t *Target, reason uint32, on bool, why string) {
	was := t.reasons
	if t.reasons |= reason; !on {
		t.reasons &^= reason
	}
	if t.reasons == was {
		return
	}
	t.since, t.why = time.Now(), why
	if reason == isDrained {
		t.drainFrom = 0
		if on {
			t.drainFrom = clock.Now()
		}
	}
	from, to := stateName(was), stateName(t.reasons)
	if from != to {
		slog.Warn("target "+to, "pool", s.name, "target", t.Address, "from", from, "why", why)
	}
	none := !s.anyUsable()
	if t.reasons == 0 {
		s.warmUp(t)
	}
	s.settle()
	if was != 0 && t.reasons == 0 && none {
		s.all.Breaker.Trial(clock.Now()) // there is somebody to ask again
	}
}

// stateName returns the name of the state that reasons make, the weightiest first.
func stateName(reasons uint32) string {
	switch {
	case reasons&isDrained != 0:
		return "drained"
	case reasons&isUnhealthy != 0:
		return "unhealthy"
	case reasons&isEjected != 0:
		return "ejected"
	case reasons&isBroken != 0:
		return "broken"
	}
	return "healthy"
}

// warmUp begins the slow start of t, which has just become usable. s.mu is held.
func (s *shared) warmUp(t *Target) {
	if s.leader != nil && s.leader.conf.SlowStart > 0 {
		t.warmFrom = clock.Now()
		t.ramp.Store(rampLeast)
	}
}

// rampLeast is the share of its picks that a target takes when its slow start begins, of 65536: a tenth.
const rampLeast = 6554

// anyUsable reports whether the leader's pool has a target that may be chosen. s.mu is held.
func (s *shared) anyUsable() bool {
	if s.leader == nil {
		return true
	}
	for _, m := range s.leader.set.Load().members {
		if m.state.Load() == 0 {
			return true
		}
	}
	return false
}

// settle computes from the reasons what the choice goes by: the state of each target, whether the pool is in
// panic, and which sets leave their zone. s.mu is held.
func (s *shared) settle() {
	usable, total := s.countUsable()
	conf := &section.Config{}
	if s.leader != nil {
		conf = s.leader.conf
	}
	panicking := usable*100 < conf.PanicPercent*total
	if panicking != s.panicking {
		s.panicking = panicking
		what := "enough targets are usable again"
		if panicking {
			what = "too few targets are usable: all are tried"
		}
		slog.Warn(what, "pool", s.name, "usable", usable, "targets", total)
	}
	ignored := uint32(0)
	switch {
	case panicking:
		ignored = ^isDrained
	case usable == 0:
		ignored = isEjected // better a target that errs than none
	}
	for _, t := range s.targets {
		t.state.Store(t.reasons &^ ignored)
		t.stayUntil.Store(t.drainFrom + int64(conf.DrainTimeout))
	}
	for _, p := range s.live {
		p.settleZone()
	}
	s.changed()
}

// countUsable counts the leader's targets that nothing speaks against, and all that are not drained, in both
// cases without backups as long as there are others. s.mu is held.
func (s *shared) countUsable() (usable, total int) {
	if s.leader == nil {
		return 1, 1
	}
	for _, backups := range []bool{false, true} {
		for _, m := range s.leader.set.Load().members {
			if m.spec.Backup != backups || m.reasons&isDrained != 0 {
				continue
			}
			total++
			if m.reasons == 0 {
				usable++
			}
		}
		if total > 0 && usable > 0 {
			break
		}
	}
	return usable, total
}

// settleZone sends requests to other zones while too few targets of the own one are usable. s.mu is held.
func (p *Pool) settleZone() {
	s := p.set.Load()
	if p.zone == "" || s == nil || s.chooser == nil {
		return
	}
	var usable, total int64
	for _, m := range s.members {
		if m.spec.Zone == p.zone && !m.spec.Backup {
			total += int64(m.weight)
			if m.state.Load() == 0 {
				usable += int64(m.weight)
			}
		}
	}
	s.chooser.Spill(usable*100 < int64(p.conf.ZoneMinPercent)*total)
}

// join adds a pool that was built.
func (s *shared) join(p *Pool) {
	s.mu.Lock()
	s.live = append(s.live, p)
	s.follow()
	s.settle()
	s.mu.Unlock()
}

// leave removes a pool that closes.
func (s *shared) leave(p *Pool) {
	s.mu.Lock()
	if i := slices.Index(s.live, p); i >= 0 {
		s.live = slices.Delete(s.live, i, i+1)
	}
	if s.leader == p {
		s.leader = nil
	}
	s.follow()
	s.changed()
	s.mu.Unlock()
}

// follow notes whose targets requests wait for. s.mu is held.
func (s *shared) follow() {
	p := s.leader
	if n := len(s.live); p == nil && n > 0 {
		p = s.live[n-1]
	}
	s.lead.Store(p)
}
