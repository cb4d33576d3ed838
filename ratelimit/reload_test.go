package ratelimit

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// TestReloadKeeps: what was spent stays spent as long as a generation has the limit; another table begins anew.
func TestReloadKeeps(t *testing.T) {
	g := newGateway(t, one("main", 5)+one("other", 5))
	g.expect(200)
	g.expect(200)
	f := func(text, left string) {
		t.Helper()
		g.reload(text)
		if r := g.expect(200); r.left("main") != left {
			t.Errorf("%q: %v, want %s left", text, r.head, left)
		}
	}
	f(one("other", 5)+one("main", 5), "2")
	f(one("main", 10), "6")
	f(one("main", 10, "mode = \"observe\"", "headers = true", "key = [\"ip\"]", "cost = 2"), "4")
	f(one("main", 8), "1")
	g.reload(one("main", 1)) // which owes no more than 1
	g.expect(429)
	f(one("main", 2), "0")
	f(one("main", 2, "max_keys = 5000"), "1")
	f(one("main", 2, "max_keys = 5000", "exact = true"), "1")
	f("[rate_limit.main]\nrate = \"9/day\"\nalgorithm = \"sliding_window\"\n", "8")
	f("[rate_limit.main]\nrate = \"5/day\"\nalgorithm = \"sliding_window\"\n", "3")
	f("[rate_limit.main]\nalgorithm = \"concurrency\"\nmax_in_flight = 2\n", "1")
	f(one("main", 5), "4") // nobody has had it meanwhile
	if errs := g.load(one("main", 0)); errs == "" {
		t.Error("a file with a mistake holds")
	}
	if r := g.expect(200); r.left("main") != "3" {
		t.Errorf("after a file that does not hold: %v", r.head)
	}
}

// TestReloadUnderLoad: while files come and go, requests of both of two generations count, none twice.
func TestReloadUnderLoad(t *testing.T) {
	const workers, each = 6, 200
	g := newGateway(t, one("main", 1_000_000)+"[rate_limit.places]\nalgorithm = \"concurrency\"\nmax_in_flight = 6\n")
	stop := make(chan bool)
	var loads, asks sync.WaitGroup
	loads.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			g.reload(one("main", 1_000_000+i%2) + "[rate_limit.places]\nalgorithm = \"concurrency\"\nmax_in_flight = 6\n")
		}
	})
	for range workers {
		asks.Go(func() {
			for range each {
				g.expect(200)
			}
		})
	}
	asks.Wait()
	close(stop)
	loads.Wait()
	g.reload(one("main", 1_000_000) + "[rate_limit.places]\nalgorithm = \"concurrency\"\nmax_in_flight = 6\n")
	if r := g.expect(200); r.left("main") != fmt.Sprint(1_000_000-workers*each-1) || r.left("places") != "5" {
		t.Errorf("%d were asked, and %v", workers*each+1, r.head)
	}
}

// TestReloadUnderWay: a request goes by the file that it began with, and gives back what that one took.
func TestReloadUnderWay(t *testing.T) {
	places := func(n int) string {
		return fmt.Sprintf("[rate_limit.places]\nalgorithm = \"concurrency\"\nmax_in_flight = %d\n", n)
	}
	g := newGateway(t, places(2)+one("main", 9, "cost_header = \"X-Cost\""))
	enter, leave := make(chan bool), make(chan bool)
	g.answer = func(x *edge.Exchange) edge.Verdict {
		enter <- true
		<-leave
		x.Answer(200, "", nil)
		x.Resp.Set("X-Cost", "4")
		return edge.Answered
	}
	ended := make(chan *reply)
	begin := func() {
		go func() { ended <- g.ask() }()
		<-enter
	}
	begin()
	begin()
	old := g.current.Load()
	g.reload(places(1) + one("main", 9))
	g.expect(429)
	if n := g.status("places").Keys; n != 1 {
		t.Errorf("%d keys with requests under way, which have begun before", n)
	}
	leave <- true
	if r := <-ended; r.left("main") != "4" {
		t.Errorf("the first one: %v, want what two have taken and one has cost", r.head)
	}
	g.expect(429)
	leave <- true
	<-ended
	await(func() bool { return old.Pins() == 0 })
	go func() { <-enter; leave <- true }()
	if r := g.expect(200); r.left("main") != "0" || r.left("places") != "0" {
		t.Errorf("the next one: %v", r.head)
	}
}

