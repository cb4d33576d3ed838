package ratelimit

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/dunglas/httpsfv"

	"github.com/penstock-edge/penstock/edge"
)

// withoutKey returns a field of an answer without what tells keys apart, and fails when it cannot be parsed.
func (r *reply) withoutKey(t *testing.T, name string) string {
	t.Helper()
	if r.head[name] == "" {
		return ""
	}
	list, err := httpsfv.UnmarshalList([]string{r.head[name]})
	if err != nil {
		t.Errorf("%s: %q: %v", name, r.head[name], err)
	}
	var items []string
	for i := range list {
		if key, ok := list[i].(httpsfv.Item).Params.Get("pk"); !ok || len(key.([]byte)) != 8 {
			t.Errorf("%s: %q has no key", name, r.head[name])
		}
		item := strings.Split(r.head[name], ", ")[i]
		item, _, _ = strings.Cut(item, ";pk=")
		items = append(items, item)
	}
	return strings.Join(items, ", ")
}

// TestToldFields: what clients are told of their limits, when they pass and when they are refused. Moments are counted in
// sixteenths of a day here, so that the time which passes makes no difference.
func TestToldFields(t *testing.T) {
	const all = "RateLimit-Policy RateLimit Retry-After X-RateLimit-Limit X-RateLimit-Remaining X-RateLimit-Reset"
	f := func(text string, asked int, want ...string) {
		t.Helper()
		g := newGateway(t, text)
		var r *reply
		for range asked {
			r = g.ask()
		}
		for i, name := range strings.Fields(all) {
			got := r.head[name]
			if i < 2 {
				got = r.withoutKey(t, name)
			}
			if got != want[i] && (want[i] != "*" || got == "") {
				t.Errorf("%s after %d: %s: %q, want %q", text, asked, name, got, want[i])
			}
		}
	}
	day := one("main", 2)
	f(day, 1, `"main";q=2;w=172800`, `"main";r=1;t=86400`, "", "", "", "")
	f(day, 3, `"main";q=2;w=172800`, `"main";r=0;t=86400`, "86400", "", "", "")
	f(day+"x_headers = true\n", 1, `"main";q=2;w=172800`, `"main";r=1;t=86400`, "", "2", "1", "86400")
	f(day+"x_headers = true\nheaders = false\n", 1, "", "", "", "2", "1", "86400")
	f(day+"headers = false\n", 3, "", "", "86400", "", "", "")
	f("[rate_limit.w]\nrate = \"5/day\"\nalgorithm = \"sliding_window\"\nheaders = false\nx_headers = true\ncost = 5\n"+one("main", 9, "x_headers = true"), 1,
		`"main";q=9;w=777600`, `"main";r=8;t=86400`, "", "5", "0", "*")
	f("[rate_limit.p]\nalgorithm = \"concurrency\"\nmax_in_flight = 4\nx_headers = true\n"+one("main", 9), 1,
		`"p";q=4;qu="concurrent-requests", "main";q=9;w=777600`, `"p";r=3, "main";r=8;t=86400`, "", "4", "3", "")
	f(one("a", 10, "x_headers = true")+one("b", 3, "x_headers = true"), 1,
		`"a";q=10;w=864000, "b";q=3;w=259200`, `"a";r=9;t=86400, "b";r=2;t=86400`, "", "3", "2", "86400")
	f(one("a", 2, "x_headers = true")+one("b", 90), 3,
		`"a";q=2;w=172800, "b";q=90;w=7776000`, `"a";r=0;t=86400, "b";r=88;t=172800`, "86400", "2", "0", "86400")
}

// TestToldReplaces: what the target says in the fields of the gateway does not reach the client, as far as they are one
// limit's; and the partition key of two clients differs.
func TestToldReplaces(t *testing.T) {
	g := newGateway(t, one("main", 9, "x_headers = true"))
	g.answer = func(x *edge.Exchange) edge.Verdict {
		x.Answer(200, "", nil)
		x.Resp.Set("X-RateLimit-Remaining", "1000")
		x.Resp.Set("X-RateLimit-Reset", "1000")
		x.Resp.Set("X-RateLimit-Limit", "1000")
		return edge.Answered
	}
	r := g.expect(200)
	if r.head["X-RateLimit-Limit"] != "9" || r.head["X-RateLimit-Remaining"] != "8" || r.head["X-RateLimit-Reset"] != "86400" {
		t.Errorf("%v", r.head)
	}
	_, key, _ := strings.Cut(r.head["RateLimit"], ";pk=")
	_, policy, _ := strings.Cut(r.head["RateLimit-Policy"], ";pk=")
	_, other, _ := strings.Cut(g.expect(200, from("192.0.2.8")).head["RateLimit"], ";pk=")
	if key != policy || key == other || key == "" {
		t.Errorf("keys %q, %q, and of another client %q", key, policy, other)
	}
}

// TestToldWhoRefuses: the fields with room for one limit tell of the one that refuses, though less is left of another.
func TestToldWhoRefuses(t *testing.T) {
	g := newGateway(t, one("all", 20, `key = "global"`, "x_headers = true")+one("mine", 5, "cost = 3", "x_headers = true"))
	g.expect(200)
	for i := range 15 {
		g.expect(200, from(fmt.Sprint("198.51.100.", i)))
	}
	if r := g.expect(429); r.head["X-RateLimit-Limit"] != "5" || r.head["X-RateLimit-Remaining"] != "2" || r.left("all") != "4" {
		t.Errorf("%v", r.head)
	}
	if r := g.expect(200, from("198.51.100.99")); r.head["X-RateLimit-Limit"] != "20" || r.head["X-RateLimit-Remaining"] != "3" {
		t.Errorf("one that passes: %v", r.head)
	}
}

