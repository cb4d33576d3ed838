package cache

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/penstock-edge/penstock/cache/disk"
	"github.com/penstock-edge/penstock/cache/store"
)

// second is the part of a cache that survives restarts: the tier on disk, and the purges. Without a disk
// there are the purges alone.
type second struct {
	purges  purges
	seed    uint64     // of keys in memory, lest outsiders choose two that meet
	listed  catalog    // the answers that are stored, in memory or on disk
	tier    *disk.Tier // nil: none
	journal *disk.Journal
	log     *slog.Logger
	memory  atomic.Pointer[shared] // of the cache that has it now
	// ordering is held while the admin interface purges, so that each answer is counted by one purge.
	ordering sync.Mutex
}

func newSecond() *second { return &second{seed: rand.Uint64()} }

// hash returns what the object with a whole key is found by in memory.
func (s *second) hash(text []byte) (k key) {
	h := xxh3.Hash128Seed(text, s.seed)
	binary.LittleEndian.PutUint64(k[:], h.Hi)
	binary.LittleEndian.PutUint64(k[8:], h.Lo)
	return k
}

// openSecond begins to read what is in the folder that the configuration names.
func openSecond(c *Config, log *slog.Logger) (*second, error) {
	if err := disk.Probe(c.Disk); err != nil {
		return nil, err
	}
	s := newSecond()
	s.log = log
	s.journal = s.purges.journal()
	s.tier = disk.Open(disk.Options{Dir: c.Disk, Size: int64(c.DiskSize), Largest: int64(c.DiskSize) / 8,
		Objects: c.DiskObjects, Log: log, Wanted: s.wanted, Loaded: s.loaded, Journal: s.journal})
	return s, nil
}

func (s *second) close() { s.tier.Close() }

// wanted says of an object that is to go whether it is in memory still: it is asked for then.
func (s *second) wanted(meta []byte) bool {
	shared := s.memory.Load()
	var e entry
	return shared != nil && e.parse(meta) == nil && shared.store.Has(shared.hash(e.key))
}

// loaded lists what is on disk from before.
func (s *second) loaded(k disk.Key, meta []byte) {
	var e entry
	if e.parse(meta) == nil && e.canBePurged() {
		s.listed.add(s.hash(e.key), key(k), e.hashes, func(*node) bool { return true })
	}
}

// list lists an answer that is stored.
func (s *second) list(k key, e *entry) {
	if !e.canBePurged() {
		return
	}
	var below disk.Key
	if s.tier != nil {
		below = s.tier.KeyOf(e.key)
	}
	s.listed.add(k, key(below), e.hashes, s.there)
}

// there reports whether an answer that is listed is in memory or on disk.
func (s *second) there(n *node) bool {
	shared := s.memory.Load()
	return shared != nil && shared.store.Has(n.key) || s.tier != nil && s.tier.HasKey(disk.Key(n.disk))
}

// listedAt returns the entry of an answer that is listed. It points into buf.
func (s *second) listedAt(n *node, buf *[]byte) (e entry, ok bool) {
	if shared := s.memory.Load(); shared != nil {
		var o store.Object
		if o, *buf, ok = shared.store.GetMeta(n.key, (*buf)[:0]); ok {
			ok = e.parse(o.Meta) == nil && e.canBePurged()
			return e, ok
		}
	}
	if s.tier != nil {
		meta := s.tier.Meta(disk.Key(n.disk))
		ok = meta != nil && e.parse(meta) == nil && e.canBePurged()
	}
	return e, ok
}

// writeDown writes down a purge that was made. Where that is not possible, all that is on disk goes, lest
// what was purged come back with a restart.
func (s *second) writeDown(note []byte) {
	if s.tier == nil {
		return
	}
	if err := s.journal.Append(note); err != nil {
		s.log.Error("a purge cannot be written to disk; all that is cached there is forgotten instead",
			"error", err)
		s.tier.Clear()
	}
}

// keep stores an entry that is found by k and its body. On disk first: promote relies on it. It returns what
// is in memory; nil: it does not fit there, and what is on disk alone would never be read.
func (c *cache) keep(k key, e *entry, body [][]byte) *store.Object {
	meta, n := e.append(nil), e.seconds()
	c.store.At(c.until(0))
	if t := c.tier; t != nil {
		t.Put(e.key, meta, body, c.until(n))
	}
	o, err := c.store.Put(k, meta, body, n)
	if err != nil {
		if t := c.tier; t != nil {
			t.Delete(e.key)
		}
		return nil
	}
	c.list(k, e)
	c.forgetCoded(e.key)
	return &o
}

