package quota

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// entry is a window of a key. All but used is never changed: the next window is another entry.
type entry struct {
	span
	key  bucket.Key
	used atomic.Int64 // 0 or more; gone
}

// gone is what an entry has used that is in no slot any more, or will be in none when the holder of the lock
// of the shard lets it go. Nobody can count in it then.
const gone = -1

// entryBytes is the memory that an entry takes, of 40 bytes.
const entryBytes = 48

// grace is for how long a window that has ended is still remembered if there is room: the clock may go back.
const grace = int64(time.Hour)

// lineSlots entries and their tags are one line of the processor's cache.
const lineSlots = 7

type line struct {
	tags  atomic.Uint64 // a byte a slot: some bits of its key's hash, that others are passed over quickly
	slots [lineSlots]atomic.Pointer[entry]
}

// shard is a part of the table. Both lines that a key may be in are in the same shard.
type shard struct {
	mu    sync.Mutex // held to change slots and tags; not to find an entry, nor to count in it
	lines []line
}

// table finds the entries of keys. Its size is fixed.
type table struct {
	shards    []shard
	seed      [3]uint64 // that nobody can choose keys which meet in a line
	entries   atomic.Int64
	evictions atomic.Uint64
}

const (
	load       = 0.7 // of the slots are in use with as many keys as were asked for
	mostShards = 64
	shardLines = 512 // a shard has at least, if there is more than one: smaller ones fill unevenly
)

func newTable(maxKeys int) *table {
	lines := int(float64(max(maxKeys, 1))/load/lineSlots) + 2
	n := 1
	for n < mostShards && lines/(2*n) >= shardLines {
		n *= 2
	}
	t := &table{shards: make([]shard, n)}
	for i := range t.shards {
		t.shards[i].lines = make([]line, (lines+n-1)/n)
	}
	for i := range t.seed {
		t.seed[i] = chance.Uint64()
	}
	return t
}

// Bytes returns how much memory the table takes now, with its keys.
func (t *table) Bytes() int64 {
	lines := len(t.shards) * len(t.shards[0].lines)
	return int64(lines)*(lineSlots+1)*8 + t.entries.Load()*entryBytes
}

// place is where a key may be.
type place struct {
	key   bucket.Key
	tag   uint8
	shard *shard
	lines [2]*line
}

