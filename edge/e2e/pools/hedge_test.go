package pools

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// TestHedgeRace: a second target is asked at the side of a silent one, the first good answer counts, and what is
// left of the race is cleaned up.
func TestHedgeRace(t *testing.T) {
	t.Parallel()
	get := e2e.Lines("GET /x HTTP/1.1")
	put := e2e.Lines("PUT /x HTTP/1.1", "Content-Length: 3") + "abc"
	// late answers when the other target has been asked.
	var first, second *e2e.Recorder
	late := func(*e2e.Recorded, net.Conn) string {
		e2e.Eventually(t, "the other one is asked", func() bool { return len(second.Of("/x")) > 0 })
		return string(e2e.OK("late"))
	}
	lateClose := func(r *e2e.Recorded, c net.Conn) string {
		late(r, c)
		return ""
	}
	f := func(stands, request string, one, two func(*e2e.Recorded, net.Conn) string, status int, body string, asked int) {
		t.Helper()
		for _, warm := range []bool{false, true} {
			serve := func(then func(*e2e.Recorded, net.Conn) string) *e2e.Recorder {
				return e2e.Record(t, func(r *e2e.Recorded, c net.Conn) string {
					if r.Path() == "/warm" {
						return string(e2e.OK("warm"))
					}
					return then(r, c)
				})
			}
			first, second = serve(one), serve(two)
			g := e2e.Start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
targets = [{ address = "`+first.Addr+`", weight = 3 }, "`+second.Addr+`"]
response_timeout = "400ms"
hedge = { after = "40ms" }
[[route]]
prefix = "/"
pool = "app"
`)
			c := e2e.DialRaw(t, g.Addr)
			if warm {
				stands += " (warm)"
				for range 8 { // the turn comes round to the first one; what is not hedged takes no other
					c.Send(e2e.Lines("POST /warm HTTP/1.1", "Content-Length: 0"))
					c.Answer("POST")
				}
			}
			c.Send(request)
			a := c.Answer("GET")
			if a.StatusCode != status || body != "" && a.Body != body {
				t.Errorf("%s: %d %q", stands, a.StatusCode, a.Body)
			}
			if n := len(second.Of("/x")); n != asked {
				t.Errorf("%s: the second target was asked %d times, want %d", stands, n, asked)
			}
			if asked > 0 && first.Of("/x")[0].Body != second.Of("/x")[0].Body {
				t.Errorf("%s: the bodies differ", stands)
			}
			if n := g.Metric(`penstock_hedges_total{pool="app"}`); int(n) != asked {
				t.Errorf("%s: %v hedges counted", stands, n)
			}
			c.Open(stands, "/warm")
			e2e.Eventually(t, stands+": nothing is left in flight", func() bool {
				st := g.PoolStatus()
				return e2e.Dig(st, "targets", 0, "in_flight") == 0.0 && e2e.Dig(st, "targets", 1, "in_flight") == 0.0
			})
			connections := func(i int) int { return int(e2e.Dig(g.PoolStatus(), "targets", i, "connections").(float64)) }
			e2e.Eventually(t, stands+": the loser's connection is closed", func() bool {
				_, one := first.Connections()
				_, two := second.Connections()
				return one == connections(0) && two == connections(1) && one+two <= 2
			})
			g.Stop()
		}
	}
	good := says(string(e2e.OK("good")))
	f("the first is silent", get, e2e.KeepsSilent, good, 200, "good", 1)
	f("with a body", put, e2e.KeepsSilent, good, 200, "good", 1)
	f("the first is late, the second silent", get, late, e2e.KeepsSilent, 200, "late", 1)
	f("the first breaks late, the second is silent", get, lateClose, e2e.KeepsSilent, 504, "", 1)
	f("an error is not a good answer", get, late, says(apology), 200, "late", 1)
	f("but better than none", get, lateClose, says(apology), 503, "sorry", 1)
	f("both are silent", get, e2e.KeepsSilent, e2e.KeepsSilent, 504, "", 1)
	f("a POST has one attempt", e2e.PostWith("Content-Length: 3"), e2e.KeepsSilent, good, 504, "", 0)
}

// TestHedgeClientLeaves: when the client leaves, both attempts end.
func TestHedgeClientLeaves(t *testing.T) {
	t.Parallel()
	first, second := e2e.Record(t, e2e.KeepsSilent), e2e.Record(t, e2e.KeepsSilent)
	g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(first.Addr, second.Addr), "hedge = { after = \"20ms\" }\n"+
		"connect_timeout = \"1m\"")) // an attempt that repeats one gets no hedge
	c := e2e.DialRaw(t, g.Addr)
	c.Send(e2e.Lines("GET /x HTTP/1.1"))
	e2e.Eventually(t, "both are asked", func() bool { return len(first.Of("/x")) == 1 && len(second.Of("/x")) == 1 })
	c.C.Close()
	e2e.Eventually(t, "both connections are closed", func() bool {
		_, one := first.Connections()
		_, two := second.Connections()
		return one+two == 0
	})
	e2e.Eventually(t, "nothing is in flight", func() bool {
		st := g.PoolStatus()
		return e2e.Dig(st, "targets", 0, "in_flight") == 0.0 && e2e.Dig(st, "targets", 1, "in_flight") == 0.0
	})
}

// TestPoliciesOverTLS: retries and hedges to targets that speak TLS, which no loop waits for.
func TestPoliciesOverTLS(t *testing.T) {
	t.Parallel()
	var silent, sorry atomic.Bool
	serve := func(first bool) string {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body) // a cut one shows in the answer
			switch {
			case first && silent.Load():
				<-r.Context().Done() // which the server learns of when it has read the body
				return
			case first && sorry.Load():
				w.WriteHeader(503)
			}
			fmt.Fprint(w, first, string(body))
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	g := e2e.Start(t, e2e.PoolOf(`{ address = "`+serve(true)+`", weight = 1000 }, "`+serve(false)+`"`, `
tls = { enabled = true, insecure_skip_verify = true }
hedge = { after = "30ms" }
retry = { budget_percent = 100 }
`))
	c := e2e.DialRaw(t, g.Addr)
	f := func(stands, request string, want ...string) {
		t.Helper()
		c.Send(request)
		if a := c.Answer("GET"); a.StatusCode != 200 || !slices.Contains(want, a.Body) {
			t.Errorf("%s: %d %q, want one of %q", stands, a.StatusCode, a.Body, want)
		}
	}
	get, put := e2e.Lines("GET /x HTTP/1.1"), e2e.Lines("PUT /x HTTP/1.1", "Content-Length: 3")+"abc"
	// Where all is well, a slow machine may make the hedge win.
	f("all is well", get, "true", "false")
	sorry.Store(true)
	f("a retry", get, "false")
	f("a retry with a body", put, "falseabc")
	sorry.Store(false)
	silent.Store(true)
	f("a hedge", get, "false")
	f("a hedge with a body", put, "falseabc")
	silent.Store(false)
	f("all is well again", put, "trueabc", "falseabc")
	e2e.Eventually(t, "nothing is in flight", func() bool {
		st := g.PoolStatus()
		return e2e.Dig(st, "targets", 0, "in_flight") == 0.0 && e2e.Dig(st, "targets", 1, "in_flight") == 0.0
	})
}
