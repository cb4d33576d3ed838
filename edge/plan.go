package edge

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/route"
)

// Plan is a route compiled: flat lists of filters, one a phase. A request touches nothing else of the
// configuration, and a route pays only for what it configures.
type Plan struct {
	Name     string
	Upstream Upstream      // nil: a filter answers
	Timeout  time.Duration // of the whole exchange; 0: none
	// RetryUnsafe lets upstreams repeat requests that are not idempotent.
	RetryUnsafe bool
	// Copies is true when requests are copies of others, whose answers no client waits for: one that met a
	// dead connection is sent again whatever its method, and the upstream's policy is not asked.
	Copies bool
	// ForwardExpect leaves it to the upstream whether a client that waits for a 100 sends its body.
	ForwardExpect bool
	Notes         []Note   // what `routes` and `explain` print
	Params        []string // names of the path's parameters, in the order of Match

	filters [phases][]Filter // in running order
}

// Note is one line of what a route applies.
type Note struct{ Key, Value string }

// Filters returns the filters of one phase in running order.
func (p *Plan) Filters(ph Phase) []Filter { return p.filters[ph] }

// Generation is everything that one reading of the file made: requests pin the one they started with.
type Generation struct {
	ID      uint64
	Born    time.Time
	Routes  *route.Table
	Plans   []*Plan // by rule index
	Nowhere *Plan   // requests without a route, refused ones included
	Early   []Filter
	Slots   int // length of Exchange.Slot
	// MergeSlashes is true when each run of slashes in the path of a request is one.
	MergeSlashes bool

	pins    *lanes.Gauge
	retired atomic.Bool
	closing sync.Once
	onClose func()
}

// NewGeneration returns a generation whose onClose runs once, when it is retired and its last request ended.
func NewGeneration(id uint64, onClose func()) *Generation {
	return &Generation{ID: id, Born: time.Now(), pins: lanes.NewGauge(), onClose: onClose}
}

// Pins returns how many exchanges hold the generation.
func (g *Generation) Pins() int64 { return g.pins.Sum() }

// Unpin lets go of a generation that Current.Pin returned; lane is the one it was pinned with.
func (g *Generation) Unpin(lane uint32) {
	g.pins.Add(lane, -1)
	if g.retired.Load() {
		g.closeIfIdle()
	}
}

func (g *Generation) closeIfIdle() {
	// Once retired no valid pin is added, each lane only falls: a sum of zero means that nobody holds it.
	if g.pins.Sum() == 0 {
		g.closing.Do(g.onClose)
	}
}

// Current is the one pointer that a reload swaps.
type Current struct{ p atomic.Pointer[Generation] }

// Load returns the running generation without pinning it; nil before the first Swap.
func (c *Current) Load() *Generation { return c.p.Load() }

// Pin returns the running generation, held until Unpin; nil before the first Swap.
func (c *Current) Pin(lane uint32) *Generation {
	for {
		g := c.p.Load()
		if g == nil {
			return nil
		}
		g.pins.Add(lane, 1)
		if c.p.Load() == g {
			return g
		}
		g.Unpin(lane) // it was retired in between; the pin was never used
	}
}

// Swap makes g the running generation and retires the one before, which closes when its last request ends.
func (c *Current) Swap(g *Generation) {
	old := c.p.Swap(g)
	if old != nil {
		old.retired.Store(true)
		old.closeIfIdle()
	}
}
