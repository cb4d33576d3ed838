package limits

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// statusByPath is an origin that answers with the status at the end of the path, and fields of its own.
func statusByPath(t *testing.T) string {
	return strings.TrimPrefix(e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-RateLimit-Limit", "1000000")
		w.Header()["x-ratelimit-reset"] = []string{"7"} // as it is, and below as most write it
		w.Header()["X-RateLimit-Remaining"] = []string{"999"}
		if c := r.URL.Query().Get("cost"); c != "" {
			w.Header().Set("X-Cost", c)
		}
		status, _ := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		w.WriteHeader(max(status, 200))
	}), "http://")
}

// TestLimitAnswer: a limit answers as its file says, also those who pay a penalty; what else is refused stays as it is.
func TestLimitAnswer(t *testing.T) {
	t.Parallel()
	const once = "rate = \"1/h\"\nburst = 1\n"
	g := e2e.Start(t, manyLimits(e2e.Record(t, nil).Addr, map[string]string{
		"plain":   once + "answer = { body = \"slow {client} down\\n\" }\n",
		"page":    once + "answer = { status = 503, body = \"<h1>busy</h1>\", headers = { \"content-type\" = \"text/html\", X-Why = \"limit\" } }\n",
		"empty":   once + "answer = { status = 403 }\n",
		"banned":  once + "answer = { status = 420, body = \"no\" }\npenalty = { strikes = 2, ban = \"2h\" }\n",
		"denies":  once + "answer = { status = 420 }\ndeny = [\"192.0.2.0/24\"]\n",
		"keyless": once + "answer = { status = 420 }\nkey = \"header:X-Key\"\nmissing = \"refuse\"\n",
		"usual":   once,
	}, "[[route]]\npath = \"/two\"\npool = \"app\"\nrate_limits = [\"usual\", \"page\"]\n"))
	var all sync.WaitGroup
	f := func(path string, status int, kind, body string, lines ...string) {
		t.Helper()
		for range 4 {
			all.Go(func() {
				a := g.AskLines(path, lines...)
				after, _ := strconv.Atoi(a.Header.Get("Retry-After"))
				if a.StatusCode != status || a.Header.Get("Content-Type") != kind || a.Body != body || after < 3000 || after > 7200 ||
					a.Header.Get("RateLimit") == "" || a.Header.Get("X-Request-Id") == "" || (a.Header.Get("X-Why") == "limit") != (path == "/page") {
					t.Errorf("%s: %d %q %v", path, a.StatusCode, a.Body, a.Header)
				}
			})
		}
		all.Wait()
	}
	for _, path := range []string{"/plain", "/page", "/empty", "/banned", "/usual"} {
		if a := g.AskLines(path); a.StatusCode != 200 || a.Body != "ok" {
			t.Errorf("%s: %d %q", path, a.StatusCode, a.Body)
		}
	}
	f("/plain", 429, "text/plain; charset=utf-8", "slow {client} down\n", "Accept: text/html")
	f("/page", 503, "text/html", "<h1>busy</h1>", "Accept: application/json")
	f("/empty", 403, "", "")
	f("/banned", 420, "text/plain; charset=utf-8", "no")
	f("/banned", 420, "text/plain; charset=utf-8", "no")
	if a := g.AskLines("/usual"); a.StatusCode != 429 || a.Code() != "rate_limited" {
		t.Errorf("%d %q", a.StatusCode, a.Body)
	}
	if a := g.AskLines("/denies", "X-Forwarded-For: 192.0.2.1"); a.StatusCode != 403 || a.Code() != "denied" {
		t.Errorf("%d %q", a.StatusCode, a.Body)
	}
	if a := g.AskLines("/keyless"); a.StatusCode != 401 || a.Code() != "rate_limit_key_missing" {
		t.Errorf("%d %q", a.StatusCode, a.Body)
	}
	if a := g.Ask("HEAD", "/page"); a.Status != 503 || a.Body != "" || a.Header.Get("Content-Length") != "13" {
		t.Errorf("%+v", a)
	}
	g.Counted(`penstock_rejections_total{code="rate_limited",route="page"}`, 5)
	e2e.Eventually(t, "one was refused for what it did before", func() bool {
		return g.Metric(`penstock_rate_limit_decisions_total{decision="banned",limit="banned"}`) > 0
	})
}

