package overload

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
)

// resource is something that runs out.
type resource int

const (
	memory resource = iota
	cpu
	resources
)

// String returns the name in metrics.
func (r resource) String() string { return [resources]string{"memory", "cpu"}[r] }

// source is where the process reads what it has and uses. machine is the real one.
type source interface {
	// limits returns what bounds the memory of the process; at least one bound unless err is not nil.
	limits() ([]bound, error)
	// used returns how many bytes count against the bound that comes from where.
	used(where string) (int64, error)
	// busy returns the processor time used so far, and how many processors may be used at once.
	busy() (time.Duration, float64, error)
}

// bound is a limit of memory.
type bound struct {
	bytes int64  // more than 0
	where string // it comes from
}

// gauge looks at memory and CPU some times a second and keeps the chances by which requests are refused. It
// outlives reloads.
type gauge struct {
	chance   [classes]atomic.Uint32   // of being refused, of 65536, by class
	strained [resources]atomic.Uint64 // bits of a float64, 0 to 1
	from     source
	quit     chan struct{}
	once     sync.Once

	mu         sync.Mutex // guards what follows
	conf       *Config
	log        *slog.Logger
	bounds     []bound // of memory; none: memory is not looked at
	nearest    bound   // the one of them that is nearest to being reached
	usedNow    int64   // bytes that count against nearest
	blind      bool    // what is used could not be read at the last look
	busyNow    float64 // share of the processors, smoothed
	lastBusy   time.Duration
	lastAt     time.Time // zero: lastBusy is not known
	cpuLevel   float64   // how much is refused for want of CPU, 0 to 1
	shedding   bool      // as last logged
	calm       int       // looks since something was refused, while shedding
	softLimits bool      // the garbage collector's limit is ours
	share      float64   // of nearest that is used
	without    int64     // the collector's limit when it is not ours
}

func newGauge(from source) *gauge {
	return &gauge{from: from, quit: make(chan struct{}), conf: &Config{}, without: math.MaxInt64}
}

// every is how often the gauge looks; at memory alone it looks more often from nearly of memory_percent
// on: the kernel does not wait, and a small control group is filled in a blink.
const (
	every  = 250 * time.Millisecond
	hurry  = 20 * time.Millisecond
	nearly = 0.8
)

// start makes conf hold. The first call begins to look.
func (g *gauge) start(conf *Config, log *slog.Logger) {
	g.configure(conf, log)
	g.once.Do(func() { go g.run() })
}

func (g *gauge) stop() {
	close(g.quit)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.soften(math.MaxInt64)
}

func (g *gauge) run() {
	timer := time.NewTimer(every)
	defer timer.Stop()
	for due := time.Now().Add(every); ; {
		select {
		case <-g.quit:
			return
		case <-timer.C:
		}
		now := time.Now()
		if now.Before(due) {
			g.contained(g.glance)
		} else {
			g.contained(func() { g.look(now) })
			due = now.Add(every)
		}
		timer.Reset(min(g.pause(), time.Until(due)))
	}
}

// pause is how long the gauge need not look.
func (g *gauge) pause() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.bounds) > 0 && g.share > nearly*g.conf.MemoryPercent/100 {
		return hurry
	}
	return every
}

// contained calls f. A mistake in it must not end the process, which serves requests.
func (g *gauge) contained(f func()) {
	var fault *edge.Fault // written to the log by Contain
	defer edge.Contain(&fault)
	f()
}

// configure finds the limits out.
func (g *gauge) configure(conf *Config, log *slog.Logger) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conf, g.log, g.bounds, g.nearest, g.usedNow, g.blind = conf, log, nil, bound{}, 0, false
	if conf.MemoryPercent == 0 {
		g.soften(math.MaxInt64)
		return
	}
	bounds, err := g.findBounds()
	if err != nil {
		g.soften(math.MaxInt64)
		log.Error("cannot tell how much memory there is: nothing is refused for want of it; "+
			"set memory_limit of [overload]", "error", err)
		return
	}
	g.bounds, g.nearest = bounds, bounds[0]
	g.soften(int64(float64(bounds[0].bytes) * softPart * conf.MemoryPercent / 100))
	for _, b := range bounds {
		log.Info("memory is watched", "limit_bytes", b.bytes, "of", b.where, "refusing_from_percent",
			conf.MemoryPercent)
	}
}

// findBounds returns the file's limit, or those of the machine, if what is used of them can be read.
func (g *gauge) findBounds() (bounds []bound, err error) {
	if g.conf.MemoryLimit > 0 {
		bounds = []bound{{int64(g.conf.MemoryLimit), "memory_limit"}}
	} else if bounds, err = g.from.limits(); err != nil {
		return nil, err
	}
	for _, b := range bounds {
		if _, err := g.from.used(b.where); err != nil {
			return nil, err
		}
	}
	return bounds, nil
}

// soften gives the garbage collector a limit, so that it works harder before requests are refused, unless
// GOMEMLIMIT says otherwise. math.MaxInt64 takes back what was given. g.mu is held.
func (g *gauge) soften(limit int64) {
	ours := limit < math.MaxInt64
	if !ours && !g.softLimits && g.without == math.MaxInt64 {
		return
	}
	setCollector(min(limit, g.without))
	g.softLimits = ours
}

