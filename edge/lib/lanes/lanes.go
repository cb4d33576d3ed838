// Package lanes has counters that many cores may count on at once.
//
// A counter is split into lanes, and whoever counts names the lane it is in: a
// connection gets a lane number when it is accepted and keeps it. Two lanes never
// share a cache line, so counting costs one uncontended atomic addition. Reading
// adds the lanes up; it is meant for a scrape, not for every request.
//
// A lane number may be any uint32: it is reduced to the lanes there are. Lanes are
// not owned: several goroutines may count in one lane at the same time, and only
// speed suffers.
package lanes

import (
	"runtime"
	"sync/atomic"
)

// maxLanes bounds what a counter weighs on a machine with very many cores.
const maxLanes = 64

// rowSlots slots of 8 bytes fill 128 bytes: two cache lines, because the prefetcher
// of x86 fetches lines in pairs and arm64 servers exist with lines of 128 bytes.
const rowSlots = 16

// count is fixed when the process starts, for counters of before and after a change
// of GOMAXPROCS have to agree on it.
var count = fit(runtime.GOMAXPROCS(0))

// Count is how many lanes every counter has: a power of two, at least GOMAXPROCS as it was when the process
// started, at most 64.
func Count() int { return count }

func fit(procs int) int {
	n := 1
	for n < procs && n < maxLanes {
		n *= 2
	}
	return n
}

// row is what one lane has of up to 16 counters. Counters that share a row are
// counted by the same lane, hence (nearly always) by the same core.
type row [rowSlots]atomic.Uint64

// cell is one counter: a column through the rows of all lanes.
type cell struct {
	rows []row // one a lane; shared with the other cells of the block
	col  uint8
}

func newCell() *cell { return &cell{rows: make([]row, count)} }

func (c *cell) at(lane uint32) *atomic.Uint64 {
	return &c.rows[int(lane)&(len(c.rows)-1)][c.col&(rowSlots-1)]
}

func (c *cell) sum() uint64 {
	var n uint64
	for i := range c.rows {
		n += c.rows[i][c.col].Load()
	}
	return n
}
