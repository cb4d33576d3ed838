package pools

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// policyCase is one request to a pool of two targets, of which the first one is asked first.
type policyCase struct {
	stands  string
	policy  string // keys of [pool.app.retry]
	request string
	first   func(r *e2e.Recorded, c net.Conn) string
	second  func(r *e2e.Recorded, c net.Conn) string // nil: 200 with "good"
	route   string                                   // more keys of the route

	status      int
	body        string // what the client reads; "": not looked at
	code        string // of an answer that the gateway made
	asked       [2]int // requests that each target got
	askedWarm   [2]int // the same when a dead connection was replaced at first; zero: no difference
	sameRequest bool   // both got the same body
}

const apology = "HTTP/1.1 503 Service Unavailable\r\nX-From: first\r\nContent-Length: 5\r\n\r\nsorry"

func says(answer string) func(*e2e.Recorded, net.Conn) string {
	return func(*e2e.Recorded, net.Conn) string { return answer }
}

func closes(*e2e.Recorded, net.Conn) string { return "" }

// TestRetryPolicy: what is repeated and what is not, with cold connections and with warm ones, which a loop
// serves.
func TestRetryPolicy(t *testing.T) {
	t.Parallel()
	get := e2e.Lines("GET /x HTTP/1.1")
	post := e2e.PostWith("Content-Length: 3")
	chunked := func(method string, n int) string {
		return e2e.Lines(method+" /x HTTP/1.1", "Transfer-Encoding: chunked") +
			fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", n, e2e.Sample(n))
	}
	cases := []policyCase{
		{stands: "a status that is listed", request: get, first: says(apology), status: 200, asked: [2]int{1, 1}},
		{stands: "a status that is not", request: get, first: says("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"),
			status: 500, body: "no", asked: [2]int{1, 0}},
		{stands: "a range", policy: `on = ["500-599"]`, request: get,
			first: says("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"), status: 200, asked: [2]int{1, 1}},
		{stands: "a long answer is thrown away", request: get,
			first: says("HTTP/1.1 503 No\r\nContent-Length: 900000\r\n\r\n" + string(e2e.Sample(900_000))), status: 200,
			asked: [2]int{1, 1}},
		{stands: "closed before the answer", request: get, first: closes, status: 200, asked: [2]int{1, 1},
			askedWarm: [2]int{2, 1}},
		{stands: "closed, and not listed", policy: `on = ["503"]`, request: get, first: closes, status: 502,
			code: "upstream_reset", asked: [2]int{1, 0}, askedWarm: [2]int{2, 0}},
		{stands: "no answer in time", policy: "on = [\"timeout\"]\nper_try_timeout = \"80ms\"", request: get,
			first: e2e.KeepsSilent, status: 200, asked: [2]int{1, 1}},
		{stands: "no answer in time, and not listed", policy: `per_try_timeout = "80ms"`, request: get,
			first: e2e.KeepsSilent, status: 504, code: "upstream_timeout", asked: [2]int{1, 0}},
		{stands: "nothing beyond the route's time", policy: "on = [\"timeout\"]\nper_try_timeout = \"5s\"\nattempts = 9",
			route: `timeout = "100ms"`, request: get, first: e2e.KeepsSilent, second: e2e.KeepsSilent, status: 504,
			code: "upstream_timeout", asked: [2]int{1, 0}},
		{stands: "POST, answered", request: post, first: says(apology), status: 503, body: "sorry", asked: [2]int{1, 0}},
		{stands: "POST, closed", request: post, first: closes, status: 502, code: "upstream_reset", asked: [2]int{1, 0}},
		{stands: "POST with a key", request: e2e.PostWith("Content-Length: 3", "Idempotency-Key: 1"), first: says(apology),
			status: 200, asked: [2]int{1, 1}, sameRequest: true},
		{stands: "POST, retry_unsafe", route: "retry_unsafe = true", request: post, first: closes, status: 200,
			asked: [2]int{1, 1}, askedWarm: [2]int{2, 1}, sameRequest: true},
		{stands: "a body that is remembered", request: chunked("PUT", 20_000), first: says(apology), status: 200,
			asked: [2]int{1, 1}, sameRequest: true},
		{stands: "a body beyond replay_bytes", policy: `replay_bytes = "10KiB"`, request: chunked("PUT", 20_000),
			first: says(apology), status: 503, body: "sorry", asked: [2]int{1, 0}},
		{stands: "the second one fails: the first one's answer", request: get, first: says(apology), second: closes,
			status: 503, body: "sorry", asked: [2]int{1, 1}, askedWarm: [2]int{1, 2}},
		{stands: "the second one is silent: the first one's answer", policy: `per_try_timeout = "80ms"`, request: get,
			first: says(apology), second: e2e.KeepsSilent, status: 503, body: "sorry", asked: [2]int{1, 1}},
		{stands: "both are sorry: the last one's answer", request: get, first: says(apology),
			second: says(strings.Replace(apology, "sorry", "SORRY", 1)), status: 503, body: "SORRY", asked: [2]int{1, 1}},
		{stands: "the second breaks HTTP: the first one's answer", request: get, first: says(apology),
			second: says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), status: 503, body: "sorry",
			asked: [2]int{1, 1}},
		{stands: "one attempt", policy: "attempts = 1", request: get, first: says(apology), status: 503, body: "sorry",
			asked: [2]int{1, 0}},
	}
	for _, c := range cases {
		for _, warm := range []bool{false, true} {
			c.run(t, warm)
		}
	}
}

