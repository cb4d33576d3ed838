package bucket

// meter is what GCRA and windows have in common: a state that is changed by
// amounts.
type meter interface {
	// add returns the state after an amount was added to it, and whether that is allowed. A state of 0 is
	// that of a new key. Nothing is changed by it.
	add(state uint64, amount int64, force bool) (next uint64, ok bool)
	// rank is how much would be forgotten with a state, 0 if nothing.
	rank(state uint64) uint64
	// bound returns a state with as much spent, but no more than the limit.
	bound(state uint64) uint64
}

// tries bounds how often a change is tried that others were faster with. So many in a row do not happen
// unless thousands change one key at the same moment.
const tries = 10_000

// change adds an amount to the state of a key, where that is allowed, and returns the state that it then
// has. A key that is not there gets a slot only when there is something to remember.
func change[M meter](t *table, m M, k Key, amount int64, force bool) (state uint64, ok bool) {
	p := t.place(k)
	for range tries {
		slot, word := t.find(&p, -1)
		if slot >= 0 {
			state = t.state(word)
			next, ok := m.add(state, amount, force)
			if !ok || next == state {
				return state, ok
			}
			if t.words[slot].CompareAndSwap(word, p.tag|next) {
				return next, true
			}
			continue
		}
		next, ok := m.add(0, amount, force)
		if !ok || next == 0 {
			return 0, ok
		}
		slot, word, evicts := t.vacant(&p, m.rank)
		if slot < 0 || !t.claim(&p, slot, word, next) {
			continue
		}
		if evicts {
			t.evictions.Add(1)
		}
		// Another one may have made the same key known in another slot meanwhile. Whoever sees that takes
		// back what it has done and begins again.
		if other, _ := t.find(&p, slot); other < 0 {
			return next, true
		}
		withdraw(t, m, &p, slot, amount)
	}
	return state, false
}

// bound makes no key owe more than the limit. Whoever changes a key by an old limit meanwhile looks at it
// again with boundKey.
func bound[M meter](t *table, m M) {
	for i := range t.words {
		t.bound(int64(i), m.bound)
	}
}

// boundKey is bound for one key.
func boundKey[M meter](t *table, m M, k Key) {
	p := t.place(k)
	if slot, _ := t.find(&p, -1); slot >= 0 {
		t.bound(slot, m.bound)
	}
}

// reset forgets what a key has spent, and reports whether that was anything.
func reset[M meter](t *table, m M, k Key) (spent bool) {
	p := t.place(k)
	for {
		slot, word := t.find(&p, -1)
		if slot < 0 {
			return spent
		}
		if t.words[slot].CompareAndSwap(word, 0) {
			spent = spent || m.rank(t.state(word)) > 0
		}
	}
}

// withdraw empties a slot that should not have been taken. What others have added to it goes to the key's
// other slot.
func withdraw[M meter](t *table, m M, p *place, slot, amount int64) {
	for {
		word := t.words[slot].Load()
		if word == busy || t.tagged && (word^p.tag)>>stateBits != 0 || !t.is(uint64(slot), p) {
			return // it is another key's already
		}
		rest, _ := m.add(t.state(word), -amount, true)
		if !t.words[slot].CompareAndSwap(word, 0) {
			continue
		}
		if more := int64(m.rank(rest)); more > 0 {
			change(t, m, p.key, more, true)
		}
		return
	}
}
