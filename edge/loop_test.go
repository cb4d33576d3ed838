package edge

import (
	"testing"
)

// starter is an upstream that a loop can ask: what Hear returns comes from a list.
type starter struct {
	upstream
	refuses bool // Start is not possible
	hears   []heard
}

type heard struct {
	p Progress
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

func (u *starter) Hear(x *Exchange) (Progress, *Fault) {
	u.h.told = append(u.h.told, "hear")
	next := u.hears[0]
	u.hears = u.hears[1:]
	if next.p == Ended && next.f == nil {
		x.SetStatus(200)
		x.Out = NewBytesBody([]byte("from the upstream"))
	}
	return next.p, next.f
}

// quick is a front that sends without waiting.
type quick struct{ testFront }

func (q *quick) TrySend(x *Exchange) (bool, *Fault) { return true, q.Send(x) }

// TestLoop: an exchange is left where it would wait, goes on from there, and each step is made once.
func TestLoop(t *testing.T) {
	f := func(name string, u starter, status int, steps []Progress, want ...string) {
		t.Helper()
		h := newHouse(t)
		u.h = h
		h.plan.Upstream = &u
		h.add(Access, "access", Next, nil)
		h.add(Receive, "receive", Next, nil)
		front := &quick{}
		x := &Exchange{}
		x.Reset()
		x.Conn = client{}
		x.Method, x.Path = []byte("GET"), []byte("/x")
		for i, step := range steps {
			var got Progress
			switch {
			case i == 0:
				got = Try(h.g, x, front)
			case steps[i-1] == Pending:
				got = Resume(x, front)
			default:
				Proceed(x, front)
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
	f("the answer is there", starter{hears: []heard{whole}}, 200, []Progress{Ended},
		"access", "pick", "start", "hear", "receive", "respond", "release", "log")
	f("it comes in pieces", starter{hears: []heard{more, more, whole}}, 200, []Progress{Pending, Pending, Ended},
		"access", "pick", "start", "hear", "hear", "hear", "receive", "respond", "release", "log")
	f("no connection at hand", starter{refuses: true, upstream: upstream{faults: []*Fault{nil}}}, 200,
		[]Progress{Blocked, Ended},
		"access", "pick", "start", "try", "receive", "respond", "release", "log")
	f("the connection was stale", starter{hears: []heard{more, {Ended, UpstreamStale}},
		upstream: upstream{faults: []*Fault{nil}}}, 200, []Progress{Pending, Blocked, Ended},
		"access", "pick", "start", "hear", "hear", "release:upstream_reset", "pick", "try", "receive", "respond",
		"release", "log")
	f("too late", starter{hears: []heard{more, {Ended, UpstreamTimeout}}}, 504, []Progress{Pending, Ended},
		"access", "pick", "start", "hear", "hear", "release:upstream_timeout", "respond", "log")
}

// A route with a filter that waits is served by a goroutine from its policies on.
func TestLoopLeavesWaitingFilters(t *testing.T) {
	h := newHouse(t)
	r := &RouteSetup{Plan: h.plan}
	r.Waits()
	h.add(Access, "access", Next, nil)
	h.plan.Upstream = &upstream{h: h, faults: []*Fault{nil}}
	x := &Exchange{}
	x.Reset()
	x.Conn = client{}
	x.Method, x.Path = []byte("GET"), []byte("/x")
	if got := Try(h.g, x, &h.front); got != Blocked {
		t.Fatalf("%v, want it blocked", got)
	}
	h.expect()
	Proceed(x, &h.front)
	h.expect("access", "pick", "try", "respond", "release", "log")
}

// TestLoopLookupWaits: a filter of Lookup that has to wait is run again by a goroutine, and those before it are not.
func TestLoopLookupWaits(t *testing.T) {
	h := newHouse(t)
	h.add(Access, "access", Next, nil)
	h.add(Lookup, "lookup", Next, nil)
	h.plan.filters[Lookup] = append(h.plan.filters[Lookup], patient{h})
	h.add(Admit, "admit", Next, nil)
	h.plan.Upstream = &upstream{h: h, faults: []*Fault{nil}}
	x := &Exchange{}
	x.Reset()
	x.Conn = client{}
	x.Method, x.Path = []byte("GET"), []byte("/x")
	if got := Try(h.g, x, &h.front); got != Blocked {
		t.Fatalf("%v, want it blocked", got)
	}
	h.expect("access", "lookup", "wait")
	Proceed(x, &h.front)
	h.expect("access", "lookup", "wait", "lookup", "waited", "admit", "pick", "try", "respond", "release", "log")
}

// patient is a filter that may wait only where it is allowed to.
type patient struct{ h *house }

func (p patient) Run(x *Exchange) Verdict {
	if !x.MayWait {
		p.h.told = append(p.h.told, "wait")
		return Wait
	}
	p.h.told = append(p.h.told, "waited")
	return Next
}