// TestXRateLimit: the older fields stand beside the standard ones, and are the gateway's alone.
func TestXRateLimit(t *testing.T) {
	t.Parallel()
	g := e2e.Start(t, manyLimits(statusByPath(t), map[string]string{
		"a":    "rate = \"1/min\"\nburst = 3\nx_headers = true\n",
		"w":    "rate = \"2/h\"\nalgorithm = \"sliding_window\"\nx_headers = true\nheaders = false\n",
		"c":    "algorithm = \"concurrency\"\nmax_in_flight = 5\nx_headers = true\n",
		"none": "rate = \"1/min\"\nburst = 3\n",
	}, "[[route]]\npath = \"/both\"\npool = \"app\"\nrate_limits = [\"w\", \"none\", \"a\"]\n"))
	f := func(path string, status int, limit, left string, least, most int) {
		t.Helper()
		a := g.AskLines(path)
		get := func(name string) string { return strings.Join(a.Header.Values("X-RateLimit-"+name), " ") }
		reset, err := strconv.Atoi(get("Reset"))
		if a.StatusCode != status || get("Limit") != limit || get("Remaining") != left || most > 0 && (err != nil || reset < least || reset > most) {
			t.Errorf("%s: %d %v, want %s and %s, %d to %d s", path, a.StatusCode, a.Header, limit, left, least, most)
		}
		if (a.Header.Get("RateLimit") == "") != strings.HasPrefix(path, "/w") {
			t.Errorf("%s: %v", path, a.Header)
		}
	}
	f("/none", 200, "1000000", "999", 7, 7)
	f("/c", 200, "5", "4", 0, 0)
	f("/a", 200, "3", "2", 60, 60)
	f("/a", 200, "3", "1", 119, 120)
	f("/w", 200, "2", "1", 3600, 7200)
	f("/both", 200, "2", "0", 3600, 7200) // of both the smaller part
	f("/both", 429, "2", "0", 1, 7200)    // who refuses
	f("/w", 429, "2", "0", 1, 7200)
	f("/a", 429, "3", "0", 59, 60)
}