// TestOwnAnswer: what a refused client gets in place of a problem.
func TestOwnAnswer(t *testing.T) {
	g := newGateway(t, one("main", 1, `answer = { status = 503, body = "slow down", headers = { X-A = "b", Content-Type = "text/x" } }`)+
		one("plain", 2))
	g.expect(200)
	r := g.expect(503)
	if r.head["X-A"] != "b" || r.head["Content-Type"] != "text/x" || r.head["Retry-After"] != "86400" || r.left("main") != "0" {
		t.Errorf("%v", r.head)
	}
	g.reload(one("main", 9, `answer = { }`) + one("plain", 2))
	if r := g.expect(200); r.head["X-A"] != "" {
		t.Errorf("%v", r.head)
	}
	if r := g.expect(429); r.head["Content-Type"] != "application/problem+json" || r.code != codeLimited {
		t.Errorf("refused by the one without an answer: %v", r.head)
	}
	g.reload(one("main", 2, `answer = { }`))
	if r := g.expect(429); r.head["Content-Type"] != "" || r.head["Retry-After"] == "" {
		t.Errorf("an answer without a body: %v", r.head)
	}
	// What somebody else refuses is not answered so.
	g.answer = func(x *edge.Exchange) edge.Verdict {
		x.Fault = edge.NoUpstream
		return edge.Answered
	}
	if r := g.expect(503, from("192.0.2.8")); r.head["Content-Type"] != "application/problem+json" {
		t.Errorf("%v", r.head)
	}
}

// TestCosts: what requests cost by their route, by the limit, and by what their answers say.
func TestCosts(t *testing.T) {
	var said []string
	g := newGateway(t, one("main", 100, "cost = 2", `cost_header = "x-cost"`)+one("other", 50)+
		"[[route]]\nprefix = \"/\"\nrate_limits = [\"main\", \"other\"]\n"+
		"[[route]]\nprefix = \"/dear\"\nrate_limits = [\"other\", \"main\"]\nrate_cost = 10\n")
	g.answer = func(x *edge.Exchange) edge.Verdict {
		x.Answer(200, "", nil)
		for _, v := range said {
			x.Resp.Add("X-Cost", v)
		}
		return edge.Answered
	}
	f := func(where, main, other string, costs ...string) {
		t.Helper()
		said = costs
		r := g.expect(200, path(where))
		if r.left("main") != main || r.left("other") != other || r.head["X-Cost"] != "" {
			t.Errorf("%s, %q: %v, want %s and %s left", where, costs, r.head, main, other)
		}
	}
	f("/", "98", "49")
	f("/dear", "88", "39")
	f("/", "81", "38", "7")
	f("/dear", "80", "28", "1")
	f("/", "80", "27", "0")
	f("/", "80", "26", "-5")
	f("/", "70", "25", "3, 10", "4")
	f("/", "68", "24", "many")
	f("/", "65", "23", "many", "3")
	f("/dear", "0", "13", "99999999999999999999999999")
	g.expect(429)
	if n := g.counter(`penstock_rate_limit_bad_costs_total{limit="main"}`); n != "2" {
		t.Errorf("%s costs were no number", n)
	}
	said = []string{"5"}
	if r := g.expect(429, path("/dear")); r.left("main") != "-35" && r.left("main") != "0" || r.left("other") != "13" {
		t.Errorf("refused: %v", r.head)
	}
	// Many at once, each of which turns out to be dear: all of them are charged.
	g.reload(one("main", 1000, `cost_header = "x-cost"`))
	g = newGateway(t, one("main", 1000, `cost_header = "x-cost"`))
	g.answer = func(x *edge.Exchange) edge.Verdict {
		x.Answer(200, "", nil)
		x.Resp.Add("X-Cost", "7")
		return edge.Answered
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				g.expect(200)
			}
		})
	}
	wg.Wait()
	if r := g.expect(200); r.left("main") != fmt.Sprint(1000-81*7) {
		t.Errorf("after 81 that cost 7: %v", r.head)
	}
}

// TestCounted: only answers with some statuses are charged, and what a limit refuses is none of them.
func TestCounted(t *testing.T) {
	status := 200
	g := newGateway(t, one("logins", 2, `count = "401,403,500-599"`, `answer = { status = 403 }`)+one("all", 100))
	g.answer = func(x *edge.Exchange) edge.Verdict {
		switch status {
		case 503:
			x.Fault = edge.NoUpstream
		case 499:
			x.Fault = edge.ClientGone
		default:
			x.Answer(status, "", nil)
		}
		return edge.Answered
	}
	f := func(answer, want int, logins, all string) {
		t.Helper()
		status = answer
		if r := g.expect(want); r.left("logins") != logins || r.left("all") != all {
			t.Errorf("%d: %v, want %s and %s left", answer, r.head, logins, all)
		}
	}
	f(200, 200, "2", "99")
	f(404, 404, "2", "98")
	f(499, 499, "2", "97")
	f(401, 401, "1", "96")
	f(200, 200, "1", "95")
	f(503, 503, "0", "94")
	for range 3 {
		f(200, 403, "0", "94")
	}
	g.reload(one("logins", 9, `count = "400-499"`) + one("all", 7))
	f(200, 200, "7", "0")
	for range 2 { // what another limit refuses is no answer of the route
		f(200, 429, "7", "0")
	}
	g.reload(one("logins", 2, `count = "401,403,500-599"`, `answer = { status = 403 }`) + one("all", 100))
	if s := g.status("logins"); s.Count != "401,403,500-599" || s.Decisions["limited"] != 3 || s.Keys != 1 {
		t.Errorf("%+v", s)
	}
}
