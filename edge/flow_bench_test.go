package edge

import (
	"testing"

	"github.com/penstock-edge/penstock/edge/route"
)

// pass is a filter that lets everything pass.
type pass struct{}

func (pass) Run(*Exchange) Verdict { return Next }

// atOnce is an upstream, and its peer, that answers when it is heard for the second time.
type atOnce struct{ asked bool }

func (u *atOnce) Pick(*Exchange) (Peer, *Fault) { return u, nil }
func (u *atOnce) RoundTrip(*Exchange) *Fault    { return nil }
func (u *atOnce) Release(*Exchange, *Fault)     {}
func (u *atOnce) Start(*Exchange) bool          { u.asked = true; return true }
func (u *atOnce) Receive(*Exchange) (Outcome, *Fault) {
	if u.asked {
		u.asked = false
		return Pending, nil
	}
	return Ended, nil
}

// nowhere is a front that sends nothing.
type nowhere struct{}

func (nowhere) Send(*Exchange, bool) (Outcome, *Fault) { return Ended, nil }

// benchFlow serves a request with two filters a phase, in a loop or in a goroutine.
func benchFlow(t testing.TB) (loop, goroutine func()) {
	g := NewGeneration(1, func() {})
	plan := &Plan{Name: "all", Upstream: &atOnce{}}
	table, errs := route.NewTable([]route.Rule{{Name: "all", Prefix: "/"}})
	if errs != nil {
		t.Fatal(errs)
	}
	g.Routes, g.Plans, g.Nowhere, g.Early = table, []*Plan{plan}, &Plan{Name: "none"}, []Filter{pass{}, pass{}}
	r := &RouteSetup{Plan: plan}
	for _, p := range []Phase{Access, Rewrite, Lookup, Admit, Receive, Respond, Log} {
		r.Add(p, pass{})
		r.Add(p, pass{})
	}
	x := &Exchange{}
	method, path := []byte("GET"), []byte("/x")
	prepare := func() {
		x.Reset()
		x.Conn, x.Method, x.Path = client{}, method, path
	}
	return func() {
			prepare()
			if Serve(g, x, nowhere{}, false) != Pending || Resume(x, nowhere{}, false) != Ended {
				t.Fatal("the exchange does not end in the loop")
			}
		}, func() {
			prepare()
			if Serve(g, x, nowhere{}, true) != Ended {
				t.Fatal("the exchange does not end")
			}
		}
}

func BenchmarkFlow(b *testing.B) {
	loop, goroutine := benchFlow(b)
	b.Run("loop", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			loop()
		}
	})
	b.Run("goroutine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			goroutine()
		}
	})
}
