package outlier

import "sync"

// Ejection is how often and until when a target is out. It outlives reloads. The zero value is a target
// that was never out.
type Ejection struct {
	mu    sync.Mutex
	count int   // times in a row, of which one is forgotten for each eject_for of good behaviour
	total int   // times in all
	until int64 // clock nanoseconds; 0: it is not out
	back  int64 // when its last time was over, or would have been: it may have come back earlier; 0: never
}

// Eject takes the target out and returns until when: eject_for times how often it was taken out in a row,
// this time included, up to max_eject_for.
func (e *Ejection) Eject(c *Config, now int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.until > 0 {
		e.back = min(now, e.until) // nobody asked whether it was over
	}
	if e.back > 0 && e.back < now {
		good := int((now - e.back) / int64(c.EjectFor))
		e.count = max(e.count-good, 0)
	}
	most := int((c.MaxEjectFor + c.EjectFor - 1) / c.EjectFor) // more would only take longer to forget
	e.count = min(e.count+1, max(most, 1))
	e.total++
	e.until = now + min(int64(c.EjectFor)*int64(e.count), int64(c.MaxEjectFor))
	return e.until
}

// Over reports, once, that the target's time is over. math.MaxInt64 ends it at once.
func (e *Ejection) Over(now int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.until == 0 || now < e.until {
		return false
	}
	e.until, e.back = 0, min(now, e.until)
	return true
}

// Until returns until when the target is out, in clock nanoseconds; 0: it is not.
func (e *Ejection) Until() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.until
}

// Count returns how often the target was taken out in all.
func (e *Ejection) Count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.total
}