func (t *table) place(k bucket.Key) place {
	h := fold(fold(k[0]^t.seed[0], k[1]^t.seed[1]), t.seed[2])
	s := &t.shards[h>>16&uint64(len(t.shards)-1)]
	n := uint64(len(s.lines))
	one, _ := bits.Mul64(h, n)
	two, _ := bits.Mul64(h*0x9e3779b97f4a7c15, n)
	if one == two {
		two = (one + 1) % n
	}
	return place{key: k, tag: uint8(h), shard: s, lines: [2]*line{&s.lines[one], &s.lines[two]}}
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// find returns the entry of the key, nil if there is none. While it is being put there it may be missed.
func (p *place) find() *entry {
	for _, l := range p.lines {
		tags := l.tags.Load()
		for i := range l.slots {
			if uint8(tags>>(8*i)) != p.tag {
				continue
			}
			if e := l.slots[i].Load(); e != nil && e.key == p.key {
				return e
			}
		}
	}
	return nil
}

// locate is find under the lock of the shard: it misses nothing.
func (p *place) locate() (*atomic.Pointer[entry], *entry) {
	for _, l := range p.lines {
		for i := range l.slots {
			if e := l.slots[i].Load(); e != nil && e.key == p.key {
				return &l.slots[i], e
			}
		}
	}
	return nil, nil
}

// look returns the entry of the key and what is used in it, which is not gone; nil if there is none.
func (p *place) look() (e *entry, used int64) {
	if e = p.find(); e == nil {
		return nil, 0
	}
	if used = e.used.Load(); used != gone {
		return e, used
	}
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	if _, e = p.locate(); e == nil {
		return nil, 0
	}
	return e, e.used.Load()
}

// renew returns the entry of a key for a moment that is in the window w, one of the period. When the one
// that is there has not ended, what was used in it goes into the new one: the clock went back by more than
// a window, or the period is another one by now. So neither is the quota given anew, nor does a key wait
// for the end of a window that a wrong clock has made.
func (t *table) renew(p *place, at int64, period Period, w span) *entry {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	slot, old := p.locate()
	if old != nil && old.covers(at, period) {
		return old // another was faster
	}
	e := &entry{span: w, key: p.key}
	if old == nil {
		t.put(p, e, at)
		return e
	}
	if used := old.used.Swap(gone); at < old.end {
		e.used.Store(used)
	}
	slot.Store(e)
	return e
}

// put gives a slot to an entry whose key has none; the lock of the shard is held. One whose window ended
// long ago is taken first, then a free one, then one whose window has just ended, and at last that of the
// key that has used the least.
func (t *table) put(p *place, e *entry, at int64) {
	lines := p.lines
	if lines[1].free() > lines[0].free() {
		lines[0], lines[1] = lines[1], lines[0]
	}
	low := ^uint64(0)
	var into *line
	var slot int
	for _, l := range lines {
		for i := range l.slots {
			if r := l.slots[i].Load().rank(at); r < low {
				low, into, slot = r, l, i
			}
		}
	}
	if low >= rankLive {
		t.evictions.Add(1)
	}
	if old := into.slots[slot].Load(); old != nil {
		old.used.Store(gone)
	} else {
		t.entries.Add(1)
	}
	into.slots[slot].Store(e)
	shift := 8 * slot
	into.tags.Store(into.tags.Load()&^(0xff<<shift) | uint64(p.tag)<<shift)
}

func (l *line) free() (n int) {
	for i := range l.slots {
		if l.slots[i].Load() == nil {
			n++
		}
	}
	return n
}

// rankLive is the rank of a live entry that has used nothing.
const rankLive = 3

// rank is how much is lost with an entry.
func (e *entry) rank(at int64) uint64 {
	switch {
	case e == nil:
		return 1
	case e.end <= at-grace:
		return 0
	case e.end <= at:
		return 2
	}
	return rankLive + uint64(max(e.used.Load(), 0))
}

// absorb takes in what a file says. Of two windows the later one counts, of two counts the higher.
func (t *table) absorb(r record, at int64) {
	if r.end <= at-grace {
		return
	}
	p := t.place(r.key)
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	slot, old := p.locate()
	e := &entry{span: r.span, key: r.key}
	e.used.Store(r.used)
	switch {
	case old == nil:
		t.put(&p, e, at)
	case old.start < r.start:
		old.used.Store(gone)
		slot.Store(e)
	case old.start == r.start:
		for used := old.used.Load(); used < r.used && !old.used.CompareAndSwap(used, r.used); {
			used = old.used.Load()
		}
	}
}

// records calls each with what is to be kept, until it returns false. Windows that ended long ago leave
// their slots.
func (t *table) records(at int64, each func(record) bool) {
	for i := range t.shards {
		s := &t.shards[i]
		for j := range s.lines {
			for k := range s.lines[j].slots {
				r, ok := t.record(s, &s.lines[j].slots[k], at)
				if ok && !each(r) {
					return
				}
			}
		}
	}
}

// record returns what is to be kept of a slot, if anything is.
func (t *table) record(s *shard, slot *atomic.Pointer[entry], at int64) (r record, ok bool) {
	e := slot.Load()
	if e == nil {
		return r, false
	}
	used := e.used.Load()
	if used == gone || e.end <= at-grace {
		s.mu.Lock()
		defer s.mu.Unlock()
		if e = slot.Load(); e == nil {
			return r, false
		}
		if e.end <= at-grace {
			e.used.Store(gone)
			slot.Store(nil)
			t.entries.Add(-1)
			return r, false
		}
		used = e.used.Load()
	}
	return record{e.span, e.key, used}, used > 0
}
