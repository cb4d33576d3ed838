package lanes

import "sync"

// Arena makes counters that weigh 8 bytes a lane instead of 128, by putting up to 16
// of them side by side in the rows of their lanes. The memory of a block is freed
// when none of its counters is referred to any more. The zero value is ready.
type Arena struct {
	mu    sync.Mutex // guards what follows
	block []cell     // what is left of the block being filled
}

// Counter returns a new counter at 0.
func (a *Arena) Counter() *Counter { return (*Counter)(a.cell()) }

// Gauge returns a new gauge at 0.
func (a *Arena) Gauge() *Gauge { return (*Gauge)(a.cell()) }

func (a *Arena) cell() *cell {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.block) == 0 {
		a.block = newBlock()
	}
	c := &a.block[0]
	a.block = a.block[1:]
	return c
}

// newBlock returns cells that share rows.
func newBlock() []cell {
	rows, block := make([]row, count), make([]cell, rowSlots)
	for i := range block {
		block[i] = cell{rows: rows, col: uint8(i)}
	}
	return block
}
