package cache

import (
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fetch"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// cache is one [cache.NAME] in one generation.
type cache struct {
	fetch.Fetcher
	name     string
	conf     *Config
	opts     fresh.Options
	counters counters
}

// New returns a cache as conf says, over what has outlived reloads of it.
func New(name string, conf *Config, s *fetch.State) *cache {
	c := &cache{name: name, conf: conf}
	c.Maker = entry.Maker{Rules: c.conf.rules, StripCookies: c.conf.Override.SetCookie == "strip"}
	c.State, c.MaxObject = s, int64(c.conf.MaxObject)
	if len(c.conf.coders) > 0 {
		c.Maker.Encodes = c.conf.CompressTypes
	}
	o := &c.opts
	o.Default = c.conf.DefaultTTL.Milliseconds()
	o.Min, o.Max = c.conf.MinTTL.Milliseconds(), c.conf.MaxTTL.Milliseconds()
	o.Heuristic = c.conf.Heuristic
	o.ByStatus = c.conf.byStatus
	o.IgnoreNoStore, o.IgnorePrivate = c.conf.Override.NoStore, c.conf.Override.Private
	o.Revive, o.Rescue = c.conf.StaleWhileRevalidate.Milliseconds(), c.conf.StaleIfError.Milliseconds()
	return c
}

// counters are the metrics of one cache.
type counters struct {
	requests [outcome.Statuses]*lanes.Counter
	misses   [outcome.Reasons]*lanes.Counter
	sent     [outcome.Results]*lanes.Counter // bytes of bodies
}

// routeCounters are those of one route.
type routeCounters [outcome.Results]*lanes.Counter
