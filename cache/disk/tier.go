// Package disk keeps objects in files: the second tier of a cache, which survives restarts and crashes.
// README.md says how.
package disk

import (
	"bufio"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"
)

// Tier is a cache of objects in one folder. It may be used by many goroutines at once.
//
// Until what is in the folder has been read, and while another process has it, the tier is empty and
// takes nothing.
type Tier struct {
	opt Options
	log *slog.Logger
	now func() uint32 // seconds since 1970

	mu     sync.RWMutex
	loaded bool
	closed bool
	contents
	head    *segment         // the one that is written; nil: none yet
	last    uint32           // the number of the latest segment
	changed map[key]uint64   // what is in the queue, by the number of its latest operation
	reading map[key]*reading // what is being read
	read    int64            // bytes of it

	queue    []operation
	queued   int64 // bytes of the bodies in queue
	count    uint64
	wake     *sync.Cond // with mu, for the writer
	room     *sync.Cond // with mu, for those that wait until less is written or read
	stop     chan struct{}
	done     chan struct{}
	lock     *os.File
	create   func(path string) (file, error)
	w        *bufio.Writer // of who writes
	complain time.Time     // when a failure was last written to the log

	Figures
}

// contents are what is in the files.
type contents struct {
	seed     uint64 // of keys
	index    map[key]ref
	segments map[uint32]*segment
	bytes    int64 // of all segments
}

// Figures are what a tier counts.
type Figures struct {
	Hits    atomic.Uint64 // objects that were read
	Errors  atomic.Uint64 // reads and writes that failed
	Broken  atomic.Uint64 // records whose checksum was wrong
	Dropped atomic.Uint64 // objects that were not written, since the disk was too slow
}

// Options are the place of a tier and what it may take.
type Options struct {
	Dir  string
	Size int64 // bytes of all files, at least MinSize
	// Largest is the largest body in bytes, at most an eighth of Size.
	Largest int64
	Objects int          // that are known at most, each for some 80 bytes of memory; 0: no bound
	Log     *slog.Logger // nil: nowhere
	// Wanted says of the oldest objects, before they go, which are worth being written once more. It is
	// given their metas. nil: none.
	Wanted func(meta []byte) bool
	// Loaded is told of each object that is found on disk when the tier is loaded; it may have been
	// deleted after that, or be told of twice. nil: nobody is.
	Loaded func(k Key, meta []byte)
	// Journal is loaded with the tier, if there is one.
	Journal *Journal
}

// MinSize is the smallest size of a tier in bytes.
const MinSize = 64 << 20

// ref is where a record stands, and for how long it is good.
type ref struct {
	segment, offset, size uint32
	body                  uint32 // the segment of the body
	until                 uint32 // seconds since 1970
}

// Object is one that was found.
type Object struct {
	Meta, Body []byte
	Until      int64 // seconds since 1970
	ref        ref
}

// segmentSize is how large a segment becomes before the next one is begun.
func (o *Options) segmentSize() int64 {
	return min(max(o.Size/32, 4<<20, o.Largest+mostMeta+headSize), 1<<30)
}

func (t *Tier) key(name []byte) (k key) {
	h := xxh3.Hash128Seed(name, t.seed).Bytes()
	return h
}

// find returns where a record is that is worth reading. t.mu is held.
func (t *Tier) find(k key) (ref, bool) {
	r, ok := t.index[k]
	if !ok || r.until <= t.now() || t.segments[r.segment] == nil || t.segments[r.body] == nil {
		return r, false
	}
	_, changing := t.changed[k]
	return r, !changing
}

// Has reports whether there is an object under a name, as far as is known without reading it.
func (t *Tier) Has(name []byte) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.find(t.key(name))
	return ok
}

// Key is what an object is found by: a hash of its name.
type Key [16]byte

// KeyOf returns the key of a name; none is found by that until the tier is loaded.
func (t *Tier) KeyOf(name []byte) Key {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.loaded {
		return Key{}
	}
	return Key(t.key(name))
}

