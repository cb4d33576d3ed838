package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/admin"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/front"
	"github.com/penstock-edge/penstock/edge/lib/descriptors"
	"github.com/penstock-edge/penstock/edge/lib/metric"
	"github.com/penstock-edge/penstock/edge/live"
)

// process is a gateway that runs: what outlives every generation.
type process struct {
	log       *slog.Logger
	level     slog.LevelVar
	source    source
	inherited []*os.File // sockets of the service manager
	current   edge.Current
	front     *front.Front
	live      *live.Live
	registry  *metric.Registry
	admin     adminAPI
	files     fileLimit
	manager   supervisor

	conf       atomic.Pointer[settings] // of the running generation
	draining   atomic.Bool
	readiness  readiness
	drainAsked chan struct{}  // holds at most one wish
	reloading  atomic.Int32   // reloads that run or wait
	background sync.WaitGroup // reloads and the watchdog
	stop       chan struct{}  // closed to end the watchdog, and whoever else waits for nothing more
	hasty      bool           // ended at once: nothing is waited for
}

// settings are what the process itself takes from a configuration.
type settings struct {
	drainDelay   time.Duration
	drainTimeout time.Duration
	readyAfter   time.Duration
}

// processors is how many loops serve connections. A loop that waits in the kernel keeps its Go processor
// for a while, so there is one more of them, for goroutines.
var processors = sync.OnceValue(func() int {
	n := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(n + 1)
	return n
})

func newProcess(stderr io.Writer, s source, inherited []*os.File) *process {
	p := &process{source: s, inherited: inherited, drainAsked: make(chan struct{}, 1), stop: make(chan struct{}),
		readiness: readiness{begun: time.Now()}}
	p.log = slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: &p.level}))
	if s.demo != nil {
		p.log = slog.New(newPlainHandler(stderr, &p.level))
	}
	slog.SetDefault(p.log)
	p.files.raise()
	_ = p.manager.dial() // the first message tries again, and says it
	p.registry = metric.NewRegistry()
	if e, ok := stderr.(*events); ok {
		e.register(p.registry.Scope())
	}
	p.registry.Scope().GaugeFunc("penstock_build_info", "1; the labels say which binary this is.",
		func() float64 { return 1 }, "version", version, "commit", commit, "go_version", runtime.Version())
	p.front = front.New(&p.current, p.registry.Scope(), p.inherited, processors())
	o := live.Options{File: s.file, Registry: p.registry, Current: &p.current, Log: p.log,
		Features: features(edge.Feature{Name: "process", New: p.build}, p.front)}
	if s.demo != nil {
		o.Text = s.demo.text
	}
	p.live = live.New(o)
	return p
}

// build is the process's own part of a generation: [admin], [log] level and [server] drain_timeout.
func (p *process) build(h *edge.Host) *edge.Instance {
	conf := h.Config
	api := adminKeys(h)
	var place *admin.Place // new for this generation; nil: the one before stays
	shared := slices.ContainsFunc(conf.Listeners, func(l config.Listener) bool { return l.ReusePort })
	budget, _ := edge.Keep(h.State, descriptors.Key, descriptors.New, nil) // New does not fail
	started := false
	return &edge.Instance{
		Open: func() {
			var err error
			if place, err = p.admin.open(conf.Admin.Address, shared); err != nil {
				conf.Admin.Table.Errorf("address", "%s", err)
			}
		},
		Start: func() {
			started = true
			p.use(conf)
			p.files.share(budget, conf)
			p.admin.use(conf.Admin.Address, place, admin.Options{
				Registry: p.registry, Current: &p.current, Status: p.live.Status, Handlers: p.live.Handlers,
				Reload: p.reload, Drain: p.askDrain, HandOver: p.admin.handOver, Unready: p.unready,
				Hosts: api.Hosts, Log: p.log,
				Connections: budget.Spare() / 2,
			})
		},
		Close: func() {
			if !started && place != nil {
				place.Close()
			}
		},
	}
}

// adminKeys reads what [admin] holds besides the address.
func adminKeys(h *edge.Host) (keys admin.Config) {
	h.Config.Admin.Table.Decode(&keys)
	return keys
}

// use makes conf the process's settings.
func (p *process) use(conf *config.Config) {
	_ = p.level.UnmarshalText([]byte(conf.Log.Level)) // one of four names, config has seen to it
	s := &settings{drainDelay: conf.Server.DrainDelay, drainTimeout: conf.Server.DrainTimeout,
		readyAfter: conf.Server.ReadyAfter}
	p.conf.Store(s)
	p.files.warn(conf)
}

// announce logs that the first generation serves.
func (p *process) announce() {
	if d := p.source.demo; d != nil {
		d.announce(p.log)
	}
	for _, l := range p.listeners() {
		p.log.Info("listening", "listener", l.Name, "address", l.Address, "tls", l.TLS)
	}
	p.log.Info("serving", "generation", p.current.Load().ID, "admin", p.admin.address(), "version", version)
	p.warnIdleSockets()
	if why := p.unready(); why != "" {
		p.background.Go(func() { p.becomeReady(why) })
	}
	p.background.Go(p.watchdog)
	p.background.Go(func() { giveBack(p.stop) })
}

// listeners returns what the front tells of its listeners.
func (p *process) listeners() []front.ListenerStatus {
	all, _ := p.live.Status().(map[string]any)
	list, _ := all["listeners"].([]front.ListenerStatus)
	return list
}

// hangup is what SIGHUP asks for.
func (p *process) hangup() {
	p.live.Reopen()
	_, _ = p.reload() // what is wrong has been logged
}

// reload loads the configuration and keeps the service manager informed: it waits for the READY that comes
// when the last of several reloads is through. Before the process was ready once it is told of none.
func (p *process) reload() ([]string, error) {
	p.reloading.Add(1)
	if p.wasTold() {
		p.notify("RELOADING=1\nMONOTONIC_USEC=" + monotonic())
	}
	changes, err := p.live.Load()
	if p.reloading.Add(-1) == 0 && !p.draining.Load() && p.wasTold() {
		state := p.statusLine()
		if err != nil {
			state += "; the last reload was refused"
		}
		p.notify("READY=1\nSTATUS=" + state)
	}
	return changes, err
}

func (p *process) askDrain() {
	p.draining.Store(true) // at once, so that /readyz answers 503 from now on
	select {
	case p.drainAsked <- struct{}{}:
	default: // somebody has asked already
	}
}

// drain lets requests end and closes everything.
func (p *process) drain() {
	p.live.Freeze() // a reload under way may still open listeners
	if cut := p.front.Drain(p.conf.Load().drainTimeout); cut > 0 {
		p.log.Warn("connections were cut at the end of drain_timeout", "connections", cut)
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := p.live.Close(ctx); err != nil {
		p.log.Warn("not everything was closed", "error", err)
	}
}

// closeTimeout bounds what features do when they close: writing logs, ending copies of requests.
const closeTimeout = 5 * time.Second

// close gives back what the process holds.
func (p *process) close() {
	close(p.stop)
	if p.hasty {
		p.admin.leave()
		return
	}
	p.front.Close()
	p.admin.close()
	p.background.Wait()
}
