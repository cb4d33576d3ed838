package limit

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// AdmissionConfig is [pool.NAME.admission].
type AdmissionConfig struct {
	Enabled bool `toml:"enabled" default:"true"` // false: as without the section
	// Requests to let through for each that is accepted.
	K float64 `toml:"k" default:"2" min:"1.1" max:"10"`
	// In which requests count.
	Window time.Duration `toml:"window" default:"30s" min:"1s" max:"10m"`
	// In the window.
	MinRequests int `toml:"min_requests" default:"20" min:"1" max:"1000000"`
	// Answers that count as refused, with those that never came; "429,503": also these.
	Status string `toml:"status" default:"503"`
	// At most so much is refused here.
	MaxPercent int `toml:"max_percent" default:"90" min:"1" max:"99"`
}

// Throttle refuses requests here that the upstream would refuse: with the chance that the requests of a
// window exceed K times those accepted (client-side throttling, Google SRE book, chapter 21). It outlives
// reloads. Any number of goroutines may use it.
type Throttle struct {
	requests, accepts *lanes.Counter
	chance            atomic.Uint32 // of refusing, of 65536

	mu    sync.Mutex // guards what follows
	conf  *AdmissionConfig
	slots [throttleSlots]counts // what there had been when each slot of the window began
	slot  int64                 // the one that began last, counted from the clock's zero
	begun bool                  // false: slot means nothing, the next Tick numbers anew
}

type counts struct{ requests, accepts uint64 }

const throttleSlots = 16

// NewThrottle returns a throttle that refuses nothing yet.
func NewThrottle(c *AdmissionConfig) *Throttle {
	return &Throttle{requests: lanes.NewCounter(), accepts: lanes.NewCounter(), conf: c}
}

// Configure changes the settings; the counts stay. With another window what the old one held counts until
// one of the new length has passed.
func (t *Throttle) Configure(c *AdmissionConfig) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begun && c.Window != t.conf.Window {
		begin := t.slots[(t.slot+1)%throttleSlots]
		for i := range t.slots {
			t.slots[i] = begin
		}
		t.begun = false
	}
	t.conf = c
	if !c.Enabled {
		t.chance.Store(0)
	}
}

// Request counts a request: one that Refuse refuses at once, any other when its end is known. Counted before,
// those under way would pass for ones that the upstream does not accept.
func (t *Throttle) Request(lane uint32) { t.requests.Inc(lane) }

// Accept counts one that the upstream has taken, beside Request.
func (t *Throttle) Accept(lane uint32) { t.accepts.Inc(lane) }

// Refuse reports whether a request is to be refused here. Critical ones have half the chance of it,
// sheddable ones twice.
func (t *Throttle) Refuse(class Class) bool {
	share := t.chance.Load()
	if share == 0 {
		return false
	}
	switch class {
	case ClassCritical:
		share /= 2
	case ClassSheddable:
		share = min(2*share, 65536*99/100)
	}
	return chance.Uint32()>>16 < share
}

// Tick computes the chance; now is in clock nanoseconds. It is called some times a second.
func (t *Throttle) Tick(now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := counts{t.requests.Sum(), t.accepts.Sum()}
	slot := now / max(int64(t.conf.Window)/throttleSlots, 1)
	t.turn(slot, all)
	begin := t.slots[(slot+1)%throttleSlots]
	requests, accepts := float64(all.requests-begin.requests), float64(all.accepts-begin.accepts)
	chance := 0.0
	if t.conf.Enabled && requests >= float64(t.conf.MinRequests) {
		chance = max(0, (requests-t.conf.K*accepts)/(requests+1))
	}
	t.chance.Store(uint32(math.Round(65536 * min(chance, float64(t.conf.MaxPercent)/100))))
}

// turn begins the slots up to slot, in which all had been counted. t.mu is held.
func (t *Throttle) turn(slot int64, all counts) {
	if !t.begun {
		t.begun, t.slot = true, slot
		t.slots[slot%throttleSlots] = all
	}
	for range min(slot-t.slot, throttleSlots) {
		t.slot++
		t.slots[t.slot%throttleSlots] = all
	}
	t.slot = slot
}

// ThrottleSnapshot is a throttle as /status shows it.
type ThrottleSnapshot struct {
	RefusePercent float64 `json:"refuse_percent"`
}

// Snapshot returns what there is to know at the moment.
func (t *Throttle) Snapshot() ThrottleSnapshot {
	return ThrottleSnapshot{100 * float64(t.chance.Load()) / 65536}
}
