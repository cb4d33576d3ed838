//go:build sim

package sim

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// given is an answer that a target has made.
type given struct {
	id          string // of the answer
	token, path string // of the request
	kind        string // value of the field that the answer varies by
	varies      bool
	shared      bool // others may get it
	etag        bool
	life        time.Duration
	at          time.Time // when the target made it
	// Until when it is fresh, counted from when its head came to the gateway, and from when it was found again.
	fresh []freshness
	found []string // requests that a target has told that it is as it was
}

type freshness struct {
	made, from time.Time // when the target said so, when the gateway knew it
	life       time.Duration
}

// change is a purge, or a request that changes what there is at a path: who asks after it has ended gets nothing that
// had come before it began.
type change struct {
	path         string // "": all
	begun, ended time.Time
	why          string
}

// leastTimeout is the shortest after which an answer can be 504: half of connect_timeout, which loops round down.
const leastTimeout = 500 * time.Millisecond

// judge looks whether an answer is one that r may have.
func (w *world) judge(r *request, status int, header http.Header, body []byte) {
	who := r.by.name
	if took := time.Since(r.begun); status == 504 && took < leastTimeout && r.path[1] != 'c' { // there it may be another's
		w.breaks(who, "%s has timed out after %v", r.token, took)
	}
	if status != 200 && status != 304 {
		return
	}
	id := header.Get("X-Answer")
	if status == 304 {
		id = strings.Trim(header.Get("ETag"), `"`)
		if !strings.Contains(r.ifNoneMatch, `"`+id+`"`) {
			w.breaks(who, "%s gets a 304 with %q, and has %s", r.token, id, r.ifNoneMatch)
			return
		}
	}
	g := w.given[id]
	if g == nil {
		w.breaks(who, "no target has made the answer to %s: %q", r.token, id)
		return
	}
	if g.path != r.path {
		w.breaks(who, "the answer to %s %s is %s, to %s", r.token, r.path, id, g.path)
	}
	if g.token != r.token && !(status == 304 && slices.Contains(g.found, r.token)) {
		w.judgeStored(r, g)
	}
	if status == 200 && r.method != "HEAD" {
		w.judgeBody(r, g.token, header.Get("X-Size"), body)
	}
}

func (w *world) judgeBody(r *request, token, size string, body []byte) {
	if want := strconv.Itoa(len(body)); size != want {
		w.breaks(r.by.name, "a whole answer to %s has %s bytes of %s", r.token, want, size)
	}
	for len(body) > 0 {
		n := min(len(token), len(body))
		if string(body[:n]) != token[:n] {
			w.breaks(r.by.name, "the answer to %s has foreign bytes: %.40q", r.token, body)
			return
		}
		body = body[n:]
	}
}

// judgeStored is the model of the cache: whether g, the answer to another request, may be that to r.
func (w *world) judgeStored(r *request, g *given) {
	who := r.by.name
	if r.path[1] != 'c' {
		w.breaks(who, "%s gets the answer to %s, and there is no cache", r.token, g.id)
		return
	}
	if r.method == "POST" {
		w.breaks(who, "%s is a POST and gets the answer to %s", r.token, g.id)
	}
	if !g.shared {
		w.breaks(who, "%s gets the answer to %s, which is for that one alone", r.token, g.id)
	}
	if g.varies && g.kind != r.kind {
		w.breaks(who, "%s, which is %s, gets the answer to %s, which is for %s", r.token, r.kind, g.id, g.kind)
	}
	usable := slices.Contains(g.found, r.token)
	var made time.Time
	for _, f := range g.fresh {
		life := f.life + w.plan.stale
		usable = usable || life > 0 && !r.begun.After(f.from.Add(life)) // what is stale at once is shared with nobody
		made = f.made
	}
	if !usable {
		w.breaks(who, "%s gets the answer to %s, which has ceased to be fresh: %v", r.token, g.id, g.fresh)
	}
	for _, c := range w.changes {
		if (c.path == "" || c.path == g.path) && made.Before(c.begun) && r.begun.After(c.ended) {
			w.breaks(who, "%s gets the answer to %s, which is older than %s", r.token, g.id, c.why)
		}
	}
}

// rest looks at what there is when all is over: limits, counters, gauges.
func (w *world) rest() {
	for _, l := range w.plan.limits {
		w.judgeLimit(l)
	}
	m := w.figures()
	for name, want := range map[string]float64{
		"penstock_generations_alive": 1, "penstock_tunnels": 0, "penstock_connections": 0, "penstock_target_in_flight": 0,
		"penstock_pool_waiting": 0, "penstock_pool_in_flight": 0, "penstock_pool_connection_waiting": 0,
	} {
		for series, v := range m {
			if (series == name || strings.HasPrefix(series, name+"{")) && v != want {
				w.breaks("world", "%s is %v at the end", series, v)
			}
		}
	}
	for _, route := range strings.Split("p c l d m", " ") {
		w.count(m, route)
	}
}

