// Package mirror sends copies of requests to another pool and forgets the answers: a new release meets live
// traffic before anybody depends on it.
package mirror

import (
	"math"
	"strconv"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

// Feature makes the route key mirror work. In the list it stands behind the pools, and behind all that may
// answer or refuse in Admit: a request that goes nowhere is not copied.
var Feature = edge.Feature{Name: "mirror", New: build}

type mirrorKeys struct {
	Pool string `toml:"pool" required:"true"` // gets the copies
	// Share of the requests; fractions such as 0.5 too.
	Percent float64 `toml:"percent" default:"100" min:"0" max:"100"`
	// Requests with more are not copied; at most 16MiB.
	MaxBody config.Size `toml:"max_body_bytes" default:"64KiB" max:"16MiB"`
	// For everything about one copy.
	Timeout time.Duration `toml:"timeout" default:"5s" min:"10ms" max:"5m"`
	// Copies under way at once.
	MaxInFlight int `toml:"max_in_flight" default:"32" min:"1" max:"1024"`
	// Copies that wait for one of these; more are dropped.
	MaxWaiting int `toml:"max_waiting" default:"128" min:"1" max:"65536"`

	Table *config.Table `toml:"-"`
}

// mirrors are those of all routes of one generation.
type mirrors struct {
	h    *edge.Host
	slot int // of the tee, while the body of a request is being read
	list []*mirror
}

func build(h *edge.Host) *edge.Instance {
	ms := &mirrors{h: h, slot: h.Slot()}
	return &edge.Instance{Route: ms.route, Start: ms.start, Status: ms.status, Close: ms.close}
}

func (ms *mirrors) route(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var k struct {
		// Copies of the request go to another pool, whose answers nobody sees.
		Mirror several `toml:"mirror" unset:"none" type:"table or list of tables"`
	}
	r.Table.Decode(&k)
	seen := map[string]bool{}
	for i := range k.Mirror {
		one := &k.Mirror[i]
		if one.Pool == "" {
			continue // reported as missing
		}
		if seen[one.Pool] {
			one.Table.Errorf("pool", "%q gets copies of this route already", one.Pool)
			continue
		}
		m := ms.compile(r.Name, one)
		m.plan.RetryUnsafe = r.Plan.RetryUnsafe
		ms.list = append(ms.list, m)
		r.Add(edge.Admit, m)
		if len(seen) == 0 {
			r.Add(edge.Log, &end{slot: ms.slot})
		}
		seen[one.Pool] = true
		r.Note("mirror", one.Pool+" "+strconv.FormatFloat(one.Percent, 'g', -1, 64)+"%")
	}
}

// several is the key mirror: one table, or a list of them.
type several []mirrorKeys

// UnmarshalConfig implements config.Unmarshaler.
func (s *several) UnmarshalConfig(v config.Value) error {
	list := v.List()
	if list == nil {
		list = []config.Value{v}
	}
	for _, one := range list {
		var k mirrorKeys
		if t := one.Table(); t != nil {
			t.Decode(&k)
			*s = append(*s, k)
			continue
		}
		one.Errorf(`must be a table such as { pool = "shadow" }, or a list of them, is %s`, one.Describe())
	}
	return nil
}

func (ms *mirrors) compile(route string, k *mirrorKeys) *mirror {
	m := &mirror{
		route: route, name: k.Pool, slot: ms.slot,
		plan:  &edge.Plan{Name: route, Upstream: ms.h.Upstream(k.Table, "pool", k.Pool), Copies: true},
		below: below(k.Percent), maxBody: int64(k.MaxBody), timeout: k.Timeout, workers: k.MaxInFlight,
		queue: make(chan *duplicate, k.MaxWaiting), stop: make(chan struct{}),
	}
	for i, name := range outcomeNames {
		m.outcomes[i] = ms.h.Metrics.Counter("penstock_mirror_requests_total",
			"Requests chosen to be mirrored, by what became of the copy.",
			"route", route, "pool", k.Pool, "outcome", name)
	}
	return m
}

// below returns the number that percent of all 64-bit numbers are below.
func below(percent float64) uint64 {
	if percent >= 100 {
		return math.MaxUint64
	}
	return uint64(percent / 100 * (1 << 32) * (1 << 32))
}

func (ms *mirrors) start() {
	for _, m := range ms.list {
		m.start()
	}
}

// close waits for the copies under way, for as long as their timeout at most. Requests have ended by now.
func (ms *mirrors) close() {
	for _, m := range ms.list {
		close(m.stop)
	}
	for _, m := range ms.list {
		m.wait()
	}
}

// Status is a route's mirror as /status shows it.
type Status struct {
	Route    string `json:"route"`
	Pool     string `json:"pool"`
	InFlight int64  `json:"in_flight"`
	Waiting  int    `json:"waiting"`
}

func (ms *mirrors) status() any {
	list := make([]Status, 0, len(ms.list))
	for _, m := range ms.list {
		list = append(list, Status{Route: m.route, Pool: m.name, InFlight: m.busy.Load(), Waiting: len(m.queue)})
	}
	return list
}
