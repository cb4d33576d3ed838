package lanes

import "sync"

// Arena makes counters that weigh 8 bytes a lane instead of 128, by putting up to 16
// of them side by side in the rows of their lanes. The memory of a block is freed
// when none of its counters is referred to any more. The zero value is ready.
type Arena struct {
	mu   sync.Mutex // guards what follows
	rows []row      // the block being filled
	next uint8      // its first free column
}

// Counter returns a new counter at 0.
func (a *Arena) Counter() *Counter { return &Counter{a.cell()} }

// Gauge returns a new gauge at 0.
func (a *Arena) Gauge() *Gauge { return &Gauge{a.cell()} }

func (a *Arena) cell() cell {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rows == nil || a.next == rowSlots {
		a.rows, a.next = make([]row, count), 0
	}
	c := cell{rows: a.rows, col: a.next}
	a.next++
	return c
}
