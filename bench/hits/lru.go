package hits

// LRU is a cache without bodies, of which what was asked for longest ago goes first. Only bodies count.
type LRU struct {
	sizes      []int32 // by object
	room       int64   // bytes that are free
	capacity   int64
	next, prev []int32 // a ring through the objects that are there, and the one behind them all; -1: not there
	evicted    int
}

// NewLRU takes objects of these sizes, up to capacity bytes of them.
func NewLRU(capacity int64, sizes []int32) *LRU {
	n := len(sizes)
	l := &LRU{sizes: sizes, room: capacity, capacity: capacity}
	l.next, l.prev = make([]int32, n+1), make([]int32, n+1)
	for i := range n {
		l.next[i] = -1
	}
	l.next[n], l.prev[n] = int32(n), int32(n)
	return l
}

// Ask reports whether an object is there. If it is not, then it is from now on, unless it is larger than all.
func (l *LRU) Ask(object int32) bool {
	there := l.next[object] >= 0
	if there {
		l.unlink(object)
	} else if int64(l.sizes[object]) > l.capacity {
		return false
	}
	end := int32(len(l.sizes)) // the ring's own place: newest behind it, oldest before it
	for int64(l.sizes[object]) > l.room {
		l.unlink(l.prev[end])
		l.evicted++
	}
	l.room -= int64(l.sizes[object])
	first := l.next[end]
	l.next[end], l.prev[first] = object, object
	l.next[object], l.prev[object] = first, end
	return there
}

func (l *LRU) unlink(object int32) {
	before, after := l.prev[object], l.next[object]
	l.next[before], l.prev[after] = after, before
	l.next[object] = -1
	l.room += int64(l.sizes[object])
}

// fill gives the number of requests until something is evicted, all of them if nothing is.
func fill(capacity int64, sizes, sequence []int32) int {
	l := NewLRU(capacity, sizes)
	for i, object := range sequence {
		l.Ask(object)
		if l.evicted > 0 {
			return i
		}
	}
	return len(sequence)
}

// simulate gives the share of the requests after the first warm ones that an LRU cache answers.
func simulate(capacity int64, sizes, sequence []int32, warm int) float64 {
	l := NewLRU(capacity, sizes)
	hits := 0
	for i, object := range sequence {
		if l.Ask(object) && i >= warm {
			hits++
		}
	}
	return float64(hits) / float64(len(sequence)-warm)
}