// TestCountByStatus: only requests whose answers have one of the statuses are charged, in every algorithm and scope.
func TestCountByStatus(t *testing.T) {
	t.Parallel()
	redis := e2e.StartRedis(t)
	limits := map[string]string{}
	for scope, of := range map[string]string{"node": "", "exact": "scope = \"fleet\"\nfleet_timeout = \"5s\"\n",
		"fast": "scope = \"fleet\"\nfleet = \"fast\"\nfleet_lease = 10\n"} {
		base := "key = \"header:X-Key\"\ncount = \"401,403,500-599\"\n" + of
		limits[scope+"-gcra"] = base + "rate = \"1/h\"\nburst = 3\n"
		limits[scope+"-window"] = base + "rate = \"3/day\"\nalgorithm = \"sliding_window\"\n"
		limits[scope+"-quota"] = base + "quota = 3\nperiod = \"month\"\nalgorithm = \"quota\"\n"
	}
	limits["node-quota"] += "file = \"" + filepath.Join(t.TempDir(), "quota") + "\"\n"
	limits["own"] = "rate = \"1/h\"\nburst = 3\ncount = \"400-499\"\nanswer = { status = 403 }\n"
	limits["cost"] = "rate = \"1/h\"\nburst = 9\ncount = \"401\"\ncost = 2\ncost_header = \"X-Cost\"\n"
	limits["watched"] = "rate = \"1/h\"\nburst = 2\ncount = \"401\"\nmode = \"observe\"\n"
	limits["ban"] = "rate = \"1/h\"\nburst = 1\ncount = \"401\"\npenalty = { strikes = 1, ban = \"5h\" }\n"
	limits["first"] = "rate = \"1/h\"\nburst = 2\ncount = \"200-299\"\n"
	g := e2e.Start(t, manyLimits(statusByPath(t), limits, "[redis]\naddress = \""+redis.Addr+"\"\n"+
		"[[route]]\nprefix = \"/pair\"\npool = \"app\"\nrate_limits = [\"first\", \"node-gcra\"]\n"))
	e2e.Eventually(t, "the server of the fleet answers", func() bool { return g.Metric("penstock_redis_up") == 1 })
	f := func(want string, path string, requests ...string) {
		t.Helper()
		got := ""
		for _, r := range requests {
			got += fmt.Sprint(g.AskLines(path+"/"+r, "X-Key: k").StatusCode, " ")
		}
		if got != want+" " {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	var all sync.WaitGroup
	for name := range limits {
		if !strings.Contains(name, "-") {
			continue
		}
		all.Go(func() {
			f("200 200 404 200 401 200 403 500", "/"+name, "200", "200", "404", "200", "401", "200", "403", "500")
			if strings.HasPrefix(name, "node-") {
				f("429 429", "/"+name, "200", "401")
			}
			refused := 0 // in a row: the server of a fleet hears of the last answer some milliseconds later
			e2e.Eventually(t, "the budget is gone", func() bool {
				if refused++; g.AskLines("/"+name+"/401", "X-Key: k").StatusCode != 429 {
					refused = 0
				}
				return refused == 3
			})
			if a := g.AskLines("/"+name+"/200", "X-Key: other"); a.StatusCode != 200 || !strings.Contains(a.Header.Get("RateLimit"), ";r=3;") {
				t.Errorf("/%s: another key: %d %v", name, a.StatusCode, a.Header)
			}
		})
	}
	all.Wait()
	f("404 404 404 403 403", "/own", "404", "404", "404", "404", "404") // its own refusals are not counted
	if after := g.AskLines("/own/200").Header.Get("Retry-After"); after < "3500" || len(after) != 4 {
		t.Errorf("Retry-After %s: refusals were charged", after)
	}
	f("200 401 401 429", "/cost", "200?cost=9", "401?cost=4", "401?cost=4", "401")
	f("401 401 401 200", "/watched", "401", "401", "401", "200")
	f("401 429 429", "/ban", "401", "200", "200")
	if after := g.AskLines("/ban/200").Header.Get("Retry-After"); len(after) != 5 {
		t.Errorf("Retry-After %s of a ban of five hours", after)
	}
	f("429 429", "/pair", "200", "200") // node-gcra refuses: nobody is charged
	for range 6 {
		all.Go(func() { g.AskLines("/first/200") })
	}
	all.Wait()
	f("429", "/first", "404")
}

// TestResetKey: an operator gives a key its limit anew, and ends a ban, in every algorithm and scope.
func TestResetKey(t *testing.T) {
	t.Parallel()
	redis := e2e.StartRedis(t)
	limits := map[string]string{}
	for scope, of := range map[string]string{"node": "", "exact": "scope = \"fleet\"\nfleet_timeout = \"5s\"\n",
		"fast": "scope = \"fleet\"\nfleet = \"fast\"\n"} {
		base := "key = \"header:X-Key\"\n" + of
		limits[scope+"-gcra"] = base + "rate = \"1/h\"\nburst = 1\n"
		limits[scope+"-window"] = base + "rate = \"1/day\"\nalgorithm = \"sliding_window\"\n"
		limits[scope+"-quota"] = base + "quota = 1\nperiod = \"month\"\nalgorithm = \"quota\"\n"
	}
	limits["node-quota"] += "file = \"" + filepath.Join(t.TempDir(), "quota") + "\"\n"
	const once = "rate = \"1/h\"\nburst = 1\n"
	limits["ban"] = "rate = \"1/h\"\nburst = 1\nkey = \"header:X-Key\"\npenalty = { strikes = 2, ban = \"5h\" }\n"
	limits["ip"] = once
	limits["list"] = once + "key = [\"ip\", \"header:X-Key\", \"route\", \"cookie:id\"]\n"
	limits["byip"] = once + "key = [\"header:X-Key\", \"method\"]\nmissing = \"ip\"\n"
	limits["all"] = once + "key = \"global\"\n"
	limits["flights"] = "algorithm = \"concurrency\"\nmax_in_flight = 1\n"
	limits["refuse"] = once + "key = \"query:k\"\nmissing = \"refuse\"\n"
	conf := manyLimits(e2e.Record(t, nil).Addr, limits, "[redis]\naddress = \""+redis.Addr+"\"\n")
	nodes := startFleet(t, 2, conf)
	g := nodes[0]
	ask := func(g *e2e.Gateway, path string, lines ...string) int { return g.AskLines(path, lines...).StatusCode }
	f := func(limit, query string, want string, n int, lines ...string) {
		t.Helper()
		path := "/" + limit
		before := fmt.Sprint(ask(g, path, lines...), ask(g, path, lines...))
		status, reset := g.Resets(limit, query)
		got := fmt.Sprint(before, " ", status, " ", ask(g, path, lines...))
		if got != want || reset != n {
			t.Errorf("%s?%s: %s, %d were reset, want %s and %d", limit, query, got, reset, want, n)
		}
	}
	const works = "200 429 200 200"
	secret := "a b&c=\xc3\xbc/+"
	var all sync.WaitGroup
	for name := range limits {
		if !strings.Contains(name, "-") {
			continue
		}
		all.Go(func() {
			f(name, "key="+url.QueryEscape(secret), works, 1, "X-Key: "+secret)
			f(name, "key=other", "429 429 200 429", 0, "X-Key: "+secret)
			f(name, "key=", works, 1)
			f(name, "key=x%0Ay", works, 1, "X-Key: x", "X-Key: y")
		})
	}
	all.Wait()
	for _, exact := range []string{"exact-gcra", "exact-window", "exact-quota"} { // on the server too
		ask(nodes[1], "/"+exact, "X-Key: two")
		f(exact, "key=two", "429 429 200 200", 1, "X-Key: two")
	}
	for range 4 {
		all.Go(func() { ask(g, "/ban", "X-Key: a") })
	}
	all.Wait()
	if after := g.AskLines("/ban", "X-Key: a").Header.Get("Retry-After"); len(after) != 5 {
		t.Errorf("Retry-After %s of a ban of five hours", after)
	}
	if status, n := g.Resets("ban", "key=a"); status != 200 || n != 1 || ask(g, "/ban", "X-Key: a") != 200 {
		t.Errorf("a ban: %d, %d were reset", status, n)
	}
	f("ip", "key=192.0.2.7", works, 1, "X-Forwarded-For: 192.0.2.7")
	f("ip", "key=2001:db8::1", works, 1, "X-Forwarded-For: 2001:db8::2") // the network is the key
	f("list", "key=192.0.2.7&key=a&key=list&key=7", works, 1, "X-Forwarded-For: 192.0.2.7", "X-Key: a", "Cookie: id=7")
	f("list", "key=192.0.2.8&key=&key=list&key=7", works, 1, "X-Forwarded-For: 192.0.2.8", "Cookie: id=7")
	f("byip", "key=&key=GET&address=192.0.2.9", works, 1, "X-Forwarded-For: 192.0.2.9")
	f("all", "key=global", works, 1)
	bad := func(limit, query string, want int) {
		t.Helper()
		if status, _ := g.Resets(limit, query); status != want {
			t.Errorf("%s?%s: %d, want %d", limit, query, status, want)
		}
	}
	bad("nobody", "key=a", 404)
	bad("ip", "", 400)
	bad("ip", "key=", 400)
	bad("ip", "key=somebody", 400)
	bad("ip", "key=192.0.2.1&key=192.0.2.2", 400)
	bad("list", "key=192.0.2.1", 400)
	bad("byip", "key=&key=GET", 400)
	bad("refuse", "key=", 400)
	bad("flights", "key=127.0.0.1", 400)
	bad("all", "key=a", 400)
	for _, query := range []string{"key=%zz", "key=100%", "ke%zy=a&key=a", "key=a&kye=b", "key=a&address=192.0.2.1"} {
		bad("node-gcra", query, 400)
	}
	bad("byip", "key=&key=GET&address=192.0.2.9&address=192.0.2.8", 400)
	if strings.Contains(g.Log.String(), url.QueryEscape(secret)) || strings.Contains(g.Log.String(), "key=other") {
		t.Errorf("the log shows a key")
	}
	redis.Kill()
	e2e.Eventually(t, "the server is missed", func() bool { return g.Metric("penstock_redis_up") == 0 })
	bad("exact-gcra", "key=a", 503)
	bad("node-gcra", "key=a", 200)
}
