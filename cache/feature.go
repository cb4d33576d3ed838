// Package cache keeps answers and gives them out again, as RFC 9111 has it for shared caches.
package cache

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

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
	// lookups are those of all routes that have a cache, and the tables of these.
	lookups []routeLookup
}

// routeLookup is the lookup of one route.
type routeLookup struct {
	*lookup
	table *config.Table
}

// counters are the metrics of one cache.
type counters struct {
	requests [statuses]*lanes.Counter
	misses   [reasons]*lanes.Counter
	sent     [results]*lanes.Counter // bytes of bodies
	purged   *lanes.Counter
	routes   []routeRequests
}

// routeCounters are those of one route.
type routeCounters [results]*lanes.Counter

type routeRequests struct {
	route string
	*routeCounters
}

func build(h *edge.Host) *edge.Instance {
	cs := &caches{h: h, slot: h.Slot()}
	for _, t := range h.Config.File.Root.Children("cache") {
		cs.read(t)
	}
	if len(cs.list) > 0 {
		h.Handle("POST", "/cache/{name}/purge", cs.purge)
		h.Handle("POST", "/cache/{name}/warm", cs.warm)
	}
	return &edge.Instance{Route: cs.route, Open: cs.name, Start: cs.start, Status: cs.status, Save: cs.save}
}

// save has the disks and the journals on them closed well.
func (cs *caches) save() {
	var saving sync.WaitGroup
	for _, c := range cs.list {
		if c.tier != nil {
			saving.Go(c.tier.Close)
		}
	}
	saving.Wait()
}

func (cs *caches) read(t *config.Table) {
	conf := readConfig(t)
	conf.mergeSlashes = cs.h.Config.Server.MergeSlashes
	c := &cache{name: t.Name(), conf: conf}
	c.configure()
	if !cs.open(c, t) {
		return
	}
	c.measure(cs.h.Metrics)
	cs.list, cs.names = append(cs.list, c), append(cs.names, c.name)
}

// open takes up what of a cache outlives a reload. It returns false when its folder cannot be had.
func (cs *caches) open(c *cache, t *config.Table) bool {
	conf := *c.conf
	if fits := cs.h.Takes(t, "size", int64(conf.Size)); !fits || cs.h.Dry {
		conf.Size, conf.Disk = store.MinSize, "" // nothing is stored
	}
	if conf.Disk != "" && slices.ContainsFunc(cs.list, func(o *cache) bool { return o.conf.Disk == conf.Disk }) {
		t.Errorf("disk", "%q is the folder of another cache: each needs its own", conf.Disk)
		return false
	}
	below := newSecond()
	if conf.Disk != "" {
		var err error
		fresh := func() (*second, error) { return openSecond(&conf, cs.h.Log) }
		id := fmt.Sprint("cache/", c.name, "/disk/", conf.Disk)
		below, err = edge.Keep(cs.h.State, id, fresh, (*second).close)
		if err != nil {
			t.Errorf("disk", "%s", err)
			return false
		}
	}
	// Another size, or another folder, is another cache, which begins empty in memory.
	id := fmt.Sprint("cache/", c.name, "/", conf.Size, "/", conf.Disk)
	fresh := func() (*shared, error) {
		s := newShared(int64(conf.Size), below)
		s.warmer.cache, s.warmer.log = c.name, cs.h.Log
		return s, nil
	}
	drop := func(s *shared) { s.warmer.close() }
	c.shared, _ = edge.Keep(cs.h.State, id, fresh, drop) // fresh does not fail
	return true
}

func (c *cache) measure(m *metric.Scope) {
	for i, name := range statusNames {
		c.requests[i] = m.Counter("penstock_cache_requests_total", "Requests by what a cache did for them.",
			"cache", c.name, "status", name)
	}
	for i := noReason + 1; i < reasons; i++ {
		if i != notStorable { // storable is no reason
			c.misses[i] = m.Counter("penstock_cache_misses_total",
				"Requests that the cache did not answer, by the reason.", "cache", c.name, "reason", i.word())
		}
	}
	for i, name := range resultNames {
		c.sent[i] = m.Counter("penstock_cache_response_body_bytes_total",
			"Bytes of bodies sent to clients: from a cache (hit), from the target for one (miss), past it (bypass).",
			"cache", c.name, "result", name)
	}
	c.purged = m.Counter("penstock_cache_purged_total",
		"Answers that purges by the admin interface have made unusable, or stale.", "cache", c.name)
	s := c.shared
	m.GaugeFunc("penstock_cache_size_bytes", "Memory that a cache has taken for what it stores.",
		func() float64 { return float64(s.store.Bytes()) }, "cache", c.name)
	m.GaugeFunc("penstock_cache_entries", "Entries of a cache: objects, and parts of large ones.",
		func() float64 { return float64(s.store.Entries()) }, "cache", c.name)
	m.CounterFunc("penstock_cache_evictions_total",
		"Entries of a cache that had to go, or be moved, to make room.",
		func() float64 { return float64(s.store.Evictions()) }, "cache", c.name)
	m.GaugeFunc("penstock_cache_warm_waiting", "URLs that are yet to be asked for, to fill a cache.",
		func() float64 { return float64(s.warmer.waiting()) }, "cache", c.name)
	for result, n := range map[string]*atomic.Uint64{"answered": &s.warmer.done, "failed": &s.warmer.failed} {
		m.CounterFunc("penstock_cache_warm_total", "URLs that were asked for to fill a cache.",
			func() float64 { return float64(n.Load()) }, "cache", c.name, "result", result)
	}
	m.GaugeFunc("penstock_cache_fetch_bytes",
		"Bytes of bodies in memory beside a cache that are being fetched for it.",
		func() float64 { return float64(s.bodies.fetching.Load()) }, "cache", c.name)
	m.GaugeFunc("penstock_cache_reading_bytes",
		"Bytes of bodies in memory beside a cache that have been fetched and are read by slow clients.",
		func() float64 { return float64(s.bodies.finished.Load()) }, "cache", c.name)
	c.measureDisk(m)
	m.GaugeFunc("penstock_cache_fetches", "Fetches of a cache under way.",
		func() float64 { return float64(s.fetches.Load()) }, "cache", c.name)
}

