package edge

import (
	"testing"
)

// starter is an upstream that a loop can ask: what Receive returns comes from a list.
type starter struct {
	upstream
	refuses bool // Start is not possible
	hears   []heard
}

type heard struct {
	p Outcome
	f *Fault
}

func (u *starter) Pick(x *Exchange) (Peer, *Fault) {
	_, f := u.upstream.Pick(x)
	return u, f
}

func (u *starter) Start(*Exchange) bool {
	u.h.told = append(u.h.told, "start")
	return !u.refuses
}

func (u *starter) Receive(x *Exchange) (Outcome, *Fault) {
	u.h.told = append(u.h.told, "hear")
	next := u.hears[0]
	u.hears = u.hears[1:]
	if next.p == Ended && next.f == nil {
		x.SetStatus(200)
		x.Out = NewBytesBody([]byte("from the upstream"))
	}
	return next.p, next.f
}

// TestLoop: an exchange is left where it would wait, goes on from there, and each step is made once.
func TestLoop(t *testing.T) {
	f := func(name string, u starter, status int, steps []Outcome, want ...string) {
		t.Helper()
		h := newHouse(t)
		u.h = h
		h.plan.Upstream = &u
		h.add(Access, "access", Next, nil)
		h.add(Receive, "receive", Next, nil)
		front := &testFront{quick: true}
		x := &Exchange{}
		x.Reset()
		x.Conn = client{}
		x.Method, x.Path = []byte("GET"), []byte("/x")
		for i, step := range steps {
			var got Outcome
			if i == 0 {
				got = Serve(h.g, x, front, false)
			} else {
				got = Resume(x, front, steps[i-1] == Blocked)
			}
			if got != step {
				t.Fatalf("%s: step %d: %v, want %v", name, i, got, step)
			}
		}
		h.expect(want...)
		if front.status != status {
			t.Errorf("%s: status %d, want %d", name, front.status, status)
		}
	}
	more, whole := heard{p: Pending}, heard{p: Ended}
	f("the answer is there", starter{hears: []heard{whole}}, 200, []Outcome{Ended},
		"access", "pick", "start", "hear", "receive", "respond", "release", "log")
	f("it comes in pieces", starter{hears: []heard{more, more, whole}}, 200, []Outcome{Pending, Pending, Ended},
		"access", "pick", "start", "hear", "hear", "hear", "receive", "respond", "release", "log")
	f("no connection at hand", starter{refuses: true, upstream: upstream{faults: []*Fault{nil}}}, 200,
		[]Outcome{Blocked, Ended},
		"access", "pick", "start", "try", "receive", "respond", "release", "log")
	f("the connection was stale", starter{hears: []heard{more, {Ended, UpstreamStale}},
		upstream: upstream{faults: []*Fault{nil}}}, 200, []Outcome{Pending, Blocked, Ended},
		"access", "pick", "start", "hear", "hear", "release:upstream_reset", "pick", "try", "receive", "respond",
		"release", "log")
	f("too late", starter{hears: []heard{more, {Ended, UpstreamTimeout}}}, 504, []Outcome{Pending, Ended},
		"access", "pick", "start", "hear", "hear", "release:upstream_timeout", "respond", "log")
}

// TestWaiting: a filter of any phase that has to wait is run again by a goroutine, once, and those before it
// are not. One that has what it needs at hand stays in the loop.
func TestWaiting(t *testing.T) {
	f := func(p Phase, hasToWait bool) {
		t.Helper()
		h := newHouse(t)
		h.front.quick = true
		h.plan.Upstream = &starter{upstream: upstream{h: h, faults: []*Fault{nil}}, hears: []heard{{p: Ended}}}
		attempt := []string{"pick", "start", "hear"}
		if hasToWait && p <= Admit {
			attempt = []string{"pick", "try"} // by the goroutine
		}
		var want []string
		for _, ph := range []Phase{Early, Access, Rewrite, Lookup, Admit, Receive, Rescue, Respond, Log} {
			if ph == Rescue && p != Rescue {
				continue
			}
			filters := []Filter{step{h, ph.String() + "1", Next, nil}, patient{h, "patient", ph != p || !hasToWait},
				step{h, ph.String() + "2", Next, nil}}
			if ph == Early {
				h.g.Early = filters
			} else {
				h.plan.filters[ph] = filters
			}
			switch {
			case p == Rescue && ph == Receive: // see below
				want = append(append(want, attempt...), "release:upstream_timeout")
				continue
			case ph == Receive:
				want = append(want, attempt...)
			case p != Rescue && ph == Log:
				want = append(want, "release")
			}
			want = append(want, ph.String()+"1")
			if ph == p && hasToWait {
				want = append(want, "patient:waits")
			}
			want = append(want, "patient", ph.String()+"2")
		}
		if p == Rescue {
			h.plan.Upstream.(*starter).hears[0].f = UpstreamTimeout
		}
		x := &Exchange{}
		x.Reset()
		x.Conn = client{}
		x.Method, x.Path = []byte("GET"), []byte("/x")
		got := Serve(h.g, x, &h.front, false)
		if hasToWait != (got == Blocked) {
			t.Errorf("%s: outcome %v", p, got)
		}
		if got == Blocked {
			got = Resume(x, &h.front, true)
		}
		if got != Ended {
			t.Errorf("%s: outcome %v in the goroutine", p, got)
		}
		h.expect(want...)
	}
	for _, p := range []Phase{Early, Access, Rewrite, Lookup, Admit, Receive, Rescue, Respond, Log} {
		f(p, true)
		f(p, false)
	}
}

// patient is a filter that waits where it may, unless it has what it needs at hand.
type patient struct {
	h      *house
	name   string
	atHand bool
}

func (p patient) Run(x *Exchange) Verdict {
	if !p.atHand && !x.MayWait {
		p.h.told = append(p.h.told, p.name+":waits")
		return Wait
	}
	p.h.told = append(p.h.told, p.name)
	return Next
}

// TestWaitingTwice: a filter that may wait and does not is a mistake, which must not run for ever.
func TestWaitingTwice(t *testing.T) {
	h := newHouse(t)
	h.add(Access, "access", Wait, nil)
	h.serve("GET")
	h.expect("access", "access", "respond", "log")
	if h.front.status != 500 {
		t.Errorf("status %d", h.front.status)
	}
}
