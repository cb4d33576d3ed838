// Package cache keeps answers and gives them out again, as RFC 9111 has it for shared caches.
package cache

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// Feature makes [cache.NAME] and the route key cache work. In the list it stands behind what decides
// what the target will see, since that is what is stored under a key.
var Feature = edge.Feature{Name: "caches", New: build}

// caches are those of one generation.
type caches struct {
	h     *edge.Host
	slot  int
	list  []*cache
	names []string
}

// counters are the metrics of one cache.
type counters struct {
	requests [statuses]*lanes.Counter
}

func build(h *edge.Host) *edge.Instance {
	cs := &caches{h: h, slot: h.Slot()}
	for _, t := range h.Config.File.Root.Children("cache") {
		cs.read(t)
	}
	if len(cs.list) > 0 {
		h.Handle("POST", "/cache/{name}/purge", cs.purge)
	}
	return &edge.Instance{Route: cs.route, Start: cs.start, Status: cs.status}
}

func (cs *caches) read(t *config.Table) {
	conf := readConfig(t)
	c := &cache{name: t.Name(), conf: conf}
	c.configure()
	size := int64(conf.Size)
	if cs.h.Dry {
		size = store.MinSize // nothing is stored
	}
	// Another size is another cache, which begins empty.
	id := fmt.Sprint("cache/", c.name, "/", conf.Size)
	fresh := func() (*shared, error) { return newShared(size), nil }
	c.shared, _ = edge.Keep(cs.h.State, id, fresh, nil) // fresh does not fail
	c.measure(cs.h.Metrics)
	cs.list, cs.names = append(cs.list, c), append(cs.names, c.name)
}

func (c *cache) measure(m *metric.Scope) {
	for i, name := range statusNames {
		c.requests[i] = m.Counter("penstock_cache_requests_total", "Requests by what a cache did for them.",
			"cache", c.name, "status", name)
	}
	s := c.shared
	m.GaugeFunc("penstock_cache_entries", "Entries of a cache: objects, and parts of large ones.",
		func() float64 { return float64(s.store.Entries()) }, "cache", c.name)
	m.CounterFunc("penstock_cache_evictions_total", "Entries of a cache that had to go before their time.",
		func() float64 { return float64(s.store.Evictions()) }, "cache", c.name)
	m.GaugeFunc("penstock_cache_fetch_bytes",
		"Bytes of bodies that are being fetched for a cache, and read by clients.",
		func() float64 { return float64(s.held.Load()) }, "cache", c.name)
	m.GaugeFunc("penstock_cache_fetches", "Fetches of a cache under way.",
		func() float64 { return float64(s.fetches.Load()) }, "cache", c.name)
}

// route adds the cache that a route names.
func (cs *caches) route(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var keys struct {
		Cache string `toml:"cache"`
	}
	r.Table.Decode(&keys)
	if keys.Cache == "" {
		return
	}
	i := slices.Index(cs.names, keys.Cache)
	if i < 0 {
		r.Table.Unknown("cache", "cache", keys.Cache, cs.names)
		return
	}
	c := cs.list[i]
	r.Note("cache", c.name)
	r.Add(edge.Lookup, &lookup{cache: c, route: r.Name, slot: cs.slot})
	r.Add(edge.Respond, &tell{cache: c, slot: cs.slot})
	r.Add(edge.Log, &done{cache: c, slot: cs.slot})
}

// spare is how much garbage there may be beside what is cached.
const spare = 128 << 20

// start sees to it that memory for the caches does not let the heap grow by as much again before
// garbage is collected. Who sets GOGC knows better.
func (cs *caches) start() {
	total := int64(0)
	for _, c := range cs.list {
		total += int64(c.conf.Size)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(int(max(100*spare/(total+spare), 5)))
	}
}

// Status is a cache as /status shows it.
type Status struct {
	Name      string            `json:"name"`
	Size      int64             `json:"size"`
	Entries   int64             `json:"entries"`
	Evictions int64             `json:"evictions"`
	Fetches   int64             `json:"fetches"` // under way
	Requests  map[string]uint64 `json:"requests"`
	HitRatio  float64           `json:"hit_ratio"` // of all requests that were for a cache
}

func (cs *caches) status() any {
	all := []Status{}
	for _, c := range cs.list {
		s := Status{Name: c.name, Size: int64(c.conf.Size), Entries: c.store.Entries(),
			Evictions: c.store.Evictions(), Fetches: c.fetches.Load(), Requests: map[string]uint64{}}
		hits, total := uint64(0), uint64(0)
		for i, name := range statusNames {
			n := c.requests[i].Sum()
			s.Requests[name] = n
			if status(i) != bypass {
				total += n
			}
			if served := status(i); served >= hit && served <= revalidated || served == collapsed {
				hits += n
			}
		}
		if total > 0 {
			s.HitRatio = float64(hits) / float64(total)
		}
		all = append(all, s)
	}
	return all
}

// purge serves POST /cache/{name}/purge.
func (cs *caches) purge(ctx *fasthttp.RequestCtx) {
	name, _ := ctx.UserValue("name").(string)
	i := slices.Index(cs.names, name)
	if i < 0 {
		ctx.Error("no such cache; GET /status lists them\n", fasthttp.StatusNotFound)
		return
	}
	what := cs.list[i].purge(ctx.QueryArgs())
	if what == "" {
		ctx.Error("want one of url=https://host/path?query, prefix=https://host/path, tag=NAME and all=1; "+
			"with soft=1 what is purged may be served while it is fetched anew\n", fasthttp.StatusBadRequest)
		return
	}
	cs.h.Log.Info("cache purged by the admin interface", "cache", name, "what", what)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
}
