package live

import (
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// GenerationStatus is a generation as /status shows it.
type GenerationStatus struct {
	ID         uint64  `json:"id"`
	Running    bool    `json:"running"` // false: it ends with its last request
	AgeSeconds float64 `json:"age_seconds"`
	Exchanges  int64   `json:"exchanges"` // requests, streams and tunnels that hold it
}

// RouteStatus is a route as /status shows it.
type RouteStatus struct {
	Name    string            `json:"name"`
	Hosts   []string          `json:"hosts,omitempty"`
	Methods []string          `json:"methods,omitempty"`
	Path    string            `json:"path,omitempty"`
	Prefix  string            `json:"prefix,omitempty"`
	Applies map[string]string `json:"applies,omitempty"`
}

// Status returns what /status shows: the generations, the routes in match order, and what each feature of the
// running generation tells, under the feature's name.
func (l *Live) Status() any {
	all := map[string]any{"generation": uint64(0), "generations": l.generations()}
	l.withRunning(func(r *running) {
		all["generation"] = r.gen.ID
		all["routes"] = r.routes
		for _, p := range r.built.instances {
			if p.Status != nil {
				all[p.name] = p.Status()
			}
		}
	})
	return all
}

// Handlers returns the admin endpoints that the running generation's features lend.
func (l *Live) Handlers() (list []edge.AdminHandler) {
	l.withRunning(func(r *running) { list = r.built.host.Handlers() })
	return list
}

// generations lists those alive, oldest first.
func (l *Live) generations() []GenerationStatus {
	current := l.o.Current.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]GenerationStatus, 0, len(l.alive))
	for _, r := range l.alive {
		list = append(list, GenerationStatus{
			ID: r.gen.ID, Running: r.gen == current, Exchanges: r.gen.Pins(),
			AgeSeconds: time.Since(r.gen.Born).Seconds(),
		})
	}
	return list
}

// routeStatus copies what /status shows, so that the file's text need not be kept.
func routeStatus(b *Built) []RouteStatus {
	list := make([]RouteStatus, 0, len(b.Plans))
	for _, i := range b.Routes.Order() {
		r, p := &b.Config.Routes[i], b.Plans[i]
		s := RouteStatus{Name: r.Name, Hosts: r.Hosts, Methods: r.Methods, Path: r.Path, Prefix: r.Prefix}
		if len(p.Notes) > 0 {
			s.Applies = make(map[string]string, len(p.Notes))
		}
		for _, n := range p.Notes {
			if before := s.Applies[n.Key]; before != "" {
				n.Value = before + ", " + n.Value // the pools of a split
			}
			s.Applies[n.Key] = n.Value
		}
		list = append(list, s)
	}
	return list
}

// tally counts loads.
type tally struct {
	ok, failed *lanes.Counter
	lastOK     atomic.Bool
	lastTime   atomic.Int64 // Unix seconds of the last load that was taken; 0: none
}

func (l *Live) measure() {
	const reloads = "penstock_reloads_total"
	const help = "Reloads of the configuration, by result."
	l.tally.ok = l.scope.Counter(reloads, help, "result", "ok")
	l.tally.failed = l.scope.Counter(reloads, help, "result", "error")
	l.scope.GaugeFunc("penstock_generation", "Number of the running generation; 0 before the first.",
		func() float64 {
			if g := l.o.Current.Load(); g != nil {
				return float64(g.ID)
			}
			return 0
		})
	l.scope.GaugeFunc("penstock_config_last_reload_success",
		"1 if the last load of the configuration was taken.",
		func() float64 {
			if l.tally.lastOK.Load() {
				return 1
			}
			return 0
		})
	l.scope.GaugeFunc("penstock_config_last_reload_timestamp_seconds",
		"Time of the last load of the configuration that was taken.",
		func() float64 { return float64(l.tally.lastTime.Load()) })
	l.scope.GaugeFunc("penstock_generations_alive", "Generations that are running or still have requests.",
		func() float64 {
			l.mu.Lock()
			defer l.mu.Unlock()
			return float64(len(l.alive))
		})
}

// loaded notes how a load went; the first one of the process is not a reload.
func (t *tally) loaded(first, ok bool) {
	t.lastOK.Store(ok)
	if ok {
		t.lastTime.Store(time.Now().Unix())
	}
	switch {
	case first:
	case ok:
		t.ok.Inc(0)
	default:
		t.failed.Inc(0)
	}
}