// count compares what the gateway has counted of a route with what its clients have seen.
func (w *world) count(m map[string]float64, route string) {
	asked, answered, limited := 0, 0, 0
	for _, r := range w.requests {
		if r.path[1:2] != route {
			continue
		}
		asked++
		if r.status >= 200 && r.status != 503 && r.status != 400 { // these may come from before a route is known
			answered++
		}
		if r.status == 429 {
			limited++
		}
	}
	ended := sum(m, "penstock_requests_total", `route="`+route+`"`)
	if route == "p" {
		asked += w.junk
	}
	if int(ended) > asked || int(ended) < answered {
		w.breaks("world", "route %s: %d were asked, %d answered, %v counted", route, asked, answered, ended)
	}
	if n := sum(m, "penstock_request_duration_seconds_count", `route="`+route+`"`); n != ended {
		w.breaks("world", "route %s: %v ended, and %v took time", route, ended, n)
	}
	if route == "c" {
		whole := sum(m, "penstock_cache_requests_total", "")
		if n := sum(m, "penstock_cache_route_requests_total", `route="c"`); n != whole || n > float64(asked) {
			w.breaks("world", "the cache has %v requests, of its route %v, %d were asked", whole, n, asked)
		}
	}
	if route == "l" && asked > 0 {
		n := sum(m, "penstock_rate_limit_decisions_total", "")
		if n > float64(asked) || n < float64(limited) {
			w.breaks("world", "the limit has decided %v times, %d were asked", n, asked)
		}
	}
}

// judgeLimit looks whether a limit has admitted more than it may, or refused one that it must admit.
func (w *world) judgeLimit(l *bound) {
	keys := make(map[string][]*request)
	for _, r := range w.requests {
		if r.path[1:2] == l.route {
			keys[r.by.name] = append(keys[r.by.name], r)
		}
	}
	for key, all := range keys {
		if l.inFlight > 0 {
			w.judgeInFlight(l, key, all)
			continue
		}
		var in []*request // admitted for certain: they have come to a target
		for _, r := range all {
			if w.came[r.token] > 0 && !r.ended.IsZero() {
				in = append(in, r)
			}
		}
		switch {
		case l.quota > 0:
			if len(in) > l.quota {
				w.breaks("world", "limit %s has admitted %d of %s, more than %d", l.name, len(in), key, l.quota)
			}
		case l.rate > 0:
			w.judgeRate(l, key, in)
		}
		if !l.fleet && len(all) <= max(l.quota, int(l.burst)) && !(l.rate > 0 && l.burst == 2*l.rate) {
			if i := slices.IndexFunc(all, func(r *request) bool { return r.status == 429 }); i >= 0 {
				w.breaks("world", "limit %s has refused %s, the %d. of %s", l.name, all[i].token, i, key)
			}
		}
	}
}

// judgeInFlight: requests are under way for certain from when they come to a target to when it has sent its answer, if
// their client got that.
func (w *world) judgeInFlight(l *bound, key string, all []*request) {
	for _, a := range all {
		n := 0
		for _, b := range all {
			if at := w.spans[a.token]; b.status == 200 && a.status == 200 && w.spans[b.token].holds(at.from) {
				n++
			}
		}
		if n > l.inFlight {
			w.breaks("world", "limit %s has admitted %d of %s at once, more than %d", l.name, n, key, l.inFlight)
			return
		}
	}
}

// span is the time that a request was certainly with a target.
type span struct{ from, to time.Time }

func (s span) holds(t time.Time) bool {
	return !s.from.IsZero() && !s.to.IsZero() && !t.Before(s.from) && t.Before(s.to)
}

// judgeRate: of those that were begun after one and ended before another, there are no more than the time allows.
func (w *world) judgeRate(l *bound, key string, in []*request) {
	for _, a := range in {
		for _, b := range in {
			n := 0
			if b.ended.Before(a.begun) {
				continue
			}
			for _, r := range in {
				if !r.begun.Before(a.begun) && !r.ended.After(b.ended) {
					n++
				}
			}
			// Moments are sixteenths of a request's time, rounded down.
			if most := l.burst + l.rate*b.ended.Sub(a.begun).Seconds() + 1.0/16; float64(n) > most {
				w.breaks("world", "limit %s has admitted %d of %s, more than %.3f", l.name, n, key, most)
				return
			}
		}
	}
}

// figures returns the metrics by name and labels.
func (w *world) figures() map[string]float64 {
	var b bytes.Buffer
	if err := w.metrics.Write(&b); err != nil {
		w.breaks("world", "metrics: %v", err)
	}
	m := make(map[string]float64)
	for line := range strings.Lines(b.String()) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64); err == nil {
				m[line[:i]] = v
			}
		}
	}
	return m
}

// sum adds up the series of a name that have a label.
func sum(m map[string]float64, name, label string) (total float64) {
	for series, v := range m {
		if (series == name || strings.HasPrefix(series, name+"{")) && strings.Contains(series, label) {
			total += v
		}
	}
	return total
}

func (f freshness) String() string {
	return fmt.Sprintf("%v from %s", f.life, f.from.Format("05.000000"))
}