// keepLatest is keep for an answer. One that was asked for earlier does not take the place of one that was
// asked for later: what a slow fetch brings is old. fits is false when there is no room for it at all.
func (c *cache) keepLatest(k key, e *entry, body [][]byte) (o *store.Object, fits bool) {
	lock := c.writing.of(k)
	lock.Lock()
	defer lock.Unlock()
	if now := c.peek(k, e.key); now != nil && now.flags&notAnswer == 0 && now.at > e.at {
		return nil, true
	}
	o = c.keep(k, e, body)
	return o, o != nil
}

// renewLatest is renewKept under the same condition, for the body with a number: what is stored of it may
// have been renewed by others since.
func (c *cache) renewLatest(k key, number uint64, e *entry) {
	lock := c.writing.of(k)
	lock.Lock()
	defer lock.Unlock()
	o, _, ok := c.store.Get(k, nil)
	var now entry
	if ok && o.Number() == number && now.parse(o.Meta) == nil && now.at <= e.at {
		c.renewKept(k, &o, e)
	}
}

// writing are the locks under which answers are compared with what is stored, and stored; each is that of
// many keys. Nobody waits for anything under one.
type writing [64]sync.Mutex

func (w *writing) of(k key) *sync.Mutex { return &w[k[0]%byte(len(w))] }

// peek returns what is stored under a whole key, which is found by k, without its body; nil: nothing.
func (c *cache) peek(k key, text []byte) *entry {
	o, _, ok := c.store.GetMeta(k, nil)
	e := new(entry)
	if !ok || e.parse(o.Meta) != nil || !bytes.Equal(e.key, text) {
		return nil
	}
	return e
}

// holdsFresh reports whether what is stored under a whole key may be used without asking, or leads to such.
func (c *cache) holdsFresh(k key, text []byte) bool {
	return c.holds(k, text, func(e *entry, age int64) bool { return age < e.lifetime })
}

// holdsUseful reports whether what is stored under a whole key is of any use: fresh, stale and still served,
// to be asked about each time, or what leads to other answers.
func (c *cache) holdsUseful(k key, text []byte) bool {
	return c.holds(k, text, func(e *entry, age int64) bool {
		return e.flags&alwaysAsk != 0 || age < e.lifetime+max(e.revive, e.rescue, 0)
	})
}

func (c *cache) holds(k key, text []byte, use func(e *entry, age int64) bool) bool {
	e := c.peek(k, text)
	if e == nil || e.flags&isPass != 0 {
		return false
	}
	now := c.millis(c.tick())
	return e.flags&(isSign|isSearch) != 0 ||
		use(e, e.ageAt(now)) && c.purges.judge(e.number, nil, e.hashes, now) != purged
}

// until returns the time n seconds from now in seconds since 1970.
func (c *cache) until(n int) int64 { return c.millis(c.tick())/1000 + int64(n) }

// forget forgets what is stored under a whole key, which is found by k.
func (c *cache) forget(k key, text []byte) {
	if t := c.tier; t != nil {
		t.Delete(text)
	}
	c.store.Delete(k)
	c.forgetCoded(text)
}

// promote reads what is stored under a whole key, which is found by k, from disk into memory. It returns
// false when it is not there.
func (c *cache) promote(k key, text []byte) bool {
	t := c.tier
	o := t.Get(text)
	if o == nil {
		return false
	}
	var e entry
	left := o.Until - c.until(0)
	if e.parse(o.Meta) != nil || !bytes.Equal(e.key, text) || left <= 0 {
		return false
	}
	if _, err := c.store.Put(k, o.Meta, [][]byte{o.Body}, int(min(left, 1<<30))); err != nil {
		return false
	}
	if !t.Current(text, o) {
		c.store.Delete(k) // it was replaced meanwhile, here as well maybe
		return false
	}
	return true
}

// renewKept gives what is stored as o another meta.
func (c *cache) renewKept(k key, o *store.Object, e *entry) {
	meta, n := e.append(nil), e.seconds()
	if t := c.tier; t != nil {
		t.Renew(e.key, o.Meta, meta, c.until(n))
	}
	c.list(k, e)
	if c.store.Renew(k, o, meta, n) != nil { // it stays as it was, and is asked about again
		c.forgetCoded(e.key)
		return
	}
	c.renewCoded(k, o.Meta, e, meta)
}
