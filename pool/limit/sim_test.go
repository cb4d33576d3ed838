//go:build !race

// One goroutine, and half a minute under the race detector, which would find nothing.

package limit

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// sim is a gateway with a limiter before one upstream, in virtual time: nothing in it waits for a clock.
type sim struct {
	now    int64 // nanoseconds
	seq    int   // orders events of one moment
	events events
	rng    *rand.Rand

	l        *Limiter // nil: no limit
	throttle *Throttle
	server   server
	load     func(now int64) float64 // requests a second
	patience time.Duration           // an answer that takes longer is worth nothing

	queued   []*request
	times    []time.Duration // of the answers since the last tick
	dropped  int             // attempts without an answer since the last tick
	lowest   int             // smallest limit seen
	seconds  []second
	maxUsed  int
	maxQueue int
}

// second is what happened in one second of the simulation.
type second struct {
	sent, good, late, shed int
	limit                  int
}

type request struct {
	arrived, sent int64
	w             *waiter
	given         bool // up: its place is given back
}

type event struct {
	at  int64
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.events, event{s.now + int64(d), s.seq, do})
}

// server answers at most `slots` requests at a time; others wait in it, and nobody can take them back. Each
// that waits makes the others slower by thrash.
type server struct {
	slots   int
	base    func(now int64) time.Duration // the mean time that an answer takes by itself
	spread  func(rng *rand.Rand) float64  // around the mean, which is 1
	thrash  float64
	refuses bool // rather than let wait

	busy    int
	backlog []func()
}

func (s *sim) serve(answer func(bool)) {
	v := &s.server
	run := func() {
		v.busy++
		slow := 1 + v.thrash*float64(len(v.backlog))/float64(v.slots)
		took := time.Duration(float64(v.base(s.now)) * v.spread(s.rng) * slow)
		s.after(took, func() {
			v.busy--
			answer(true)
			if len(v.backlog) > 0 {
				next := v.backlog[0]
				v.backlog = v.backlog[1:]
				next()
			}
		})
	}
	switch {
	case v.busy < v.slots:
		run()
	case v.refuses:
		answer(false)
	default:
		v.backlog = append(v.backlog, run)
	}
}

// capacity is how many requests a second the server can answer.
func (s *sim) capacity() float64 { return float64(s.server.slots) / s.server.base(s.now).Seconds() }

// run lets d pass.
func (s *sim) run(d time.Duration) {
	end := s.now + int64(d)
	for len(s.events) > 0 && s.events[0].at <= end {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
		s.admitted()
	}
	s.now = end
}

func (s *sim) begin() {
	s.lowest = math.MaxInt
	s.after(0, s.arrive)
	s.after(100*time.Millisecond, s.tick)
}

func (s *sim) this() *second {
	for int64(len(s.seconds)) <= s.now/int64(time.Second) {
		s.seconds = append(s.seconds, second{})
	}
	return &s.seconds[len(s.seconds)-1]
}

func (s *sim) arrive() {
	s.after(time.Duration(s.rng.ExpFloat64()/s.load(s.now)*1e9), s.arrive)
	s.this().sent++
	r := &request{arrived: s.now}
	switch {
	case s.throttle != nil && s.refused():
		s.this().shed++
	case s.l == nil || s.l.TryAcquire():
		s.send(r)
	default:
		if r.w = s.l.enter(s.now, ClassDefault, here); r.w == nil {
			s.this().shed++
			return
		}
		s.l.kick()
		s.queued = append(s.queued, r)
		s.maxQueue = max(s.maxQueue, s.l.Waiting())
		s.after(s.l.conf.Load().QueueTimeout, func() {
			if i := slices.Index(s.queued, r); i >= 0 && s.l.leave(r.w, TimedOut) == TimedOut {
				s.this().shed++
				s.queued = slices.Delete(s.queued, i, i+1)
			}
		})
	}
}

func (s *sim) refused() bool {
	refuse := s.throttle.Refuse(ClassDefault)
	if refuse {
		s.throttle.Request(0)
	}
	return refuse
}

// admitted sends those whose wait has ended.
func (s *sim) admitted() {
	if len(s.queued) == 0 || s.l.Waiting() == len(s.queued) {
		return
	}
	s.queued = slices.DeleteFunc(s.queued, func(r *request) bool {
		select {
		case v := <-r.w.done:
			if v == Admitted {
				s.send(r)
			} else {
				s.this().shed++
			}
			return true
		default:
			return false
		}
	})
}

// send asks the server; the place is given back when the answer comes or patience ends.
func (s *sim) send(r *request) {
	r.sent = s.now
	if s.l != nil {
		s.maxUsed = max(s.maxUsed, s.l.InFlight())
	}
	release := func() bool {
		if r.given {
			return false
		}
		r.given = true
		if s.l != nil {
			s.l.Release()
		}
		return true
	}
	s.serve(func(accepted bool) {
		if !release() {
			return
		}
		s.times = append(s.times, time.Duration(s.now-r.sent))
		s.count(accepted)
	})
	s.after(s.patience-time.Duration(s.now-r.arrived), func() {
		if release() {
			s.dropped++
			s.count(false)
		}
	})
}

