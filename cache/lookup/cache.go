package lookup

import (
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fetch"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/cache/section"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// Cache is one [cache.NAME] in one generation.
type Cache struct {
	fetch.Fetcher
	Name     string
	Conf     *section.Config
	opts     fresh.Options
	Counters counters
}

// New returns a cache as conf says, over what has outlived reloads of it.
func New(name string, conf *section.Config, s *fetch.State) *Cache {
	c := &Cache{Name: name, Conf: conf}
	c.Maker = entry.Maker{Rules: c.Conf.Rules, StripCookies: c.Conf.Override.SetCookie == "strip"}
	c.State, c.MaxObject = s, int64(c.Conf.MaxObject)
	if len(c.Conf.Coders) > 0 {
		c.Maker.Encodes = c.Conf.CompressTypes
	}
	o := &c.opts
	o.Default = c.Conf.DefaultTTL.Milliseconds()
	o.Min, o.Max = c.Conf.MinTTL.Milliseconds(), c.Conf.MaxTTL.Milliseconds()
	o.Heuristic = c.Conf.Heuristic
	o.ByStatus = c.Conf.ByStatus
	o.IgnoreNoStore, o.IgnorePrivate = c.Conf.Override.NoStore, c.Conf.Override.Private
	o.Revive, o.Rescue = c.Conf.StaleWhileRevalidate.Milliseconds(), c.Conf.StaleIfError.Milliseconds()
	return c
}

// counters are the metrics of one cache.
type counters struct {
	Requests [outcome.Statuses]*lanes.Counter
	Misses   [outcome.Reasons]*lanes.Counter
	Sent     [outcome.Results]*lanes.Counter // bytes of bodies
}

// RouteCounters are those of one route.
type RouteCounters [outcome.Results]*lanes.Counter
