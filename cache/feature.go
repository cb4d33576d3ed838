package cache

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/lookup"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/cache/records"
	"github.com/penstock-edge/penstock/cache/section"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/cache/warm"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/smallfile"
)

// Feature makes [cache.NAME] and the route key cache work. In the list it stands behind what decides
// what the target will see, since that is what is stored under a key.
var Feature = edge.Feature{Name: "caches", New: build}

// caches are those of one generation.
type caches struct {
	h     *edge.Host
	slot  int
	list  []*instance
	names []string
	// lookups are those of all routes that have a cache, and the tables of these.
	lookups []routeLookup
}

// routeLookup is the lookup of one route.
type routeLookup struct {
	*lookup.Filter
	table *config.Table
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
		if c.Tier != nil {
			saving.Go(c.Tier.Close)
		}
	}
	saving.Wait()
}

func (cs *caches) read(t *config.Table) {
	conf := section.Read(t)
	conf.Rules.MergeSlashes = cs.h.Config.Server.MergeSlashes
	kept := cs.open(t.Name(), conf, t)
	if kept == nil {
		return
	}
	c := &instance{Cache: lookup.New(t.Name(), conf, kept.State), kept: kept}
	c.measure(cs.h.Metrics)
	cs.list, cs.names = append(cs.list, c), append(cs.names, c.Name)
}

// open returns what of a cache outlives a reload; nil: its folder cannot be had.
func (cs *caches) open(name string, of *section.Config, t *config.Table) *cacheState {
	conf := *of
	if fits := cs.h.Takes(t, "size", int64(conf.Size)); !fits || cs.h.Dry {
		conf.Size, conf.Disk = store.MinSize, "" // nothing is stored
	}
	same := func(o *instance) bool { return o.Conf.Disk == conf.Disk }
	if conf.Disk != "" && slices.ContainsFunc(cs.list, same) {
		t.Errorf("disk", "%q is the folder of another cache: each needs its own", conf.Disk)
		return nil
	}
	below := records.NewDurable()
	if conf.Disk != "" {
		var err error
		o := records.DiskOptions{Dir: conf.Disk, Size: int64(conf.DiskSize), Objects: conf.DiskObjects}
		fresh := func() (*records.Durable, error) { return records.OpenDurable(o, cs.h.Log) }
		id := fmt.Sprint("cache/", name, "/disk/", conf.Disk)
		below, err = edge.Keep(cs.h.State, id, fresh, (*records.Durable).Close)
		if err != nil {
			t.Errorf("disk", "%s", err)
			return nil
		}
	}
	// Another size, or another folder, is another cache, which begins empty in memory.
	id := fmt.Sprint("cache/", name, "/", conf.Size, "/", conf.Disk)
	fresh := func() (*cacheState, error) {
		s := newCacheState(int64(conf.Size), below)
		s.warmer.Cache, s.warmer.Log = name, cs.h.Log
		return s, nil
	}
	drop := func(s *cacheState) { s.warmer.Close() }
	kept, _ := edge.Keep(cs.h.State, id, fresh, drop) // fresh does not fail
	return kept
}

// route adds the cache that a route names.
func (cs *caches) route(r *edge.RouteSetup) {
	if r.Unrouted {
		return
	}
	var keys struct {
		// The name of a cache, or a table with what is special to this route.
		Cache section.RouteConfig `toml:"cache" unset:"none"`
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
	r.Note("cache", conf.Note())
	by := &lookup.RouteCounters{}
	for i := range outcome.Results {
		by[i] = cs.h.Metrics.Counter("penstock_cache_route_requests_total",
			"Requests of a route that a cache answered (hit), had to ask for (miss), or was not asked about (bypass).",
			"cache", c.Name, "route", r.Name, "result", i.Word())
	}
	c.routes = append(c.routes, routeRequests{r.Name, by})
	l := c.AddTo(r, cs.slot, conf, by)
	cs.lookups = append(cs.lookups, routeLookup{l, r.Table})
}

// name sets what the keys of the routes begin with, once all features have read what is theirs in the file. A
// check, which stores nothing, does without.
func (cs *caches) name() {
	for _, l := range cs.lookups {
		l.Route = key.Resource(l.table, l.Cache.Conf.Rules)
	}
}

// spare is how much garbage there may be beside what is cached.
const spare = 128 << 20

// start sees to it that memory for the caches does not let the heap grow by as much again before
// garbage is collected. Who sets GOGC knows better.
func (cs *caches) start() {
	total := int64(0)
	for _, c := range cs.list {
		total += int64(c.Conf.Size)
		if c.Tier != nil {
			c.Tier.Resize(int64(c.Conf.DiskSize))
		}
		c.warmAtStart(cs.h.Current, cs.h.Log)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(int(max(100*spare/(total+spare), 5)))
	}
}

// warmAtStart asks for what the list of the configuration names, if the cache begins empty in memory.
func (c *instance) warmAtStart(current *edge.Current, log *slog.Logger) {
	if c.Conf.Warm == "" || !c.kept.isNew.CompareAndSwap(true, false) {
		return
	}
	b, err := smallfile.Read(c.Conf.Warm, smallfile.MostList)
	var urls []string
	if err == nil {
		urls, err = warm.ParseList(b)
	}
	if err == nil && !c.kept.warmer.Add(urls, c.Conf.WarmWorkers, current) {
		err = fmt.Errorf("it has more than %d URLs", warm.MostWarm)
	}
	if err != nil {
		log.Error("the cache is not warmed", "cache", c.Name, "list", c.Conf.Warm, "error", err)
	}
}