// count counts how a request that was sent has ended.
func (s *sim) count(good bool) {
	if good {
		s.this().good++
	} else {
		s.this().late++
	}
	if s.throttle == nil {
		return
	}
	s.throttle.Request(0)
	if good {
		s.throttle.Accept(0)
	}
}

// tick is the beat of a pool's keeper.
func (s *sim) tick() {
	s.after(100*time.Millisecond, s.tick)
	if s.throttle != nil {
		s.throttle.Tick(s.now)
	}
	if s.l == nil {
		return
	}
	slices.Sort(s.times)
	sample := Sample{Count: len(s.times), Dropped: s.dropped}
	if n := len(s.times); n > 0 {
		sample.Typical = s.times[n/2]
	}
	s.times, s.dropped = s.times[:0], 0
	s.l.Tick(s.now, sample)
	s.this().limit = s.l.Limit()
	s.lowest = min(s.lowest, s.l.Limit())
}

// sum adds up the seconds from a on until b.
func (s *sim) sum(a, b int) (total second) {
	for _, x := range s.seconds[a:b] {
		total.sent, total.good = total.sent+x.sent, total.good+x.good
		total.late, total.shed = total.late+x.late, total.shed+x.shed
	}
	return total
}

// goodput is what was answered in time a second, from second a on until b.
func (s *sim) goodput(a, b int) float64 {
	return float64(s.sum(a, b).good) / float64(b-a)
}

// Spreads of the times a server takes.
func even(rng *rand.Rand) float64        { return 0.9 + 0.2*rng.Float64() }
func exponential(rng *rand.Rand) float64 { return rng.ExpFloat64() }

// twoKinds: every second answer takes a tenth.
func twoKinds(rng *rand.Rand) float64 { return [2]float64{0.18, 1.82}[rng.IntN(2)] }

func steady(d time.Duration) func(int64) time.Duration {
	return func(int64) time.Duration { return d }
}

func adaptive() *Config {
	return &Config{Adaptive: true, Min: 8, Max: 1000, Queue: 256, QueueTimeout: time.Second,
		QueueTarget: 100 * time.Millisecond}
}

func newSim(c *Config, spread func(*rand.Rand) float64, seed uint64) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(seed, 1)), patience: time.Second,
		server: server{slots: 50, base: steady(50 * time.Millisecond), spread: spread}}
	if c != nil {
		s.l = New(c)
	}
	return s
}

// The limiter at five times the load that the server can take, whatever the spread of its times and however
// many it serves at once: what it answers in time stays near what it can answer, where without a limit it
// collapses. At less than its capacity nothing is lost.
func TestAdaptiveOverload(t *testing.T) {
	f := func(c *Config, spread func(*rand.Rand) float64, slots int, load, least, most float64) {
		t.Helper()
		s := newSim(c, spread, uint64(slots))
		s.server.slots, s.server.thrash = slots, 0.1
		s.load = func(int64) float64 { return load * s.capacity() }
		s.begin()
		s.run(30 * time.Second)
		possible := s.capacity() * min(load, 1)
		got := s.goodput(15, 30) / possible
		if got < least || got > most {
			t.Errorf("%d slots, load %v: goodput %.2f of the possible, want %v to %v", slots, load, got, least, most)
		}
		if s.l != nil && (s.lowest < c.Min || s.maxQueue > c.Queue || s.maxUsed > c.Max) {
			t.Errorf("%d slots: limit from %d, up to %d in flight, %d wait", slots, s.lowest, s.maxUsed, s.maxQueue)
		}
	}
	for _, spread := range []func(*rand.Rand) float64{even, exponential, twoKinds} {
		for _, slots := range []int{10, 50, 200} {
			f(adaptive(), spread, slots, 5, 0.8, 1.1)
			f(nil, spread, slots, 5, 0, 0.2)
			f(adaptive(), spread, slots, 0.5, 0.95, 1.1)
			f(adaptive(), spread, slots, 0.9, 0.93, 1.1)
		}
	}
}

// stages runs the same server through stages of 20 s.
func stages(s *sim, stage ...func()) {
	for i, begin := range stage {
		begin()
		if i == 0 {
			s.begin()
		}
		s.run(20 * time.Second)
	}
}

