package observe

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// routeMetrics are the metrics that every route has.
type routeMetrics struct {
	requests       *metric.CounterRows // 1xx to 5xx
	received, sent *metric.Counters
	seconds        *metric.Histograms
}

func newRouteMetrics(m *metric.Scope) routeMetrics {
	return routeMetrics{
		requests: m.CounterRows("penstock_requests_total", "Requests that have ended.",
			[]string{"route", "status_class"}, []string{"1xx", "2xx", "3xx", "4xx", "5xx"}),
		seconds: m.Histograms("penstock_request_duration_seconds",
			"Time from the first byte of a request to the end of its answer; streams and tunnels count whole.",
			metric.DefaultBounds(), "route"),
		received: m.Counters("penstock_request_bytes_total", "Bytes of request bodies received.", "route"),
		sent:     m.Counters("penstock_response_bytes_total", "Bytes of answer bodies sent.", "route"),
	}
}

// newRecorder asks for the series of one route.
func newRecorder(o *observer, route string) *recorder {
	r := &recorder{route: route, phases: o.phases, log: o.log}
	r.classes = [5]*lanes.Counter(o.metrics.requests.With(route))
	r.seconds = o.metrics.seconds.With(route)
	r.received = o.metrics.received.With(route)
	r.sent = o.metrics.sent.With(route)
	r.rejected = rejections{metrics: o.host.Metrics, codes: o.codes, route: route}
	for _, code := range o.codes.of(route) {
		r.rejected.add(code)
	}
	if len(o.host.Config.Routes) <= mostForetold {
		for _, f := range foretold {
			r.rejected.add(f.Code)
		}
	}
	return r
}

// foretold are the faults whose series every route has from the start, so that the first of them is a change
// from 0. A file with very many routes gets its series when they count something.
var foretold = []*edge.Fault{
	edge.UpstreamConnect, edge.UpstreamConnectTimeout, edge.UpstreamTLS, edge.UpstreamReset,
	edge.UpstreamTimeout,
	edge.UpstreamProtocol, edge.UpstreamTruncated, edge.NoUpstream, edge.PoolBusy, edge.PoolWait,
	edge.NoRoute, edge.MethodNotAllowed, edge.BodyTooLarge, edge.ClientGone, edge.Internal,
}

const mostForetold = 500

// phaseMetrics are the durations of phases, of all routes together.
type phaseMetrics [phaseCount]*lanes.Histogram

func newPhaseMetrics(m *metric.Scope) *phaseMetrics {
	p := &phaseMetrics{}
	for i, name := range [phaseCount]string{"head", "policy", "connect", "wait", "body"} {
		p[i] = m.Histogram("penstock_phase_duration_seconds",
			"Time that requests spent in each phase they reached.", phaseBounds(), "phase", name)
	}
	return p
}

// phaseBounds begin where policies are: microseconds. There are as many as fit in 128 bytes a lane.
func phaseBounds() []time.Duration {
	const us, ms = time.Microsecond, time.Millisecond
	return []time.Duration{
		10 * us, 50 * us, 100 * us, 250 * us, 500 * us, ms, 5 * ms / 2, 5 * ms,
		10 * ms, 50 * ms, 100 * ms, 500 * ms, 5 * time.Second / 2, 10 * time.Second,
	}
}

func (p *phaseMetrics) observe(lane uint32, d *durations) {
	for i, h := range p {
		if d.phase[i] >= 0 {
			h.Observe(lane, d.phase[i])
		}
	}
}

// maxCodes bounds the codes of one route; what comes later is counted as otherCode.
const (
	maxCodes  = 64
	otherCode = "other"
)

// rejections are the counters of one route by code. Codes are not known beforehand: the first request with a
// new one adds its counter, all others find it without a lock.
type rejections struct {
	list atomic.Pointer[[]rejection] // never changed once stored; nil: none yet
	mu   sync.Mutex                  // held by whoever replaces list

	metrics *metric.Scope // open as long as a request of its generation lives
	codes   *codes
	route   string
}

type rejection struct {
	code string
	n    *lanes.Counter
}

func (r *rejections) count(lane uint32, code string) {
	n := r.find(code)
	if n == nil {
		n = r.add(code)
	}
	n.Inc(lane)
}

func (r *rejections) find(code string) *lanes.Counter {
	list := r.list.Load()
	if list == nil {
		return nil
	}
	for i := range *list {
		if (*list)[i].code == code {
			return (*list)[i].n
		}
	}
	if len(*list) > maxCodes {
		return (*list)[maxCodes].n // otherCode, the last that was added
	}
	return nil
}

func (r *rejections) add(code string) *lanes.Counter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.find(code); n != nil {
		return n
	}
	var old []rejection
	if list := r.list.Load(); list != nil {
		old = *list
	}
	if len(old) == maxCodes {
		code = otherCode
	}
	code = strings.Clone(code) // it may be part of something large
	n := r.metrics.Counter("penstock_rejections_total",
		"Requests that were refused, failed, or whose answer was cut, by code.", "route", r.route, "code", code)
	list := append(slices.Clone(old), rejection{code, n})
	r.list.Store(&list)
	r.codes.learn(r.route, code)
	return n
}

// codes remembers which codes each route has seen, so that a new generation asks for the same series and
// their counters go on.
type codes struct {
	mu      sync.Mutex // guards byRoute
	byRoute map[string][]string
}

func newCodes() (*codes, error) { return &codes{byRoute: make(map[string][]string)}, nil }

// of returns the codes of a route; the caller may keep the slice.
func (c *codes) of(route string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.byRoute[route])
}

func (c *codes) learn(route, code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seen := c.byRoute[route]; len(seen) <= maxCodes && !slices.Contains(seen, code) {
		c.byRoute[route] = append(seen, code)
	}
}

// prune forgets the routes that the file no longer has.
func (c *codes) prune(records []*recorder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := make(map[string][]string, len(c.byRoute))
	for _, r := range records {
		if seen := c.byRoute[r.route]; seen != nil {
			kept[r.route] = seen
		}
	}
	c.byRoute = kept
}