// measureDisk shows the tier on disk, if there is one.
func (c *cache) measureDisk(m *metric.Scope) {
	t := c.tier
	if t == nil {
		return
	}
	m.GaugeFunc("penstock_cache_disk_loaded", "1 when what was on disk at the start is known.", func() float64 {
		if t.Loaded() {
			return 1
		}
		return 0
	}, "cache", c.name)
	m.GaugeFunc("penstock_cache_disk_entries", "Objects of a cache that are on disk.",
		func() float64 { return float64(t.Len()) }, "cache", c.name)
	m.GaugeFunc("penstock_cache_disk_bytes", "Bytes of the files of a cache.",
		func() float64 { return float64(t.Bytes()) }, "cache", c.name)
	for _, one := range []struct {
		name, help string
		value      *atomic.Uint64
	}{
		{"penstock_cache_disk_hits_total", "Objects that were read from disk into memory.", &t.Hits},
		{"penstock_cache_disk_errors_total", "Reads and writes of a cache's files that failed.", &t.Errors},
		{"penstock_cache_disk_broken_total", "Objects on disk whose checksum was wrong.", &t.Broken},
		{"penstock_cache_disk_dropped_total",
			"Objects that were not written, since the disk was too slow or they are too large.", &t.Dropped},
	} {
		m.CounterFunc(one.name, one.help, func() float64 { return float64(one.value.Load()) }, "cache", c.name)
	}
}

// route adds the cache that a route names.
func (cs *caches) route(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var keys struct {
		// The name of a cache, or a table with what is special to this route.
		Cache RouteConfig `toml:"cache" unset:"none"`
	}
	r.Table.Decode(&keys)
	conf := &keys.Cache
	if conf.Name == "" {
		return
	}
	i := slices.Index(cs.names, conf.Name)
	if i < 0 {
		r.Table.Unknown("cache", "cache", conf.Name, cs.names)
		return
	}
	c := cs.list[i]
	r.Note("cache", conf.note())
	l := &lookup{cache: c, slot: cs.slot, opts: conf.options(&c.opts)}
	if len(conf.Methods) > 0 {
		l.keyed = &keyed{conf.Methods, int64(conf.MaxKeyBody)}
	}
	cs.lookups = append(cs.lookups, routeLookup{l, r.Table})
	r.Add(edge.Lookup, l)
	r.Add(edge.Rescue, &rescueFault{cache: c, slot: cs.slot})
	r.Add(edge.Receive, &rescueAnswer{cache: c, slot: cs.slot})
	r.Add(edge.Respond, &tell{cache: c, slot: cs.slot})
	by := &routeCounters{}
	for i, name := range resultNames {
		by[i] = cs.h.Metrics.Counter("penstock_cache_route_requests_total",
			"Requests of a route that a cache answered (hit), had to ask for (miss), or was not asked about (bypass).",
			"cache", c.name, "route", r.Name, "result", name)
	}
	c.routes = append(c.routes, routeRequests{r.Name, by})
	r.Add(edge.Log, &done{cache: c, slot: cs.slot, route: by})
}

// name says what the keys of the routes begin with, when all features have read what is theirs in the file. A
// check, which stores nothing, does without.
func (cs *caches) name() {
	for _, l := range cs.lookups {
		l.route = resource(l.table, l.cache.conf)
	}
}

// spare is how much garbage there may be beside what is cached.
const spare = 128 << 20

