package cache

import "github.com/penstock-edge/penstock/cache/outcome"

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

// WarmStatus is how far a list of URLs has come.
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

func (c *instance) diskStatus() *DiskStatus {
	t := c.Tier
	if t == nil {
		return nil
	}
	return &DiskStatus{c.Conf.Disk, t.Loaded(), int64(c.Conf.DiskSize), t.Bytes(), t.Len(), t.Hits.Load(),
		t.Errors.Load(), t.Broken.Load(), t.Dropped.Load()}
}

func (cs *caches) status() any {
	all := []Status{}
	for _, c := range cs.list {
		s := Status{Name: c.Name, Size: int64(c.Conf.Size), Entries: c.Store.Entries(),
			Evictions: c.Store.Evictions(), Fetches: c.Fetches.Load(), Disk: c.diskStatus(),
			Warming:  WarmStatus{c.kept.warmer.Waiting(), c.kept.warmer.Done.Load(), c.kept.warmer.Failed.Load()},
			Requests: map[string]uint64{}, Misses: map[string]uint64{}, Routes: map[string]RouteStatus{}}
		var by [outcome.Results]uint64
		for i := range outcome.Statuses {
			n := c.Counters.Requests[i].Sum()
			s.Requests[i.Word()] = n
			by[i.Result()] += n
		}
		s.BytesFromCache = c.Counters.Sent[outcome.FromCache].Sum()
		s.BytesFromTarget = c.Counters.Sent[outcome.NotFromCache].Sum()
		s.HitRatio = ratio(by[outcome.FromCache], by[outcome.NotFromCache])
		for i := outcome.None + 1; i < outcome.Reasons; i++ {
			if i != outcome.NotStorable && c.Counters.Misses[i].Sum() > 0 {
				s.Misses[i.Word()] += c.Counters.Misses[i].Sum()
			}
		}
		for _, r := range c.routes {
			hits, misses := r.RouteCounters[outcome.FromCache].Sum(), r.RouteCounters[outcome.NotFromCache].Sum()
			s.Routes[r.route] = RouteStatus{hits, misses, r.RouteCounters[outcome.PassedBy].Sum(), ratio(hits, misses)}
		}
		all = append(all, s)
	}
	return all
}
