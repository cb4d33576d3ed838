package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
)

// TestHedgeRace: a second target is asked at the side of a silent one, the first good answer counts, and what is
// left of the race is cleaned up.
func TestHedgeRace(t *testing.T) {
	t.Parallel()
	get := lines("GET /x HTTP/1.1")
	put := lines("PUT /x HTTP/1.1", "Content-Length: 3") + "abc"
	// late answers when the other target has been asked.
	var first, second *recorder
	late := func(*recorded, net.Conn) string {
		eventually(t, "the other one is asked", func() bool { return len(second.of("/x")) > 0 })
		return string(ok("late"))
	}
	lateClose := func(r *recorded, c net.Conn) string {
		late(r, c)
		return ""
	}
	f := func(stands, request string, one, two func(*recorded, net.Conn) string, status int, body string, asked int) {
		t.Helper()
		for _, warm := range []bool{false, true} {
			serve := func(then func(*recorded, net.Conn) string) *recorder {
				return record(t, func(r *recorded, c net.Conn) string {
					if r.path() == "/warm" {
						return string(ok("warm"))
					}
					return then(r, c)
				})
			}
			first, second = serve(one), serve(two)
			g := start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
targets = [{ address = "`+first.addr+`", weight = 3 }, "`+second.addr+`"]
response_timeout = "400ms"
hedge = { after = "40ms" }
[[route]]
prefix = "/"
pool = "app"
`)
			c := dialRaw(t, g.addr)
			if warm {
				stands += " (warm)"
				for range 8 { // the turn comes round to the first one
					c.get("/warm")
				}
			}
			hedges := g.metric(`penstock_hedges_total{pool="app"}`) // a warm one may have been slow
			c.send(request)
			a := c.answer("GET")
			if a.StatusCode != status || body != "" && a.body != body {
				t.Errorf("%s: %d %q", stands, a.StatusCode, a.body)
			}
			if n := len(second.of("/x")); n != asked {
				t.Errorf("%s: the second target was asked %d times, want %d", stands, n, asked)
			}
			if asked > 0 && first.of("/x")[0].body != second.of("/x")[0].body {
				t.Errorf("%s: the bodies differ", stands)
			}
			if n := g.metric(`penstock_hedges_total{pool="app"}`) - hedges; int(n) != asked {
				t.Errorf("%s: %v hedges counted", stands, n)
			}
			c.open(stands, "/warm")
			eventually(t, stands+": nothing is left in flight", func() bool {
				st := g.poolStatus()
				return dig(st, "targets", 0, "in_flight") == 0.0 && dig(st, "targets", 1, "in_flight") == 0.0
			})
			connections := func(i int) int { return int(dig(g.poolStatus(), "targets", i, "connections").(float64)) }
			eventually(t, stands+": the loser's connection is closed", func() bool {
				_, one := first.connections()
				_, two := second.connections()
				return one == connections(0) && two == connections(1) && one+two <= 2
			})
			g.stop()
		}
	}
	good := says(string(ok("good")))
	f("the first is silent", get, keepsSilent, good, 200, "good", 1)
	f("with a body", put, keepsSilent, good, 200, "good", 1)
	f("the first is late, the second silent", get, late, keepsSilent, 200, "late", 1)
	f("the first breaks late, the second is silent", get, lateClose, keepsSilent, 504, "", 1)
	f("an error is not a good answer", get, late, says(apology), 200, "late", 1)
	f("but better than none", get, lateClose, says(apology), 503, "sorry", 1)
	f("both are silent", get, keepsSilent, keepsSilent, 504, "", 1)
	f("a POST has one attempt", postWith("Content-Length: 3"), keepsSilent, good, 504, "", 0)
}

// TestHedgeClientLeaves: when the client leaves, both attempts end.
func TestHedgeClientLeaves(t *testing.T) {
	t.Parallel()
	first, second := record(t, keepsSilent), record(t, keepsSilent)
	g := start(t, poolOf(quoted(first.addr, second.addr), "hedge = { after = \"20ms\" }"))
	c := dialRaw(t, g.addr)
	c.send(lines("GET /x HTTP/1.1"))
	eventually(t, "both are asked", func() bool { return len(first.of("/x")) == 1 && len(second.of("/x")) == 1 })
	c.c.Close()
	eventually(t, "both connections are closed", func() bool {
		_, one := first.connections()
		_, two := second.connections()
		return one+two == 0
	})
	eventually(t, "nothing is in flight", func() bool {
		st := g.poolStatus()
		return dig(st, "targets", 0, "in_flight") == 0.0 && dig(st, "targets", 1, "in_flight") == 0.0
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
	g := start(t, poolOf(`{ address = "`+serve(true)+`", weight = 1000 }, "`+serve(false)+`"`, `
tls = { enabled = true, insecure_skip_verify = true }
hedge = { after = "30ms" }
retry = { budget_percent = 100 }
`))
	c := dialRaw(t, g.addr)
	f := func(stands, request, want string) {
		t.Helper()
		c.send(request)
		if a := c.answer("GET"); a.StatusCode != 200 || a.body != want {
			t.Errorf("%s: %d %q, want %q", stands, a.StatusCode, a.body, want)
		}
	}
	get, put := lines("GET /x HTTP/1.1"), lines("PUT /x HTTP/1.1", "Content-Length: 3")+"abc"
	f("all is well", get, "true")
	sorry.Store(true)
	f("a retry", get, "false")
	f("a retry with a body", put, "falseabc")
	sorry.Store(false)
	silent.Store(true)
	f("a hedge", get, "false")
	f("a hedge with a body", put, "falseabc")
	silent.Store(false)
	f("all is well again", put, "trueabc")
	eventually(t, "nothing is in flight", func() bool {
		st := g.poolStatus()
		return dig(st, "targets", 0, "in_flight") == 0.0 && dig(st, "targets", 1, "in_flight") == 0.0
	})
}