func (k policyCase) run(t *testing.T, warm bool) {
	t.Helper()
	if warm {
		k.stands += " (warm)"
	}
	serve := func(then func(*e2e.Recorded, net.Conn) string) *e2e.Recorder {
		return e2e.Record(t, func(r *e2e.Recorded, c net.Conn) string {
			if r.Path() == "/warm" || then == nil {
				return string(e2e.OK("good"))
			}
			return then(r, c)
		})
	}
	first, second := serve(k.first), serve(k.second)
	g := e2e.Start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
targets = [{ address = "`+first.Addr+`", weight = 100 }, "`+second.Addr+`"]
[pool.app.retry]
`+k.policy+`
[[route]]
path = "/x"
pool = "app"
`+k.route+`
[[route]]
path = "/warm"
pool = "app"
`)
	defer g.Stop()
	c := e2e.DialRaw(t, g.Addr)
	if warm {
		for len(second.Of("/warm")) == 0 || len(first.Of("/warm")) == 0 {
			c.Get("/warm")
		}
		for range 100 - len(first.Of("/warm"))%101 { // the turn comes round to the first one
			c.Get("/warm")
		}
	}
	go c.Send(k.request)
	a := c.Answer("GET")
	if a.StatusCode != k.status || a.Err != nil || k.body != "" && a.Body != k.body || a.Code() != k.code {
		t.Errorf("%s: %d %q %v", k.stands, a.StatusCode, a.Body, a.Err)
	}
	if from := a.Header.Get("X-From"); from != "" && a.StatusCode == 200 {
		t.Errorf("%s: a field of the answer that was thrown away: %q", k.stands, from)
	}
	if warm && k.askedWarm != [2]int{} {
		k.asked = k.askedWarm
	}
	one, two := first.Of("/x"), second.Of("/x")
	if len(one) != k.asked[0] || len(two) != k.asked[1] {
		t.Errorf("%s: asked %d and %d times, want %v", k.stands, len(one), len(two), k.asked)
	}
	if k.sameRequest && (len(one) == 0 || len(two) == 0 || one[0].Body != two[0].Body || two[0].Body == "") {
		t.Errorf("%s: the bodies differ", k.stands)
	}
	if !a.Close {
		c.Open(k.stands, "/warm")
	}
	e2e.Eventually(t, k.stands+": nothing is left in flight", func() bool { return g.InFlight() == 0 })
}

// TestRetryConnect: a request of which nothing was sent goes to another target, whatever its method.
func TestRetryConnect(t *testing.T) {
	t.Parallel()
	good := e2e.Record(t, nil)
	g := e2e.Start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
targets = [{ address = "`+e2e.FreeAddr(t)+`", weight = 100 }, "`+good.Addr+`"]
retry = { backoff = "0s" }
[[route]]
prefix = "/"
pool = "app"
`)
	c := e2e.DialRaw(t, g.Addr)
	c.Send(e2e.PostWith("Content-Length: 3"))
	if a := c.Answer("POST"); a.StatusCode != 200 {
		t.Errorf("%d %q", a.StatusCode, a.Body)
	}
	if got := good.Requests(); len(got) != 1 || got[0].Body != "abc" {
		t.Errorf("the good one got %+v", got)
	}
}

// TestRetryAfter: a target that asks for patience gets it, or the client is told.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	f := func(line string, status, asked int) {
		t.Helper()
		n := 0
		rec := e2e.Record(t, func(*e2e.Recorded, net.Conn) string {
			if n++; n == 1 {
				return "HTTP/1.1 503 Wait\r\n" + line + "\r\nContent-Length: 0\r\n\r\n"
			}
			return string(e2e.OK("ok"))
		})
		g := e2e.Start(t, e2e.Simple(rec.Addr, "[pool.app.retry]\n"))
		defer g.Stop()
		a := e2e.DialRaw(t, g.Addr).Get("/x")
		if a.StatusCode != status || len(rec.Requests()) != asked {
			t.Errorf("%s: %d after %d requests", line, a.StatusCode, len(rec.Requests()))
		}
	}
	f("Retry-After: 0", 200, 2)
	f("Retry-After: 1", 200, 2)
	f("Retry-After: 30", 503, 1)
	f("retry-after:30 ", 503, 1)
	f("X-Retry-After: 30", 200, 2)
	f("Retry-After: Fri, 31 Dec 2100 23:59:59 GMT", 503, 1)
}

// TestRetryBudgetSpent: when the budget is spent, the target's own answer reaches the client, and it is counted.
func TestRetryBudgetSpent(t *testing.T) {
	t.Parallel()
	rec := e2e.Record(t, says(apology))
	g := e2e.Start(t, e2e.Simple(rec.Addr, "[pool.app.retry]\nbudget_percent = 0\nbackoff = \"0s\"\n"))
	c := e2e.DialRaw(t, g.Addr)
	for range 5 {
		if a := c.Get("/x"); a.StatusCode != http.StatusServiceUnavailable || a.Body != "sorry" {
			t.Fatalf("%d %q", a.StatusCode, a.Body)
		}
	}
	if n := len(rec.Requests()); n != 8 {
		t.Errorf("5 requests made %d attempts, want 8: three more are always allowed", n)
	}
	if n := g.Metric(`penstock_retry_budget_refusals_total{pool="app"}`); n != 2 {
		t.Errorf("%v refusals counted, want 2", n)
	}
	if n := g.Metric(`penstock_retry_budget_left{pool="app"}`); n != 0 {
		t.Errorf("%v left", n)
	}
}