// setCollector sets the limit that the garbage collector keeps to, unless GOMEMLIMIT has done so.
func setCollector(limit int64) {
	if os.Getenv(goLimit) == "" {
		debug.SetMemoryLimit(limit)
	}
}

// softPart of what may be used before requests are refused is the garbage collector's limit: the rest is
// stacks of threads, the kernel's buffers, and what the collector has not got round to.
const softPart = 0.9

// look takes the measures and computes the chances.
func (g *gauge) look(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.decide(g.lookAtMemory(), g.lookAtCPU(now))
}

// glance is look without CPU, whose use shows over some time only.
func (g *gauge) glance() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.decide(g.lookAtMemory(), g.pressure(cpu))
}

// decide computes the chances from both pressures. g.mu is held.
func (g *gauge) decide(m, c float64) {
	g.strained[memory].Store(math.Float64bits(m))
	g.strained[cpu].Store(math.Float64bits(c))
	refusing := false
	for class := range g.chance {
		p := max(refusedForMemory(edge.Class(class), m), refusedForCPU(edge.Class(class), c))
		g.chance[class].Store(uint32(math.Round(p * 65536)))
		refusing = refusing || p > 0
	}
	g.logChange(refusing, m, c)
}

// logChange writes to the log when refusing begins, and when it has not been needed for some time. g.mu is
// held.
func (g *gauge) logChange(refusing bool, m, c float64) {
	what := "the gateway is overloaded and refuses requests"
	switch {
	case refusing:
		g.calm = 0
		if g.shedding {
			return
		}
	case !g.shedding:
		return
	default:
		if g.calm++; g.calm < calmLooks {
			return
		}
		what = "the gateway has enough of all again"
	}
	g.shedding = refusing
	g.log.Warn(what, "memory_used_bytes", g.usedNow, "memory_limit_bytes", g.nearest.bytes,
		"cpu_percent", math.Round(100*g.busyNow), "memory_pressure", m, "cpu_pressure", c)
}

// calmLooks without refusals end an overload for the log, 5 s: use that moves around the threshold is one
// overload, not many.
const calmLooks = 20

// lookAtMemory returns the pressure of the bound that is nearest to being reached.
func (g *gauge) lookAtMemory() float64 {
	highest := -1.0
	for _, b := range g.bounds {
		used, err := g.from.used(b.where)
		if err != nil {
			if !g.blind {
				g.log.Error("cannot read any more how much memory is used: nothing is refused for want of it "+
					"meanwhile", "error", err)
			}
			g.blind = true
			return 0 // a guess would refuse requests without need
		}
		if share := float64(used) / float64(b.bytes); share > highest {
			highest, g.nearest, g.usedNow = share, b, used
		}
	}
	g.blind, g.share = false, highest
	return memoryPressure(highest, g.conf.MemoryPercent/100)
}

// lookAtCPU moves the level up while more than cpu_percent is used and down while less is. Use cannot show
// how far too much is asked for, so the level looks for itself how much must be refused.
func (g *gauge) lookAtCPU(now time.Time) float64 {
	busy, processors, err := g.from.busy()
	if err != nil {
		g.lastAt, g.busyNow, g.cpuLevel = time.Time{}, 0, 0
		return 0
	}
	took, spent, first := now.Sub(g.lastAt), busy-g.lastBusy, g.lastAt.IsZero()
	if !first && took <= 0 {
		return g.cpuLevel
	}
	g.lastAt, g.lastBusy = now, busy
	if first {
		return 0
	}
	share := min(max(float64(spent)/float64(took)/processors, 0), 1)
	g.busyNow += (share - g.busyNow) * cpuSmooth
	if g.conf.CPUPercent == 0 {
		g.cpuLevel = 0
		return 0
	}
	step := min(max(g.busyNow-g.conf.CPUPercent/100, -cpuStep), cpuStep)
	g.cpuLevel = min(max(g.cpuLevel+step, 0), 1)
	return g.cpuLevel
}

const (
	cpuSmooth = 0.4  // what a look counts: about a second is looked back at
	cpuStep   = 0.05 // the most that the level moves in a look: from nothing to all in 5 s
)

// pressure returns how near a resource is to its end, 0 to 1.
func (g *gauge) pressure(r resource) float64 { return math.Float64frombits(g.strained[r].Load()) }

// Status is what /status shows. Of several limits of memory it is about the one nearest to being reached.
type Status struct {
	MemoryUsed     int64              `json:"memory_used_bytes"`
	MemoryLimit    int64              `json:"memory_limit_bytes"` // 0: not looked at
	LimitFrom      string             `json:"memory_limit_from,omitempty"`
	MemoryPressure float64            `json:"memory_pressure"`
	CPUPercent     float64            `json:"cpu_percent"`
	CPUPressure    float64            `json:"cpu_pressure"`
	RefusePercent  map[string]float64 `json:"refuse_percent"` // by class
}

func (g *gauge) status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Status{MemoryUsed: g.usedNow, MemoryLimit: g.nearest.bytes, LimitFrom: g.nearest.where,
		MemoryPressure: g.pressure(memory), CPUPressure: g.pressure(cpu),
		CPUPercent: math.Round(100 * g.busyNow), RefusePercent: map[string]float64{}}
	for c := range g.chance {
		s.RefusePercent[edge.Class(c).String()] = 100 * float64(g.chance[c].Load()) / 65536
	}
	return s
}
