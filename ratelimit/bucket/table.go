package bucket

import (
	"math/bits"
	"sync/atomic"
)

// table finds the word of a key. It is made of lines of eight slots; the words of a line are one line of
// the processor's cache. A key may be in one of two lines: with three quarters of the slots in use there is
// practically always room.
//
// In a tagged table a word is 24 bits of the key, and 40 bits of state. Identity and state change in one
// compare-and-swap, so that no one charges a slot that has become another key's. Two keys in the same lines
// share a slot when their tags are the same: one of a million does, as a key meets some dozen others.
//
// A table with ids compares one or two words of the hash besides, or in place of the tag. A writer that
// gives a slot to another key makes its word busy first, so that a compare-and-swap of somebody who has
// found the old key fails.
//
// State 0 is that of a slot which is free.
type table struct {
	words  []atomic.Uint64
	ids    []atomic.Uint64
	each   uint64 // words of ids a slot has
	tagged bool
	lines  uint64

	evictions atomic.Uint64
}

const (
	lineSlots = 8
	stateBits = 40
	stateMask = 1<<stateBits - 1
	busyTag   = 1<<24 - 1
	busy      = busyTag<<stateBits | stateMask // all ones
	load      = 0.75                           // of the slots are in use with as many keys as were asked for
)

func newTable(maxKeys int, tagged bool, each int) *table {
	t := &table{lines: max(uint64(float64(maxKeys)/load/lineSlots)+1, 2), tagged: tagged, each: uint64(each)}
	t.words = make([]atomic.Uint64, t.lines*lineSlots)
	t.ids = make([]atomic.Uint64, t.lines*lineSlots*t.each)
	return t
}

// bytes returns how much memory the table takes.
func (t *table) bytes() int64 { return 8 * int64(len(t.words)+len(t.ids)) }

// place is where a key may be.
type place struct {
	key Key
	tag uint64    // shifted to where it stands in a word; 0 in a table without
	at  [2]uint64 // the first slots of its lines
}

func (t *table) place(k Key) (p place) {
	p.key = k
	if t.tagged {
		if p.tag = k[1] >> stateBits; p.tag == busyTag {
			p.tag = 0
		}
		p.tag <<= stateBits
	}
	one, _ := bits.Mul64(k[0], t.lines)
	two, _ := bits.Mul64((k[0]^k[1]<<24)*0x9e3779b97f4a7c15, t.lines)
	if one == two {
		two = (one + 1) % t.lines
	}
	p.at = [2]uint64{one * lineSlots, two * lineSlots}
	return p
}

// state returns the state in a word.
func (t *table) state(w uint64) uint64 {
	if t.tagged {
		return w & stateMask
	}
	return w
}

// find returns the slot of the key, if there is one besides skip, and its word; -1: there is none.
func (t *table) find(p *place, skip int64) (slot int64, word uint64) {
	_ = t.words[p.at[1]].Load() // on its way while the first line is looked at
	if !t.tagged {
		_ = t.ids[p.at[1]*t.each].Load()
	}
	for _, first := range p.at {
		for i := first; i < first+lineSlots; i++ {
			if !t.tagged && t.ids[i*t.each].Load() != p.key[0] {
				continue
			}
			w := t.words[i].Load()
			if t.tagged && (w^p.tag)>>stateBits != 0 || w == busy || t.state(w) == 0 || int64(i) == skip {
				continue
			}
			if t.is(i, p) { // after the word: if it is another key's by now, the word has changed
				return int64(i), w
			}
		}
	}
	return -1, 0
}

func (t *table) is(i uint64, p *place) bool {
	for j := range t.each {
		if t.ids[i*t.each+j].Load() != p.key[j] {
			return false
		}
	}
	return true
}

// vacant returns the slot that a new key is to take: a free one in the line that has more of them. When
// there is none it is the one with the lowest rank, and that one's key is forgotten. rank is 0 for states
// that are as good as none.
func (t *table) vacant(p *place, rank func(state uint64) uint64) (slot int64, word uint64, evicts bool) {
	var free [2]int
	var at [2]int64
	var old [2]uint64
	lowest := ^uint64(0)
	slot = -1
	for l, first := range p.at {
		for i := first; i < first+lineSlots; i++ {
			w := t.words[i].Load()
			if w == busy {
				continue
			}
			switch r := rank(t.state(w)); {
			case r == 0 && free[l] == 0:
				free[l], at[l], old[l] = 1, int64(i), w
			case r == 0:
				free[l]++
			case r < lowest:
				slot, word, lowest = int64(i), w, r
			}
		}
	}
	switch {
	case free[0] == 0 && free[1] == 0:
		return slot, word, true
	case free[1] > free[0]:
		return at[1], old[1], false
	}
	return at[0], old[0], false
}

// claim gives a slot whose word is old to the key, with this state; false: another was faster.
func (t *table) claim(p *place, slot int64, old, state uint64) bool {
	w := &t.words[slot]
	if t.each == 0 {
		return w.CompareAndSwap(old, p.tag|state)
	}
	if !w.CompareAndSwap(old, busy) {
		return false
	}
	for j := range t.each {
		t.ids[uint64(slot)*t.each+j].Store(p.key[j])
	}
	w.Store(p.tag | state)
	return true
}

// bound puts another state into a slot, if bound returns another one.
func (t *table) bound(slot int64, bound func(state uint64) uint64) {
	w := &t.words[slot]
	for {
		word := w.Load()
		state := t.state(word)
		if word == busy || state == 0 {
			return
		}
		if next := bound(state); next == state || w.CompareAndSwap(word, word-state+next) {
			return
		}
	}
}

// used counts the slots whose rank is not 0. It looks at all of them.
func (t *table) used(rank func(state uint64) uint64) int {
	n := 0
	for i := range t.words {
		if w := t.words[i].Load(); w != busy && rank(t.state(w)) > 0 {
			n++
		}
	}
	return n
}
