package cache

import (
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"sync/atomic"
)

func (c *instance) measure(m *metric.Scope) {
	for i := range outcome.Statuses {
		c.Counters.Requests[i] = m.Counter("penstock_cache_requests_total",
			"Requests by what a cache did for them.", "cache", c.Name, "status", i.Word())
	}
	for i := outcome.None + 1; i < outcome.Reasons; i++ {
		if i != outcome.NotStorable { // storable is no reason
			c.Counters.Misses[i] = m.Counter("penstock_cache_misses_total",
				"Requests that the cache did not answer, by the reason.", "cache", c.Name, "reason", i.Word())
		}
	}
	for i := range outcome.Results {
		c.Counters.Sent[i] = m.Counter("penstock_cache_response_body_bytes_total",
			"Bytes of bodies sent to clients: from a cache (hit), from the target for one (miss), past it (bypass).",
			"cache", c.Name, "result", i.Word())
	}
	c.purged = m.Counter("penstock_cache_purged_total",
		"Answers that purges by the admin interface have made unusable, or stale.", "cache", c.Name)
	s := c.kept
	m.GaugeFunc("penstock_cache_size_bytes", "Memory that a cache has taken for what it stores.",
		func() float64 { return float64(s.Store.Bytes()) }, "cache", c.Name)
	m.GaugeFunc("penstock_cache_entries", "Entries of a cache: objects, and parts of large ones.",
		func() float64 { return float64(s.Store.Entries()) }, "cache", c.Name)
	m.CounterFunc("penstock_cache_evictions_total",
		"Entries of a cache that had to go, or be moved, to make room.",
		func() float64 { return float64(s.Store.Evictions()) }, "cache", c.Name)
	m.GaugeFunc("penstock_cache_warm_waiting", "URLs that are yet to be asked for, to fill a cache.",
		func() float64 { return float64(s.warmer.Waiting()) }, "cache", c.Name)
	for result, n := range map[string]*atomic.Uint64{"answered": &s.warmer.Done, "failed": &s.warmer.Failed} {
		m.CounterFunc("penstock_cache_warm_total", "URLs that were asked for to fill a cache.",
			func() float64 { return float64(n.Load()) }, "cache", c.Name, "result", result)
	}
	m.GaugeFunc("penstock_cache_fetch_bytes",
		"Bytes of bodies in memory beside a cache that are being fetched for it.",
		func() float64 { return float64(s.Bodies.Fetching.Load()) }, "cache", c.Name)
	m.GaugeFunc("penstock_cache_reading_bytes",
		"Bytes of bodies in memory beside a cache that have been fetched and are read by slow clients.",
		func() float64 { return float64(s.Bodies.Finished.Load()) }, "cache", c.Name)
	c.measureDisk(m)
	m.GaugeFunc("penstock_cache_fetches", "Fetches of a cache under way.",
		func() float64 { return float64(s.Fetches.Load()) }, "cache", c.Name)
}

// measureDisk shows the tier on disk, if there is one.
func (c *instance) measureDisk(m *metric.Scope) {
	t := c.Tier
	if t == nil {
		return
	}
	m.GaugeFunc("penstock_cache_disk_loaded", "1 when what was on disk at the start is known.", func() float64 {
		if t.Loaded() {
			return 1
		}
		return 0
	}, "cache", c.Name)
	m.GaugeFunc("penstock_cache_disk_entries", "Objects of a cache that are on disk.",
		func() float64 { return float64(t.Len()) }, "cache", c.Name)
	m.GaugeFunc("penstock_cache_disk_bytes", "Bytes of the files of a cache.",
		func() float64 { return float64(t.Bytes()) }, "cache", c.Name)
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
		m.CounterFunc(one.name, one.help, func() float64 { return float64(one.value.Load()) }, "cache", c.Name)
	}
}
