package bucket

// Concurrency counts how many of a key are under way. When there is no room for another key, it is let in
// uncounted.
type Concurrency struct{ t *table }

// NewConcurrency returns a limiter for as many keys at once.
func NewConcurrency(maxKeys int) *Concurrency { return &Concurrency{newTable(maxKeys, true, 0)} }

// places is the meter of one call: how many may be under way.
type places struct{ most int64 }

func (m places) add(state uint64, amount int64, force bool) (uint64, bool) {
	n := int64(state) + amount
	if !force && n > m.most {
		return state, false
	}
	return uint64(max(n, 0)), true
}

func (m places) rank(state uint64) uint64 { return state }

// Acquire takes one of most places of a key. It returns how many are taken.
func (c *Concurrency) Acquire(k Key, most int64) (ok bool, inFlight int64) {
	state, ok := change(c.t, places{most}, k, 1, false)
	return ok, int64(state)
}

// Release gives a place back.
func (c *Concurrency) Release(k Key) { change(c.t, places{}, k, -1, true) }

// Keys returns how many keys have something under way. It looks at the whole table.
func (c *Concurrency) Keys() int { return c.t.used(places{}.rank) }

// Evictions returns how often a key was forgotten to make room.
func (c *Concurrency) Evictions() uint64 { return c.t.evictions.Load() }

// Bytes returns how much memory the table takes.
func (c *Concurrency) Bytes() int64 { return c.t.bytes() }
