package records

import (
	"encoding/binary"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/penstock-edge/penstock/cache/disk"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge/lib/chance"
)

// Durable is the part of a cache that survives restarts: the tier on disk, and the purges. Without a disk
// there are the purges alone.
type Durable struct {
	Purges  purge.Set
	seed    uint64        // of keys in memory, lest outsiders choose two that meet
	catalog purge.Catalog // the answers that are stored, in memory or on disk
	Tier    *disk.Tier    // nil: none
	journal *disk.Journal
	log     *slog.Logger
	memory  atomic.Pointer[Records] // of the cache that has it now
	// ordering is held while the admin interface purges, so that each answer is counted by one purge.
	ordering sync.Mutex
}

// NewDurable returns what begins empty, without a disk.
func NewDurable() *Durable { return &Durable{seed: chance.Uint64()} }

// Hash returns what the object with a whole key is found by in memory.
func (s *Durable) Hash(text []byte) (k store.Key) {
	h := xxh3.Hash128Seed(text, s.seed)
	binary.LittleEndian.PutUint64(k[:], h.Hi)
	binary.LittleEndian.PutUint64(k[8:], h.Lo)
	return k
}

// DiskOptions are those of a tier on disk.
type DiskOptions struct {
	Dir     string
	Size    int64 // bytes of its files
	Objects int   // that it has at most
}

// OpenDurable begins to read what is in a folder.
func OpenDurable(o DiskOptions, log *slog.Logger) (*Durable, error) {
	if err := disk.Probe(o.Dir); err != nil {
		return nil, err
	}
	s := NewDurable()
	s.log = log
	s.journal = s.Purges.Journal()
	s.Tier = disk.Open(disk.Options{Dir: o.Dir, Size: o.Size, Largest: o.Size / 8,
		Objects: o.Objects, Log: log, Wanted: s.wanted, Loaded: s.loaded, Journal: s.journal})
	return s, nil
}

// Close closes the tier on disk.
func (s *Durable) Close() { s.Tier.Close() }

// wanted reports whether an object that is to go is in memory still: it is asked for then.
func (s *Durable) wanted(meta []byte) bool {
	memory := s.memory.Load()
	var e entry.Entry
	return memory != nil && e.Parse(meta) == nil && memory.Store.Has(memory.Hash(e.Key))
}

// loaded lists what is on disk from before.
func (s *Durable) loaded(k disk.Key, meta []byte) {
	var e entry.Entry
	if e.Parse(meta) == nil && e.CanBePurged() {
		s.catalog.Add(s.Hash(e.Key), store.Key(k), e.Hashes, func(*purge.Node) bool { return true })
	}
}

// list lists an answer that is stored.
func (s *Durable) list(k store.Key, e *entry.Entry) {
	if !e.CanBePurged() {
		return
	}
	var below disk.Key
	if s.Tier != nil {
		below = s.Tier.KeyOf(e.Key)
	}
	s.catalog.Add(k, store.Key(below), e.Hashes, s.there)
}

// there reports whether an answer that is listed is in memory or on disk.
func (s *Durable) there(n *purge.Node) bool {
	memory := s.memory.Load()
	return memory != nil && memory.Store.Has(n.Key) || s.Tier != nil && s.Tier.HasKey(disk.Key(n.Disk))
}

// listedAt returns the entry of an answer that is listed. It points into buf.
func (s *Durable) listedAt(n *purge.Node, buf *[]byte) (e entry.Entry, ok bool) {
	if memory := s.memory.Load(); memory != nil {
		var o store.Object
		if o, *buf, ok = memory.Store.GetMeta(n.Key, (*buf)[:0]); ok {
			ok = e.Parse(o.Meta) == nil && e.CanBePurged()
			return e, ok
		}
	}
	if s.Tier != nil {
		meta := s.Tier.Meta(disk.Key(n.Disk))
		ok = meta != nil && e.Parse(meta) == nil && e.CanBePurged()
	}
	return e, ok
}

// WriteDown writes down a purge that was made. Where that is not possible, all that is on disk goes, lest
// what was purged come back with a restart.
func (s *Durable) WriteDown(note []byte) {
	if s.Tier == nil {
		return
	}
	if err := s.journal.Append(note); err != nil {
		s.log.Error("a purge cannot be written to disk; all that is cached there is forgotten instead",
			"error", err)
		s.Tier.Clear()
	}
}