// TestMistakesOfRoutes: what a route says of limits that there are not, or that no request would ever pass.
func TestMistakesOfRoutes(t *testing.T) {
	f := func(keys, want string) {
		t.Helper()
		g := &gateway{t: t, keeper: edge.NewKeeper(), metrics: metric.NewRegistry()}
		errs := g.load(one("main", 5) + "[rate_limit.places]\nalgorithm = \"concurrency\"\nmax_in_flight = 1\n[[route]]\nprefix = \"/\"\n" + keys + "\n")
		if want == "" && errs != "" || !strings.Contains(errs, want) {
			t.Errorf("%s: %q, want %q", keys, errs, want)
		}
		if want == "" {
			g.current.Swap(edge.NewGeneration(0, func() {}))
		}
	}
	f(`rate_limits = []`, "")
	f(`rate_limits = ["places", "main"]`, "")
	f(`rate_limits = ["mains"]`, `did you mean "main"`)
	f(`rate_limits = ["main", "places", "main"]`, "names a limit twice")
	f(`rate_limits = "main"`, "rate_limits")
	f(`rate_limits = [7]`, "rate_limits")
	f("rate_limits = [\"main\"]\nrate_cost = 5", "")
	f("rate_limits = [\"main\"]\nrate_cost = 6", `no request would ever pass the limit "main": it costs 6, and a key has 5 at most, the burst`)
	f("rate_limits = [\"places\"]\nrate_cost = 6", "")
	f("rate_limits = [\"main\"]\nrate_cost = -1", "must be 0 or more")
	f("rate_limits = [\"main\"]\nrate_cost = \"1\"", "rate_cost")
	f("rate_limits = [\"main\"]\nrate_cost = 0.5", "rate_cost")
}

// post calls the admin interface.
func (g *gateway) post(limit, query string) (int, string) {
	var ctx fasthttp.RequestCtx
	ctx.Request.SetRequestURI("http://a/rate_limits/" + limit + "/reset?" + query)
	ctx.SetUserValue("name", limit)
	g.h.Handlers()[0].Handle(&ctx)
	return ctx.Response.StatusCode(), string(ctx.Response.Body())
}

// TestResetByAdmin: a key that is forgotten has all of its limit, and no other one has.
func TestResetByAdmin(t *testing.T) {
	g := newGateway(t, one("main", 1, "key = [\"ip\", \"header:x-key\"]", "missing = \"ip\"", "penalty = { strikes = 1, ban = \"1h\" }")+
		"[rate_limit.places]\nalgorithm = \"concurrency\"\nmax_in_flight = 9\n")
	f := func(limit, query string, status int, body string) {
		t.Helper()
		if got, text := g.post(limit, query); got != status || !strings.Contains(text, body) {
			t.Errorf("%s?%s: %d %q, want %d %q", limit, query, got, text, status, body)
		}
	}
	for _, key := range []string{"a", "b c"} {
		g.expect(200, with("X-Key", key))
		g.expect(429, with("X-Key", key))
		g.expect(429, with("X-Key", key))
	}
	if n := g.status("main").Banned; n != 2 {
		t.Errorf("%d are banned", n)
	}
	f("main", "key=192.0.2.7&key=a", 200, `{"reset": 1}`)
	f("main", "key=192.0.2.7&key=a", 200, `{"reset": 0}`)
	g.expect(200, with("X-Key", "a"))
	g.expect(429, with("X-Key", "b c"))
	f("main", "key=%3A%3Affff:192.0.2.7&key=b%20c", 200, `{"reset": 1}`)
	g.expect(200, with("X-Key", "b c"))
	g.expect(200)
	f("main", "key=192.0.2.7&key=&address=192.0.2.7", 200, `{"reset": 1}`)
	g.expect(200)
	f("main", "key=192.0.2.7&key=", 400, "address")
	f("main", "key=192.0.2.7", 400, "in this order: ip, header:X-Key; 1 are given")
	f("main", "", 400, "0 are given")
	f("main", "key=192.0.2.7&key=a&address=1.1.1.1", 400, "none is")
	f("main", "key=here&key=a", 400, `"here" is not an address`)
	f("main", "key=%zz&key=a", 400, "")
	f("main", "key=192.0.2.7&key=a&which=all", 400, "means nothing here")
	f("main", "address=1.1.1.1&address=1.1.1.1", 400, "twice")
	f("places", "key=192.0.2.7", 400, "nothing to forget")
	f("mine", "key=192.0.2.7", 404, "no such limit")
}