// start sees to it that memory for the caches does not let the heap grow by as much again before
// garbage is collected. Who sets GOGC knows better.
func (cs *caches) start() {
	total := int64(0)
	for _, c := range cs.list {
		total += int64(c.conf.Size)
		if c.tier != nil {
			c.tier.Resize(int64(c.conf.DiskSize))
		}
		c.warmAtStart(cs.h.Current, cs.h.Log)
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
	Warming   WarmStatus        `json:"warming"`
	Disk      *DiskStatus       `json:"disk,omitempty"`
	Requests  map[string]uint64 `json:"requests"`
	// BytesFromCache and BytesFromTarget are those of bodies that clients were sent.
	BytesFromCache  uint64                 `json:"bytes_from_cache"`
	BytesFromTarget uint64                 `json:"bytes_from_target"`
	HitRatio        float64                `json:"hit_ratio"` // of all requests that were for a cache
	Misses          map[string]uint64      `json:"misses"`    // by reason
	Routes          map[string]RouteStatus `json:"routes"`
}

// RouteStatus are the requests of one route.
type RouteStatus struct {
	Hits     uint64  `json:"hits"`
	Misses   uint64  `json:"misses"`
	Bypassed uint64  `json:"bypassed"`
	HitRatio float64 `json:"hit_ratio"`
}

func ratio(hits, misses uint64) float64 {
	if hits == 0 {
		return 0
	}
	return float64(hits) / float64(hits+misses)
}

// WarmStatus says how far a list of URLs has come.
type WarmStatus struct {
	Waiting  int    `json:"waiting"`
	Answered uint64 `json:"answered"`
	Failed   uint64 `json:"failed"`
}

// DiskStatus is the tier on disk as /status shows it.
type DiskStatus struct {
	Folder  string `json:"folder"`
	Loaded  bool   `json:"loaded"` // false: another process has the folder, or it is being read
	Size    int64  `json:"size"`
	Bytes   int64  `json:"bytes"`
	Entries int    `json:"entries"`
	Hits    uint64 `json:"hits"`
	Errors  uint64 `json:"errors"`
	Broken  uint64 `json:"broken"`
	Dropped uint64 `json:"dropped"`
}

func (c *cache) diskStatus() *DiskStatus {
	t := c.tier
	if t == nil {
		return nil
	}
	return &DiskStatus{c.conf.Disk, t.Loaded(), int64(c.conf.DiskSize), t.Bytes(), t.Len(), t.Hits.Load(),
		t.Errors.Load(), t.Broken.Load(), t.Dropped.Load()}
}

func (cs *caches) status() any {
	all := []Status{}
	for _, c := range cs.list {
		s := Status{Name: c.name, Size: int64(c.conf.Size), Entries: c.store.Entries(),
			Evictions: c.store.Evictions(), Fetches: c.fetches.Load(), Disk: c.diskStatus(),
			Warming:  WarmStatus{c.warmer.waiting(), c.warmer.done.Load(), c.warmer.failed.Load()},
			Requests: map[string]uint64{}, Misses: map[string]uint64{}, Routes: map[string]RouteStatus{}}
		var by [results]uint64
		for i, name := range statusNames {
			n := c.requests[i].Sum()
			s.Requests[name] = n
			by[status(i).result()] += n
		}
		s.BytesFromCache = c.sent[fromCache].Sum()
		s.BytesFromTarget = c.sent[notFromCache].Sum()
		s.HitRatio = ratio(by[fromCache], by[notFromCache])
		for i := noReason + 1; i < reasons; i++ {
			if i != notStorable && c.misses[i].Sum() > 0 {
				s.Misses[i.word()] += c.misses[i].Sum()
			}
		}
		for _, r := range c.routes {
			hits, misses := r.routeCounters[fromCache].Sum(), r.routeCounters[notFromCache].Sum()
			s.Routes[r.route] = RouteStatus{hits, misses, r.routeCounters[passedBy].Sum(), ratio(hits, misses)}
		}
		all = append(all, s)
	}
	return all
}

// named returns the cache that the path names, or answers that there is none.
func (cs *caches) named(ctx *fasthttp.RequestCtx) *cache {
	name, _ := ctx.UserValue("name").(string)
	i := slices.Index(cs.names, name)
	if i < 0 {
		problem(ctx, fasthttp.StatusNotFound, "no_cache", "There is no such cache. GET /status lists them.")
		return nil
	}
	return cs.list[i]
}

// purge serves POST /cache/{name}/purge.
func (cs *caches) purge(ctx *fasthttp.RequestCtx) {
	c := cs.named(ctx)
	if c == nil {
		return
	}
	o, err := c.conf.readOrder(ctx.URI().QueryString())
	if err != nil {
		problem(ctx, fasthttp.StatusBadRequest, "bad_request", err.Error())
		return
	}
	n := c.carryOut(o)
	c.purged.Add(0, uint64(n))
	cs.h.Log.Info("cache purged by the admin interface", "cache", c.name, "what", o.words(), "soft", o.soft,
		"purged", n)
	ctx.SetContentType("application/json")
	fmt.Fprintf(ctx, "{\"purged\": %d}\n", n)
}

// problem answers with an error in the form of RFC 9457.
func problem(ctx *fasthttp.RequestCtx, status int, code, detail string) {
	b, _ := json.Marshal(map[string]any{"type": "about:blank", "title": fasthttp.StatusMessage(status),
		"status": status, "detail": detail, "code": code}) // of such a map it does not fail
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/problem+json")
	ctx.SetBody(append(b, '\n'))
}
