package h1

import (
	"sync/atomic"

	"github.com/penstock-edge/penstock/edge"
)

// idleLists are the idle connections of a target, a list for each loop: those that wait in the loop which
// serves the request are the cheapest to use.
type idleLists []idleSlots

func newIdleLists(room, lists int) idleLists {
	all := make(idleLists, lists)
	for i := range all {
		n := room / lists
		if i < room%lists {
			n++
		}
		all[i].slots = make([]atomic.Pointer[conn], n)
	}
	return all
}

// pop takes a connection, from the list at home if it has one.
func (all idleLists) pop(home int) *conn {
	for i := range all {
		if c := all[(home+i)%len(all)].pop(); c != nil {
			return c
		}
	}
	return nil
}

// popOf takes a connection that began with the header, likewise.
func (all idleLists) popOf(home int, header []byte) *conn {
	for i := range all {
		if c := all[(home+i)%len(all)].popOf(header); c != nil {
			return c
		}
	}
	return nil
}

// push keeps c, at home if there is room; false when there is none anywhere.
func (all idleLists) push(c *conn) bool {
	home := 0
	if c.socket != nil {
		home = c.socket.Loop().Index()
	}
	for i := range all {
		if all[(home+i)%len(all)].push(c) {
			return true
		}
	}
	return false
}

// any reports whether an idle connection stood in a list a moment ago.
func (all idleLists) any() bool {
	for i := range all {
		if all[i].any() {
			return true
		}
	}
	return false
}

// home is the index of the loop that serves x.
func home(x *edge.Exchange) int {
	if x.Loop == nil {
		return 0
	}
	loop, _ := x.Loop.Loop()
	return loop.Index()
}

// idleSlots holds idle connections without a lock: a slot is taken by swapping it out, so a connection has
// one owner at any time. It is last in, first out as long as nobody interferes, and nearly so otherwise.
type idleSlots struct {
	slots []atomic.Pointer[conn]
	top   atomic.Int64 // where the last push or pop took place; a hint
	_     [128]byte    // another loop's list is written to by another core
}

func (s *idleSlots) pop() *conn {
	n := int64(len(s.slots))
	start := min(s.top.Load(), n-1)
	for i := start; i >= 0; i-- {
		if s.slots[i].Load() == nil {
			continue
		}
		if c := s.slots[i].Swap(nil); c != nil {
			s.top.Store(i)
			return c
		}
	}
	for i := start + 1; i < n; i++ {
		if s.slots[i].Load() == nil {
			continue
		}
		if c := s.slots[i].Swap(nil); c != nil {
			s.top.Store(i)
			return c
		}
	}
	return nil
}

// popOf takes a connection that began with the header. It looks at all there are.
func (s *idleSlots) popOf(header []byte) *conn {
	for i := range s.slots {
		slot := &s.slots[i]
		if c := slot.Load(); c != nil && c.header == string(header) && slot.CompareAndSwap(c, nil) {
			s.top.Store(int64(i))
			return c
		}
	}
	return nil
}

// push keeps c; false when all slots are taken.
func (s *idleSlots) push(c *conn) bool {
	n := int64(len(s.slots))
	start := min(s.top.Load(), n)
	for i := start; i < n; i++ {
		if s.slots[i].Load() == nil && s.slots[i].CompareAndSwap(nil, c) {
			s.top.Store(i)
			return true
		}
	}
	for i := start - 1; i >= 0; i-- {
		if s.slots[i].Load() == nil && s.slots[i].CompareAndSwap(nil, c) {
			s.top.Store(i)
			return true
		}
	}
	return false
}

// any reports whether an idle connection stood in the slots a moment ago.
func (s *idleSlots) any() bool {
	for i := range s.slots {
		if s.slots[i].Load() != nil {
			return true
		}
	}
	return false
}