// TestStatusDocument: what /status shows of limits of all kinds can be written as JSON, and has what was configured.
func TestStatusDocument(t *testing.T) {
	dir := t.TempDir()
	text := one("a", 3, "count = \"401\"", "max_keys = 77") +
		"[rate_limit.b]\nrate = \"7/min\"\nalgorithm = \"sliding_window\"\nmode = \"observe\"\n" +
		"[rate_limit.c]\nalgorithm = \"concurrency\"\nmax_in_flight = 2\n" +
		fmt.Sprintf("[rate_limit.d]\nalgorithm = \"quota\"\nquota = 8\nperiod = \"month\"\nfile = %q\n", filepath.Join(dir, "q"))
	g := newGateway(t, text)
	g.expect(200)
	raw, err := json.Marshal(g.in.Status())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"name":"a","algorithm":"gcra","rate":"1/day","burst":3,"mode":"enforce","scope":"node","count":"401","missing":"one","without_key":0,"exempt":0,"keys":0,"max_keys":77,`,
		`{"name":"b","algorithm":"sliding_window","rate":"7/min","mode":"observe",`,
		`{"name":"c","algorithm":"concurrency","max_in_flight":2,`,
		`{"name":"d","algorithm":"quota","quota":8,"period":"month",`,
		`"decisions":{"allowed":1,"banned":0,"denied":0,"limited":0,"missing":0,"observed":0,"skipped":0,"unknown":0},"banned":0,"top_offenders":[]`,
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s\nhas no %s", raw, want)
		}
	}
	if b := g.status("a").Bytes; b < 77*8 || b > 77*32 {
		t.Errorf("77 keys take %d bytes", b)
	}
	for name, want := range map[string]string{
		`penstock_rate_limit_decisions_total{decision="allowed",limit="d"}`: "1",
		`penstock_rate_limit_decisions_total{decision="limited",limit="a"}`: "0",
		`penstock_quota_write_errors_total{limit="d"}`:                      "0",
	} {
		if got := g.counter(name); got != want {
			t.Errorf("%s is %q, want %s", name, got, want)
		}
	}
}

// TestQuotaOutlives: what a quota has counted is in its file when the gateway has ended, and holds when it begins again.
func TestQuotaOutlives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.quota")
	text := fmt.Sprintf("[rate_limit.plan]\nalgorithm = \"quota\"\nquota = 3\nperiod = \"month\"\nkey = \"header:x-key\"\nfile = %q\n", file)
	t.Run("first", func(t *testing.T) {
		g := newGateway(t, text)
		for _, left := range []string{"2", "1"} {
			if r := g.expect(200, with("X-Key", "a")); r.left("plan") != left || !strings.HasPrefix(r.withoutKey(t, "RateLimit-Policy"), `"plan";q=3;w=`) {
				t.Errorf("%v, want %s left", r.head, left)
			}
		}
		g.reload(text + one("other", 5))
		g.expect(200, with("X-Key", "b"))
		if errs := g.load(text + strings.Replace(text, "plan]", "twin]", 1)); !strings.Contains(errs, "is that of another limit") {
			t.Errorf("one file of two limits: %q", errs)
		}
		g.in.Save()
	})
	t.Run("second", func(t *testing.T) {
		g := newGateway(t, strings.Replace(text, "quota = 3", "quota = 4", 1))
		g.expect(200, with("X-Key", "a"))
		g.expect(200, with("X-Key", "a"))
		r := g.expect(429, with("X-Key", "a"))
		if r.head["Retry-After"] == "" || r.left("plan") != "0" {
			t.Errorf("%v", r.head)
		}
		if status, body := g.post("plan", "key=a"); status != 200 || !strings.Contains(body, "1") {
			t.Errorf("%d %s", status, body)
		}
		if r := g.expect(200, with("X-Key", "b")); r.left("plan") != "2" {
			t.Errorf("%v", r.head)
		}
		g.expect(200, with("X-Key", "a"))
	})
	if errs := newGateway(t, "").load(strings.Replace(text, file, "/proc/none/plan", 1)); !strings.Contains(errs, "rate_limit.plan.file") {
		t.Errorf("a file that cannot be: %q", errs)
	}
}

// TestTimeGivesBack: what a key has spent is there again when its time has passed, to the sixteenth of a request.
func TestTimeGivesBack(t *testing.T) {
	g := newGateway(t, "[rate_limit.main]\nrate = \"1/h\"\nburst = 2\n")
	start := clock.Now()
	at := func(after time.Duration) func(x *edge.Exchange) {
		return func(x *edge.Exchange) { x.Times.Head = start + int64(after) }
	}
	g.expect(200, at(0))
	g.expect(200, at(0))
	g.expect(429, at(0))
	g.expect(429, at(55*time.Minute))
	g.expect(200, at(64*time.Minute))
	g.expect(429, at(64*time.Minute))
	g.expect(429, at(0)) // a core whose clock is behind
	g.expect(200, at(24*365*time.Hour))
	g.expect(200, at(24*365*time.Hour))
	g.expect(429, at(24*365*time.Hour))
}
