package observe

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// sender is a front that sends nothing anywhere.
type sender struct{ cut *edge.Fault }

func (s sender) Send(*edge.Exchange, bool) (edge.Outcome, *edge.Fault) { return edge.Ended, s.cut }

type filterFunc func(x *edge.Exchange) edge.Verdict

func (f filterFunc) Run(x *edge.Exchange) edge.Verdict { return f(x) }

// The flow itself decides what status and code are: the filter is run by edge.Serve.
func TestOutcomes(t *testing.T) {
	f := func(early func(x *edge.Exchange) edge.Verdict, cut *edge.Fault, status, code, line string) {
		t.Helper()
		s := newStage(t).build("output = \"LOG\"\nformat = \"{status} {code} {seconds_wait}\"")
		g := edge.NewGeneration(1, func() {})
		g.Nowhere, g.Early = s.nowhere, []edge.Filter{filterFunc(early)}
		x := &edge.Exchange{}
		x.Times.Start = clock.Now()
		edge.Serve(g, x, sender{cut}, true)
		s.wantMetric(`penstock_requests_total{route="none",status_class="` + status + `"} 1`)
		s.wantMetric(`penstock_request_duration_seconds_count{route="none"} 1`)
		if code != "" {
			s.wantMetric(`penstock_rejections_total{code="` + code + `",route="none"} 1`)
		} else if regexp.MustCompile(`penstock_rejections_total\{[^}]*\} [1-9]`).MatchString(s.metrics()) {
			t.Errorf("%s: a rejection was counted:\n%s", line, s.metrics())
		}
		if got := s.logged()[0]; got != line {
			t.Errorf("got %q, want %q", got, line)
		}
	}
	answer := func(x *edge.Exchange) edge.Verdict { x.Answer(204, "", nil); return edge.Answered }
	refuse := func(x *edge.Exchange) edge.Verdict { x.Fault = edge.BodyTooLarge; return edge.Answered }
	f(answer, nil, "2xx", "", "204 - -")
	f(refuse, nil, "4xx", "body_too_large", "413 body_too_large -")
	// The answer began and was cut: its status stays, the code tells.
	f(answer, edge.UpstreamTruncated, "2xx", "upstream_truncated", "204 upstream_truncated -")
	f(answer, edge.ClientGone, "2xx", "client_gone", "204 client_gone -")
	f(func(x *edge.Exchange) edge.Verdict { x.Fault = edge.ClientGone; return edge.Answered },
		nil, "4xx", "client_gone", "499 client_gone -")
	f(func(*edge.Exchange) edge.Verdict { return edge.Drop }, nil, "4xx", "dropped", "444 dropped -")
	f(func(x *edge.Exchange) edge.Verdict { x.Fault = edge.RequestTimeout; return edge.Drop },
		nil, "4xx", "request_timeout", "408 request_timeout -")
	f(func(*edge.Exchange) edge.Verdict { panic("a filter broke") }, nil, "5xx", "internal", "500 internal -")
}

func TestTunnel(t *testing.T) {
	s := newStage(t).build("output = \"LOG\"\nformat = \"{status} {seconds}\"")
	x := request()
	x.SetStatus(101)
	run(s.plan, x)
	s.wantMetric(`penstock_requests_total{route="users",status_class="1xx"} 1`)
	if got := s.logged()[0]; got != "101 0.031000" {
		t.Errorf("got %q", got)
	}
}

func TestClass(t *testing.T) {
	f := func(status, want int) {
		t.Helper()
		if got := class(status); got != want {
			t.Errorf("class(%d) = %d, want %d", status, got, want)
		}
	}
	f(0, 0)
	f(101, 0)
	f(200, 1)
	f(299, 1)
	f(308, 2)
	f(499, 3)
	f(500, 4)
	f(599, 4)
	f(999, 4)
}

func TestMeasure(t *testing.T) {
	f := func(times edge.Timing, total time.Duration, phases ...time.Duration) {
		t.Helper()
		got := measure(&times)
		if got.total != total || [phaseCount]time.Duration(phases) != got.phase {
			t.Errorf("%+v: got %v", times, got)
		}
	}
	f(edge.Timing{Start: 1, Head: 3, Policy: 6, First: 15, Done: 21, Trip: edge.Trip{Sent: 10, Connect: 3}}, 20, 2, 3, 3, 5, 6)
	f(edge.Timing{Start: 1, Head: 3, Policy: 6, First: 15, Done: 21}, 20, 2, 3, -1, -1, 6) // answered here
	f(edge.Timing{Start: 1, Policy: 6, First: 8, Done: 21}, 20, -1, -1, -1, -1, 13)        // head refused
	f(edge.Timing{Start: 1, Head: 3, Policy: 6, Done: 7}, 6, 2, 3, -1, -1, -1)             // dropped
	f(edge.Timing{Start: 1, Head: 3, Policy: 6, First: 9, Done: 9, Trip: edge.Trip{Connect: 3}}, 8, 2, 3, 3, -1, 0)
}