// HasKey reports whether there is an object with a key, or one may be when all is written that waits.
func (t *Tier) HasKey(k Key) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.index[key(k)]
	_, waits := t.changed[key(k)]
	return ok || waits
}

// Meta reads the meta of an object; nil: there is none.
func (t *Tier) Meta(k Key) []byte {
	t.mu.RLock()
	where, ok := t.find(key(k))
	s := t.segments[where.segment]
	t.mu.RUnlock()
	if !ok {
		return nil
	}
	r, err := s.readHead(where.offset, where.size)
	if err != nil {
		return nil // who reads all of it finds out why
	}
	return r.meta
}

// mostRead bounds the bytes of objects that are read at the same time.
const mostRead = 64 << 20

// reading is one read that several goroutines may wait for.
type reading struct {
	done chan struct{}
	o    *Object
}

// Get reads an object, and checks that all of it is as it was written. Who asks at once for the same one
// gets the same one. nil: there is none.
func (t *Tier) Get(name []byte) *Object {
	t.mu.Lock()
	k := t.key(name)
	where, ok := t.find(k)
	for ok && t.reading[k] == nil && t.read > 0 && t.read+int64(where.size) > mostRead {
		t.room.Wait()
		where, ok = t.find(k)
	}
	if r := t.reading[k]; r != nil || !ok {
		t.mu.Unlock()
		if r == nil {
			return nil
		}
		<-r.done
		return r.o
	}
	s, from := t.segments[where.segment], t.segments[where.body]
	r := &reading{done: make(chan struct{})}
	t.reading[k] = r
	t.read += int64(where.size)
	t.mu.Unlock()

	o, err := get(s, from, where)
	switch {
	case err == nil:
		r.o = o
		t.Hits.Add(1)
	case errors.Is(err, os.ErrClosed): // it was the oldest
	case errors.Is(err, errRecord):
		t.Broken.Add(1)
		t.fail("an object on disk is damaged and forgotten", err)
	default:
		t.Errors.Add(1)
		t.fail("an object cannot be read from disk and is forgotten", err)
	}
	t.mu.Lock()
	delete(t.reading, k)
	t.read -= int64(where.size)
	if err != nil && t.index[k] == where {
		delete(t.index, k)
	}
	t.mu.Unlock()
	t.room.Broadcast()
	close(r.done)
	return r.o
}

// get reads a record from segment s, whose body is in segment from.
func get(s, from *segment, where ref) (*Object, error) {
	r, body, err := s.read(where.offset, where.size)
	if err != nil {
		return nil, err
	}
	if r.kind == kindRenew {
		body = make([]byte, r.body.length)
		if _, err := from.f.ReadAt(body, int64(r.body.offset)); err != nil {
			return nil, err
		}
	}
	if len(body) != int(r.body.length) || xxh3.Hash(body) != r.sum {
		return nil, errRecord
	}
	return &Object{Meta: r.meta, Body: body, Until: int64(r.until), ref: where}, nil
}

// Current reports whether an object that was read is still what is stored under its name.
func (t *Tier) Current(name []byte, o *Object) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r, ok := t.find(t.key(name))
	return ok && r == o.ref
}

// Len returns the number of objects, Bytes what their files take.
func (t *Tier) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.index)
}

// Bytes returns how many bytes the files have.
func (t *Tier) Bytes() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.bytes
}

// Loaded reports whether what is in the folder is known.
func (t *Tier) Loaded() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.loaded
}

// Resize changes the size; what is too much goes with the next objects that come.
func (t *Tier) Resize(size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opt.Size = size
}

// complainEach is how often a failure is written to the log.
const complainEach = time.Minute

func (t *Tier) fail(message string, err error) {
	t.mu.Lock()
	now := time.Now()
	quiet := now.Sub(t.complain) < complainEach
	if !quiet {
		t.complain = now
	}
	t.mu.Unlock()
	if !quiet {
		t.log.Error(message, "folder", t.opt.Dir, "error", err)
	}
}
