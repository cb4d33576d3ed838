package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// policyCase is one request to a pool of two targets, of which the first one is asked first.
type policyCase struct {
	stands  string
	policy  string // keys of [pool.app.retry]
	request string
	first   func(r *recorded, c net.Conn) string
	second  func(r *recorded, c net.Conn) string // nil: 200 with "good"
	route   string                               // more keys of the route

	status      int
	body        string // what the client reads; "": not looked at
	code        string // of an answer that the gateway made
	asked       [2]int // requests that each target got
	askedWarm   [2]int // the same when a dead connection was replaced at first; zero: no difference
	sameRequest bool   // both got the same body
}

const apology = "HTTP/1.1 503 Service Unavailable\r\nX-From: first\r\nContent-Length: 5\r\n\r\nsorry"

func says(answer string) func(*recorded, net.Conn) string {
	return func(*recorded, net.Conn) string { return answer }
}

func closes(*recorded, net.Conn) string { return "" }

// keepsSilent waits until the other side leaves.
func keepsSilent(_ *recorded, c net.Conn) string {
	_, _ = io.Copy(io.Discard, c)
	return ""
}

// TestRetryPolicy: what is repeated and what is not, with cold connections and with warm ones, which a loop
// serves.
func TestRetryPolicy(t *testing.T) {
	t.Parallel()
	get := lines("GET /x HTTP/1.1")
	post := postWith("Content-Length: 3")
	chunked := func(method string, n int) string {
		return lines(method+" /x HTTP/1.1", "Transfer-Encoding: chunked") +
			fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", n, sample(n))
	}
	cases := []policyCase{
		{stands: "a status that is listed", request: get, first: says(apology), status: 200, asked: [2]int{1, 1}},
		{stands: "a status that is not", request: get, first: says("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"),
			status: 500, body: "no", asked: [2]int{1, 0}},
		{stands: "a range", policy: `on = ["500-599"]`, request: get,
			first: says("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"), status: 200, asked: [2]int{1, 1}},
		{stands: "a long answer is thrown away", request: get,
			first: says("HTTP/1.1 503 No\r\nContent-Length: 900000\r\n\r\n" + string(sample(900_000))), status: 200,
			asked: [2]int{1, 1}},
		{stands: "closed before the answer", request: get, first: closes, status: 200, asked: [2]int{1, 1},
			askedWarm: [2]int{2, 1}},
		{stands: "closed, and not listed", policy: `on = ["503"]`, request: get, first: closes, status: 502,
			code: "upstream_reset", asked: [2]int{1, 0}, askedWarm: [2]int{2, 0}},
		{stands: "no answer in time", policy: "on = [\"timeout\"]\nper_try_timeout = \"80ms\"", request: get,
			first: keepsSilent, status: 200, asked: [2]int{1, 1}},
		{stands: "no answer in time, and not listed", policy: `per_try_timeout = "80ms"`, request: get,
			first: keepsSilent, status: 504, code: "upstream_timeout", asked: [2]int{1, 0}},
		{stands: "nothing beyond the route's time", policy: "on = [\"timeout\"]\nper_try_timeout = \"5s\"\nattempts = 9",
			route: `timeout = "100ms"`, request: get, first: keepsSilent, second: keepsSilent, status: 504,
			code: "upstream_timeout", asked: [2]int{1, 0}},
		{stands: "POST, answered", request: post, first: says(apology), status: 503, body: "sorry", asked: [2]int{1, 0}},
		{stands: "POST, closed", request: post, first: closes, status: 502, code: "upstream_reset", asked: [2]int{1, 0}},
		{stands: "POST with a key", request: postWith("Content-Length: 3", "Idempotency-Key: 1"), first: says(apology),
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
			first: says(apology), second: keepsSilent, status: 503, body: "sorry", asked: [2]int{1, 1}},
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
	serve := func(then func(*recorded, net.Conn) string) *recorder {
		return record(t, func(r *recorded, c net.Conn) string {
			if r.path() == "/warm" || then == nil {
				return string(ok("good"))
			}
			return then(r, c)
		})
	}
	first, second := serve(k.first), serve(k.second)
	g := start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
targets = [{ address = "`+first.addr+`", weight = 100 }, "`+second.addr+`"]
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
	defer g.stop()
	c := dialRaw(t, g.addr)
	if warm {
		for len(second.of("/warm")) == 0 || len(first.of("/warm")) == 0 {
			c.get("/warm")
		}
		for range 100 - len(first.of("/warm"))%101 { // the turn comes round to the first one
			c.get("/warm")
		}
	}
	go c.send(k.request)
	a := c.answer("GET")
	if a.StatusCode != k.status || a.err != nil || k.body != "" && a.body != k.body || a.code() != k.code {
		t.Errorf("%s: %d %q %v", k.stands, a.StatusCode, a.body, a.err)
	}
	if from := a.Header.Get("X-From"); from != "" && a.StatusCode == 200 {
		t.Errorf("%s: a field of the answer that was thrown away: %q", k.stands, from)
	}
	if warm && k.askedWarm != [2]int{} {
		k.asked = k.askedWarm
	}
	one, two := first.of("/x"), second.of("/x")
	if len(one) != k.asked[0] || len(two) != k.asked[1] {
		t.Errorf("%s: asked %d and %d times, want %v", k.stands, len(one), len(two), k.asked)
	}
	if k.sameRequest && (len(one) == 0 || len(two) == 0 || one[0].body != two[0].body || two[0].body == "") {
		t.Errorf("%s: the bodies differ", k.stands)
	}
	if !a.Close {
		c.open(k.stands, "/warm")
	}
	eventually(t, k.stands+": nothing is left in flight", func() bool { return g.inFlight() == 0 })
}

// TestRetryConnect: a request of which nothing was sent goes to another target, whatever its method.
func TestRetryConnect(t *testing.T) {
	t.Parallel()
	good := record(t, nil)
	g := start(t, `
[[listener]]
address = "{{addr}}"
[pool.app]
targets = [{ address = "`+freeAddr(t)+`", weight = 100 }, "`+good.addr+`"]
retry = { backoff = "0s" }
[[route]]
prefix = "/"
pool = "app"
`)
	c := dialRaw(t, g.addr)
	c.send(postWith("Content-Length: 3"))
	if a := c.answer("POST"); a.StatusCode != 200 {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	if got := good.requests(); len(got) != 1 || got[0].body != "abc" {
		t.Errorf("the good one got %+v", got)
	}
}

// TestRetryAfter: a target that asks for patience gets it, or the client is told.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	f := func(line string, status, asked int) {
		t.Helper()
		n := 0
		rec := record(t, func(*recorded, net.Conn) string {
			if n++; n == 1 {
				return "HTTP/1.1 503 Wait\r\n" + line + "\r\nContent-Length: 0\r\n\r\n"
			}
			return string(ok("ok"))
		})
		g := start(t, simple(rec.addr, "[pool.app.retry]\n"))
		defer g.stop()
		a := dialRaw(t, g.addr).get("/x")
		if a.StatusCode != status || len(rec.requests()) != asked {
			t.Errorf("%s: %d after %d requests", line, a.StatusCode, len(rec.requests()))
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
	rec := record(t, says(apology))
	g := start(t, simple(rec.addr, "[pool.app.retry]\nbudget_percent = 0\nbackoff = \"0s\"\n"))
	c := dialRaw(t, g.addr)
	for range 5 {
		if a := c.get("/x"); a.StatusCode != http.StatusServiceUnavailable || a.body != "sorry" {
			t.Fatalf("%d %q", a.StatusCode, a.body)
		}
	}
	if n := len(rec.requests()); n != 8 {
		t.Errorf("5 requests made %d attempts, want 8: three more are always allowed", n)
	}
	if n := g.metric(`penstock_retry_budget_refusals_total{pool="app"}`); n != 2 {
		t.Errorf("%v refusals counted, want 2", n)
	}
	if n := g.metric(`penstock_retry_budget_left{pool="app"}`); n != 0 {
		t.Errorf("%v left", n)
	}
}