// Load that goes and comes back, that stops altogether, or that the server does not answer for a while.
func TestAdaptiveLoadComesBack(t *testing.T) {
	f := func(spread func(*rand.Rand) float64, between float64) {
		t.Helper()
		s := newSim(adaptive(), spread, 7)
		at := func(share float64) func() {
			return func() { s.load = func(int64) float64 { return share * s.capacity() } }
		}
		stages(s, at(5), at(between), at(5))
		if got := s.goodput(45, 60) / s.capacity(); got < 0.8 {
			t.Errorf("%v between: goodput %.2f of the capacity when the load is back", between, got)
		}
		if got := s.goodput(25, 40); got < 0.9*between*s.capacity() {
			t.Errorf("%v between: goodput %.0f a second", between, got)
		}
	}
	for _, spread := range []func(*rand.Rand) float64{even, exponential, twoKinds} {
		f(spread, 0.3)
		f(spread, 0.01)
	}
}

// A server whose answers take longer for good, or shorter, or that serves more or fewer at once: the limit
// follows.
func TestAdaptiveFollows(t *testing.T) {
	f := func(spread func(*rand.Rand) float64, load float64, change func(*server), low, high int) {
		t.Helper()
		s := newSim(adaptive(), spread, 9)
		before := s.server
		s.load = func(int64) float64 { return load * s.capacity() }
		stages(s, func() {}, func() { change(&s.server) }, func() {
			s.server.base, s.server.slots = before.base, before.slots
		})
		changed := before
		change(&changed)
		for _, x := range []struct {
			server   server
			from, to int
		}{{before, 10, 20}, {changed, 30, 40}, {before, 50, 60}} {
			possible := float64(x.server.slots) / x.server.base(0).Seconds() * min(load, 1)
			if got := s.goodput(x.from, x.to) / possible; got < 0.8 {
				t.Errorf("load %v, seconds %d to %d: goodput %.2f of the possible", load, x.from, x.to, got)
			}
		}
		if l := s.seconds[39].limit; load > 1 && (l < low || l > high) {
			t.Errorf("limit %d after the change, want %d to %d", l, low, high)
		}
		if s.lowest < s.l.conf.Load().Min {
			t.Errorf("limit %d", s.lowest)
		}
	}
	longer := func(v *server) { v.base = steady(200 * time.Millisecond) }
	shorter := func(v *server) { v.base = steady(10 * time.Millisecond) }
	for _, load := range []float64{0.5, 3} {
		f(even, load, longer, 30, 150)
		f(exponential, load, longer, 20, 200)
		f(even, load, shorter, 30, 150)
		f(exponential, load, shorter, 20, 200)
		f(even, load, func(v *server) { v.slots = 10 }, 8, 60)
		f(even, load, func(v *server) { v.slots = 250 }, 150, 700)
	}
}

// Nothing comes back for a while: the limit falls to its least, no lower, and rises again.
func TestAdaptiveSurvivesSilence(t *testing.T) {
	s := newSim(adaptive(), even, 3)
	s.load = func(int64) float64 { return s.capacityOf(50 * time.Millisecond) }
	stages(s, func() {}, func() { s.server.base = steady(10 * time.Second) }, func() {
		s.server.base = steady(50 * time.Millisecond)
	})
	if s.lowest != 8 {
		t.Errorf("the limit fell to %d, want 8", s.lowest)
	}
	if got := s.goodput(50, 60) / s.capacity(); got < 0.8 {
		t.Errorf("goodput %.2f of the capacity when the server is back", got)
	}
}

func (s *sim) capacityOf(base time.Duration) float64 { return float64(s.server.slots) / base.Seconds() }

// An upstream that refuses what it cannot serve, and that pays for each refusal: with the throttle most of
// the refusing is done here, and when it recovers so do its clients.
func TestThrottleSim(t *testing.T) {
	f := func(seed uint64) {
		t.Helper()
		s := newSim(nil, even, seed)
		s.throttle = NewThrottle(admission())
		s.server.refuses = true
		slots := s.server.slots
		s.load = func(int64) float64 { return 0.8 * float64(slots) / s.server.base(0).Seconds() }
		s.begin()
		s.run(20 * time.Second)
		calm := s.sum(0, 20)
		s.server.slots = slots / 10 // it breaks: one in eight is accepted
		s.run(40 * time.Second)
		broken := s.sum(40, 60)
		s.server.slots = slots
		s.run(60 * time.Second)
		healed := s.sum(100, 120)
		if calm.shed > 0 || healed.shed > healed.sent/100 {
			t.Errorf("seed %d: refuses %d of a healthy upstream, %d of %d of a healed one", seed, calm.shed,
				healed.shed, healed.sent)
		}
		if asked := broken.sent - broken.shed; asked > 3*broken.good || asked < broken.good*3/2 {
			t.Errorf("seed %d: %d asked for %d good, want about twice", seed, asked, broken.good)
		}
		if possible := 20 * float64(slots/10) / s.server.base(0).Seconds(); float64(broken.good) < 0.8*possible {
			t.Errorf("seed %d: %d good of %.0f possible", seed, broken.good, possible)
		}
	}
	f(1)
	f(2)
	f(3)
}
