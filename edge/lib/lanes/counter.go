package lanes

// Counter only goes up. Make it with NewCounter or Arena.Counter; the zero value
// cannot be counted on.
type Counter cell

// NewCounter returns a counter at 0 that shares its memory with no other: 128 bytes
// a lane. Where there are thousands, Arena packs them.
func NewCounter() *Counter { return (*Counter)(newCell()) }

// Add adds n in the given lane.
func (c *Counter) Add(lane uint32, n uint64) { (*cell)(c).at(lane).Add(n) }

// Inc adds one in the given lane.
func (c *Counter) Inc(lane uint32) { (*cell)(c).at(lane).Add(1) }

// Sum adds up all lanes. Additions made meanwhile may be in it or not.
func (c *Counter) Sum() uint64 { return (*cell)(c).sum() }

// Gauge goes up and down. What went up in one lane may come down in another: only
// the sum has a meaning. Make it with NewGauge or Arena.Gauge.
type Gauge cell

// NewGauge returns a gauge at 0 that shares its memory with no other.
func NewGauge() *Gauge { return (*Gauge)(newCell()) }

// Add adds n, which may be negative, in the given lane.
func (g *Gauge) Add(lane uint32, n int64) { (*cell)(g).at(lane).Add(uint64(n)) }

// Sum adds up all lanes. It may be off, even below zero, by what is being added
// while it reads.
func (g *Gauge) Sum() int64 { return int64((*cell)(g).sum()) }
