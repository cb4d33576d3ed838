package cache

import (
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/penstock-edge/penstock/cache/disk"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/store"
)

// second is the part of a cache that survives restarts: the tier on disk, and the purges. Without a disk
// there are the purges alone.
type second struct {
	purges  purge.Set
	seed    uint64        // of keys in memory, lest outsiders choose two that meet
	listed  purge.Catalog // the answers that are stored, in memory or on disk
	tier    *disk.Tier    // nil: none
	journal *disk.Journal
	log     *slog.Logger
	memory  atomic.Pointer[records] // of the cache that has it now
	// ordering is held while the admin interface purges, so that each answer is counted by one purge.
	ordering sync.Mutex
}

func newSecond() *second { return &second{seed: rand.Uint64()} }

// hash returns what the object with a whole key is found by in memory.
func (s *second) hash(text []byte) (k store.Key) {
	h := xxh3.Hash128Seed(text, s.seed)
	binary.LittleEndian.PutUint64(k[:], h.Hi)
	binary.LittleEndian.PutUint64(k[8:], h.Lo)
	return k
}

// diskOptions are those of a tier on disk.
type diskOptions struct {
	Dir     string
	Size    int64 // bytes of its files
	Objects int   // that it has at most
}

// openSecond begins to read what is in a folder.
func openSecond(o diskOptions, log *slog.Logger) (*second, error) {
	if err := disk.Probe(o.Dir); err != nil {
		return nil, err
	}
	s := newSecond()
	s.log = log
	s.journal = s.purges.Journal()
	s.tier = disk.Open(disk.Options{Dir: o.Dir, Size: o.Size, Largest: o.Size / 8,
		Objects: o.Objects, Log: log, Wanted: s.wanted, Loaded: s.loaded, Journal: s.journal})
	return s, nil
}

func (s *second) close() { s.tier.Close() }

// wanted says of an object that is to go whether it is in memory still: it is asked for then.
func (s *second) wanted(meta []byte) bool {
	memory := s.memory.Load()
	var e entry.Entry
	return memory != nil && e.Parse(meta) == nil && memory.store.Has(memory.hash(e.Key))
}

// loaded lists what is on disk from before.
func (s *second) loaded(k disk.Key, meta []byte) {
	var e entry.Entry
	if e.Parse(meta) == nil && e.CanBePurged() {
		s.listed.Add(s.hash(e.Key), store.Key(k), e.Hashes, func(*purge.Node) bool { return true })
	}
}

// list lists an answer that is stored.
func (s *second) list(k store.Key, e *entry.Entry) {
	if !e.CanBePurged() {
		return
	}
	var below disk.Key
	if s.tier != nil {
		below = s.tier.KeyOf(e.Key)
	}
	s.listed.Add(k, store.Key(below), e.Hashes, s.there)
}

// there reports whether an answer that is listed is in memory or on disk.
func (s *second) there(n *purge.Node) bool {
	memory := s.memory.Load()
	return memory != nil && memory.store.Has(n.Key) || s.tier != nil && s.tier.HasKey(disk.Key(n.Disk))
}

// listedAt returns the entry of an answer that is listed. It points into buf.
func (s *second) listedAt(n *purge.Node, buf *[]byte) (e entry.Entry, ok bool) {
	if memory := s.memory.Load(); memory != nil {
		var o store.Object
		if o, *buf, ok = memory.store.GetMeta(n.Key, (*buf)[:0]); ok {
			ok = e.Parse(o.Meta) == nil && e.CanBePurged()
			return e, ok
		}
	}
	if s.tier != nil {
		meta := s.tier.Meta(disk.Key(n.Disk))
		ok = meta != nil && e.Parse(meta) == nil && e.CanBePurged()
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
