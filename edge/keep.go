package edge

import "sync"

// Keeper holds state that outlives a generation: limits, connections, sockets, counters. Entries are
// counted by the generations that use them; the last one to let go closes the entry.
type Keeper struct {
	mu      sync.Mutex // guards entries and their refs
	entries map[string]*kept
}

type kept struct {
	value any
	refs  int
	drop  func()
}

// NewKeeper returns an empty keeper.
func NewKeeper() *Keeper { return &Keeper{entries: make(map[string]*kept)} }

// Holder is one generation's hold on a keeper.
type Holder struct {
	k    *Keeper
	keys []string
}

// Hold returns a holder for a new generation.
func (k *Keeper) Hold() *Holder { return &Holder{k: k} }

// Keep returns the value kept under key, made by create if no generation has one. drop is called when the
// last holder that asked for the key has let go; it may be nil. A failed create keeps nothing.
func Keep[T any](h *Holder, key string, create func() (T, error), drop func(T)) (T, error) {
	h.k.mu.Lock()
	defer h.k.mu.Unlock()
	e := h.k.entries[key]
	if e == nil {
		v, err := create()
		if err != nil {
			return v, err
		}
		e = &kept{value: v}
		if drop != nil {
			e.drop = func() { drop(v) }
		}
		h.k.entries[key] = e
	}
	v, ok := e.value.(T)
	if !ok {
		panic("BUG: " + key + " is kept as another type")
	}
	e.refs++
	h.keys = append(h.keys, key)
	return v, nil
}

// Release lets go of everything the holder asked for, in reverse order. It must be called once.
func (h *Holder) Release() {
	for i := len(h.keys) - 1; i >= 0; i-- {
		h.k.release(h.keys[i])
	}
	h.keys = nil
}

func (k *Keeper) release(key string) {
	k.mu.Lock()
	e := k.entries[key]
	e.refs--
	last := e.refs == 0
	if last {
		delete(k.entries, key)
	}
	k.mu.Unlock()
	if last && e.drop != nil {
		e.drop() // outside the lock: it may wait
	}
}
