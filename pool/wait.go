package pool

import (
	"sync"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/pool/queue"
	"github.com/penstock-edge/penstock/pool/transport"
)

// place is what a request waits for, at m. in is the set that m is of.
type place struct {
	in *set
	m  *member
	a  *transport.Attempt
}

// waiter is a request that found no place. It waits for the pool, not for one target: what becomes free first
// of all that may serve it does. Its fields do not change while it is in the queue.
type waiter struct {
	queue.Waiter[place]
	x    *edge.Exchange
	only *Target // which its client is tied to, as long as that may be asked; nil: none
	shun *Target // whose own breaker has refused it, until
	till int64   // this moment, clock nanoseconds
}

var waiters = sync.Pool{New: func() any { return new(waiter) }}

// Gone implements queue.Client.
func (w *waiter) Gone() bool { return w.x.Conn.Gone() }

// Wants implements queue.Client.
func (w *waiter) Wants(p place) bool {
	m, shun := p.m, w.shun
	if shun != nil && clock.Now() >= w.till {
		shun = nil
	}
	if m.Target == shun || !m.welcomes(clock.Now()) {
		return false
	}
	if w.only != nil && w.only != shun {
		if tied := p.in.of[w.only]; tied != nil && tied.welcomes(clock.Now()) {
			return tied == m
		}
	}
	return m.state.Load() == 0 && p.in.best(w.x, m) && (w.x.Attempts > 0 || !p.in.chooser.AtBound(m.index))
}

// lookEach is how often attend looks whether the clients of waiters are still there.
const lookEach = 100 * time.Millisecond

// wait queues x until a place is free that may serve it: the member is claimed for x then.
func (p *Pool) wait(x *edge.Exchange) (*member, *edge.Fault) {
	w := waiters.Get().(*waiter)
	defer waiters.Put(w)
	defer w.forget()
	w.x = x
	if m := p.tied(x, p.set.Load()); m != nil {
		w.only = m.Target
	}
	began := clock.Now()
	until := began + int64(p.conf.WaitTimeout)
	if x.Deadline > 0 {
		until = min(until, x.Deadline)
	}
	q := &p.shared.queue
	q.Join(&w.Waiter, w, until)
	for {
		p.shared.serve()
		o := queue.Outcome[place]{Verdict: queue.Full}
		if q.Stay(&w.Waiter, p.conf.MaxWaiting, clock.Now()) {
			o = p.shared.watch(w, until)
		}
		if m, f := p.ended(w, o); m != nil || f != nil {
			x.Times.Wait += clock.Now() - began
			return m, f
		}
		q.Back(&w.Waiter)
	}
}

func (w *waiter) forget() { w.x, w.only, w.shun = nil, nil, nil }

// watch returns when the wait of w has ended, or ends it when its time is over.
func (s *shared) watch(w *waiter, until int64) queue.Outcome[place] {
	if s.attended.CompareAndSwap(false, true) {
		go s.attend()
	}
	timer := time.NewTimer(time.Duration(until - clock.Now()))
	defer timer.Stop()
	select {
	case o := <-w.Ended():
		return o
	case <-timer.C:
		return s.queue.Leave(&w.Waiter, queue.TimedOut)
	}
}

// attend looks after all waiters, as long as there are any: those whose client has left are out. What a
// waiter wants may change without an event too: others have become busier (Crowded), a breaker takes probes
// again.
func (s *shared) attend() {
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for {
		<-tick.C
		s.queue.Sweep(clock.Now())
		s.serve()
		if s.queue.Len() > 0 {
			continue
		}
		s.attended.Store(false)
		if s.queue.Len() == 0 || !s.attended.CompareAndSwap(false, true) {
			return // after the line above: a new waiter looks whether somebody attends
		}
	}
}

// ended takes in how a wait has ended: neither a member nor a fault means that it goes on.
func (p *Pool) ended(w *waiter, o queue.Outcome[place]) (m *member, f *edge.Fault) {
	x := w.x
	switch o.Verdict {
	case queue.Served:
		m = o.Place.m
		switch {
		case w.Gone():
			m.giveBack(o.Place.a)
			o.Verdict, m, f = queue.Left, nil, edge.ClientGone
		case !m.permit(x):
			w.shun, w.till = m.Target, clock.Now()+int64(lookEach)
			m.giveBack(o.Place.a)
			return nil, nil
		default:
			x.Held = o.Place.a
			m.note(x)
		}
	case queue.Full:
		f = edge.PoolBusy
	case queue.TimedOut:
		f = edge.PoolWait
	case queue.Left:
		f = edge.ClientGone
	default:
		if set := p.shared.waitSet(); set != nil && set.anyUsable() {
			return nil, nil // a target has come back at this moment
		}
		f = edge.NoUpstream
	}
	p.waits[o.Verdict].Inc(x.Lane)
	return m, f
}

// waitSet is the targets that requests wait for, of whatever generation they are: those of the newest pool
// of the name. What a reload or discovery has taken out keeps no request waiting, and what it has brought
// serves those who wait.
func (s *shared) waitSet() *set {
	if p := s.lead.Load(); p != nil {
		return p.set.Load()
	}
	return nil // before the first pool, and after the last
}

// serve gives all that is free to the waiters. It is called when somebody has begun to wait, and when
// targets have come or gone.
func (s *shared) serve() {
	set := s.waitSet()
	if s.queue.Len() == 0 || set == nil {
		return
	}
	usable := false
	for _, m := range set.members {
		if m.welcomes(clock.Now()) {
			usable = true
			s.fill(set, m)
		}
	}
	if !usable {
		s.queue.Dismiss(queue.Hopeless)
	}
}

// changed is serve for callers that hold s.mu or may not take long: targets have come or gone.
func (s *shared) changed() {
	if s.queue.Len() > 0 {
		go s.serve()
	}
}

// fill gives what is free at m to the waiters.
func (s *shared) fill(in *set, m *member) {
	for s.queue.Len() > 0 {
		joins := s.queue.Joins()
		a := m.claim(nil, &m.pool.conf.Transport)
		if a == nil {
			return
		}
		if s.queue.Offer(clock.Now(), place{in, m, a}) {
			continue
		}
		m.release(a, nil)
		if s.queue.Joins() == joins { // after the line above: a new waiter announces itself before it looks
			return
		}
	}
}

// freed gives what has become free at t to the waiters.
func (s *shared) freed(t *Target) {
	if s.queue.Len() == 0 {
		return
	}
	set := s.waitSet()
	if set == nil {
		return
	}
	if m := set.of[t]; m != nil && m.welcomes(clock.Now()) {
		s.fill(set, m)
	}
}

// waitingFor returns how many wait that m may serve.
func (m *member) waitingFor(in *set) int { return m.pool.shared.queue.Count(place{in: in, m: m}) }