func TestMetrics(t *testing.T) {
	s := newStage(t).build(`output = "off"`)
	defer s.close()
	x := request()
	run(s.plan, x)
	x.SetStatus(502)
	x.Fault = edge.UpstreamReset
	run(s.plan, x)
	s.wantMetric(`penstock_requests_total{route="users",status_class="2xx"} 1`)
	s.wantMetric(`penstock_requests_total{route="users",status_class="5xx"} 1`)
	s.wantMetric(`penstock_request_duration_seconds_bucket{route="users",le="0.05"} 2`)
	s.wantMetric(`penstock_request_bytes_total{route="users"} 24`)
	s.wantMetric(`penstock_response_bytes_total{route="users"} 690`)
	s.wantMetric(`penstock_rejections_total{code="upstream_reset",route="users"} 1`)
	s.wantMetric(`penstock_phase_duration_seconds_count{phase="connect"} 2`)
	s.wantMetric(`penstock_phase_duration_seconds_bucket{phase="wait",le="0.01"} 2`)
}

// A reload keeps the counters of codes that only the old generation has seen.
func TestCodesOutliveReload(t *testing.T) {
	old := newStage(t).build(`output = "off"`)
	x := request()
	x.Fault = edge.PoolBusy
	run(old.plan, x)
	next := *old
	next.build(`output = "off"`)
	old.close()
	next.wantMetric(`penstock_rejections_total{code="pool_busy",route="users"} 1`)
	run(next.plan, x)
	next.wantMetric(`penstock_rejections_total{code="pool_busy",route="users"} 2`)
	next.close()
	if got := next.metrics(); got != "" {
		t.Errorf("series without a generation:\n%s", got)
	}
}

// Routes that are gone are forgotten.
func TestCodesArePruned(t *testing.T) {
	c, _ := newCodes()
	c.learn("users", "no_upstream")
	c.learn("orders", "pool_busy")
	c.prune([]*recorder{{route: "orders"}, {route: "carts"}})
	if got := c.of("users"); len(got) != 0 {
		t.Errorf("users: %q", got)
	}
	if got := c.of("orders"); len(got) != 1 || got[0] != "pool_busy" {
		t.Errorf("orders: %q", got)
	}
}

// However many codes there are, and whoever sees them first, a route has a bounded number of series.
func TestCodesAreBounded(t *testing.T) {
	s := newStage(t).build(`output = "off"`)
	defer s.close()
	const goroutines, each = 4, 2 * maxCodes
	want := maxCodes + 1 + len(foretold) // those of requests without a route are there too
	var wg sync.WaitGroup
	for lane := range uint32(goroutines) {
		wg.Go(func() {
			for i := range each {
				x := request()
				x.Lane = lane
				x.Fault = x.Refuse(400, edge.SideClient, fmt.Sprintf("code_%d", i), "")
				run(s.plan, x)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(s.metrics(), "penstock_rejections_total{"); n != want {
		t.Errorf("%d series, want %d", n, want)
	}
	s.wantMetric(fmt.Sprintf(`penstock_rejections_total{code="other",route="users"} %d`,
		goroutines*(each-maxCodes+len(foretold))))
	again := *s
	again.build(`output = "off"`)
	defer again.close()
	if n := strings.Count(again.metrics(), "penstock_rejections_total{"); n != want {
		t.Errorf("%d series after a reload, want %d", n, want)
	}
}

func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no promtool; make deps brings it")
		}
		t.Skip("no promtool; make deps brings it")
	}
	s := newStage(t).build(`output = "LOG"`)
	defer s.close()
	x := request()
	x.Fault = edge.UpstreamTimeout
	run(s.plan, x)
	run(s.nowhere, x)
	var b bytes.Buffer
	b.WriteString(s.metrics())
	if err := metric.WriteProcess(&b); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = &b
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}
