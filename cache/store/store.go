// Package store keeps objects of any size in a fixed amount of memory, which the garbage collector need
// not look at. Each object is one block of bytes, its meta, and a body. README.md says how.
package store

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"github.com/coocood/freecache"

	"github.com/penstock-edge/penstock/edge/lib/chance"
)

// Store is a cache with a fixed size. It may be used by many goroutines at once.
//
// The engine takes entries of up to a thousandth of its size, so a body is one entry together with its
// meta when it is small, and otherwise chunks. Chunks are found by a random number that each object has
// of its own: those of an object that was replaced meanwhile are never found in its place.
type Store struct {
	engine *freecache.Cache
	most   int // bytes of the largest entry, its key included
	chunk  int // bytes of a chunk
	time   *timer
}

// timer is the engine's clock, which stands still unless it is told the time: reading that of the system for
// each entry is a fifth of what a hit costs.
type timer struct{ now atomic.Uint32 }

// Now implements freecache.Timer.
func (t *timer) Now() uint32 { return t.now.Load() }

// At tells the store the time in seconds since 1970. From one call to the next nothing expires.
func (s *Store) At(seconds int64) {
	if now := uint32(seconds); s.time.now.Load() != now {
		s.time.now.Store(now)
	}
}

// MinSize is the smallest size of a store in bytes.
const MinSize = 4 << 20

// MostChunk is the size in bytes that a chunk has at most.
const MostChunk = 64 << 10

const (
	// The engine has 256 rings, and a chunk goes to any of them: of 16 that a ring has room for, those of one
	// object hardly ever meet in such a number that they drive each other out.
	chunksPerSize = 256 * 16
	leastChunk    = 1 << 10
	entryHead     = 24 // what the engine needs of an entry's room
	slack         = 64 // for the key of a chunk, and what the engine rounds
)

// New returns a store that takes size bytes, at least MinSize.
func New(size int64) *Store {
	size = max(size, MinSize)
	t := &timer{}
	t.now.Store(uint32(time.Now().Unix()))
	s := &Store{engine: freecache.NewCacheCustomTimer(int(size), t), time: t}
	s.most = int(size/1024) - entryHead
	s.chunk = min(max(int(size/chunksPerSize), leastChunk), s.most-slack, MostChunk)
	return s
}

// Key is what an object is found by: a hash of what it is, that outsiders cannot foresee.
type Key [16]byte

// The head of an entry: how many chunks there are (0: the body follows the meta), the length of the
// body, that of the meta, and the number that the chunks go by.
const headSize = 4 + 8 + 4 + 8

// Object is one that was found.
type Object struct {
	Meta []byte // of the buffer that Get was given
	Body []byte // of the buffer; nil: the body is in chunks
	Len  int64  // of the body

	store  *Store
	number uint64
	chunks int
}

// Number is what the body goes by: objects with the same number have the same body.
func (o *Object) Number() uint64 { return o.number }

// Whole reports whether the body is in Body.
func (o *Object) Whole() bool { return o.chunks == 0 }

// Get finds an object. It appends its entry to buf and returns the buffer, which Meta and Body point
// into. ok is false when there is none, or not all of it any more.
func (s *Store) Get(k Key, buf []byte) (o Object, _ []byte, ok bool) { return s.get(k, buf, true) }

// GetMeta is Get without the body: Body is nil.
func (s *Store) GetMeta(k Key, buf []byte) (o Object, _ []byte, ok bool) { return s.get(k, buf, false) }

func (s *Store) get(k Key, buf []byte, all bool) (o Object, _ []byte, ok bool) {
	from := len(buf)
	err := s.engine.GetFn(k[:], func(v []byte) error {
		if !all && len(v) >= headSize {
			v = v[:min(headSize+int(binary.LittleEndian.Uint32(v[12:])), len(v))]
		}
		buf = append(buf, v...)
		return nil
	})
	v := buf[from:]
	if err != nil || len(v) < headSize {
		return o, buf[:from], false
	}
	o.store = s
	o.chunks = int(binary.LittleEndian.Uint32(v))
	o.Len = int64(binary.LittleEndian.Uint64(v[4:]))
	meta := int(binary.LittleEndian.Uint32(v[12:]))
	o.number = binary.LittleEndian.Uint64(v[16:])
	rest := v[headSize:]
	if len(rest) < meta {
		return o, buf[:from], false
	}
	o.Meta = rest[:meta:meta]
	if o.chunks == 0 && all {
		o.Body = rest[meta:]
		return o, buf, int64(len(o.Body)) == o.Len
	}
	return o, buf, true
}

// Complete reports whether all chunks are there at the moment. They count as used now: what is read to its
// end only slowly does not lose its end meanwhile, as long as others go that were used before.
func (o *Object) Complete() bool {
	for i := range o.chunks {
		k := chunkKey(o.number, i)
		if o.store.engine.GetFn(k[:], func([]byte) error { return nil }) != nil {
			return false
		}
	}
	return true
}

// Gather appends a body in chunks to buf, whence it is in Body, and returns the buffer. ok is false when a
// chunk is gone.
func (o *Object) Gather(buf []byte) (_ []byte, ok bool) {
	from := len(buf)
	for int64(len(buf)-from) < o.Len {
		var err error
		if buf, err = o.ChunkAt(int64(len(buf)-from), buf); err != nil {
			return buf[:from], false
		}
	}
	o.Body, o.chunks = buf[from:], 0
	return buf, true
}

// ErrGone is returned when a part of the body was forgotten meanwhile.
var ErrGone = errors.New("a part of the object is no longer in the cache")

// ChunkAt appends the part of the body from offset to the end of its chunk to buf.
func (o *Object) ChunkAt(offset int64, buf []byte) ([]byte, error) {
	i := int(offset / int64(o.store.chunk))
	skip := int(offset % int64(o.store.chunk))
	from := len(buf)
	k := chunkKey(o.number, i)
	err := o.store.engine.GetFn(k[:], func(v []byte) error {
		if skip < len(v) {
			buf = append(buf, v[skip:]...)
		}
		return nil
	})
	want := min(int64(o.store.chunk)*int64(i+1), o.Len) - offset
	if err != nil || int64(len(buf)-from) != want {
		return buf[:from], ErrGone
	}
	return buf, nil
}

// chunkKey is what chunk i of the object with the number is found by.
func chunkKey(number uint64, i int) (k [12]byte) {
	binary.LittleEndian.PutUint64(k[:], number)
	binary.LittleEndian.PutUint32(k[8:], uint32(i))
	return k
}

// ErrLarge is returned for an object that does not fit.
var ErrLarge = errors.New("the object is too large for the cache")

// Put stores an object in place of what is stored under its key, for at most seconds. The body is given
// in pieces. Meta must fit into one entry. The object that it returns has no Body: only one in chunks can be
// read by it.
func (s *Store) Put(k Key, meta []byte, body [][]byte, seconds int) (o Object, err error) {
	length := int64(0)
	for _, b := range body {
		length += int64(len(b))
	}
	entry := make([]byte, headSize, headSize+len(meta)+int(min(length, int64(s.chunk))))
	entry = append(entry, meta...)
	if len(entry)+len(k) > s.most || length > int64(s.engineSize())/4 {
		return o, ErrLarge
	}
	number, chunks := chance.Uint64(), 0
	if int64(len(entry)+len(k))+length <= int64(min(s.most, MostChunk)) {
		for _, b := range body {
			entry = append(entry, b...)
		}
	} else {
		chunks, err = s.putChunks(number, body, seconds)
		if err != nil {
			return o, err
		}
	}
	o = Object{Meta: meta, Len: length, store: s, number: number, chunks: chunks}
	return o, s.setEntry(k, entry, chunks, length, len(meta), number, seconds)
}

// putChunks stores a body and returns the number of its chunks. They outlive the entry by a second.
func (s *Store) putChunks(number uint64, body [][]byte, seconds int) (int, error) {
	n := 0
	chunk := make([]byte, 0, s.chunk)
	flush := func() error {
		k := chunkKey(number, n)
		n++
		err := s.engine.Set(k[:], chunk, max(seconds, 1)+1)
		chunk = chunk[:0]
		return err
	}
	for _, b := range body {
		for len(b) > 0 {
			take := min(s.chunk-len(chunk), len(b))
			chunk = append(chunk, b[:take]...)
			b = b[take:]
			if len(chunk) == s.chunk {
				if err := flush(); err != nil {
					return n, err
				}
			}
		}
	}
	if len(chunk) > 0 {
		if err := flush(); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (s *Store) engineSize() int { return (s.most + entryHead) * 1024 }

// Has reports whether there is an object, maybe not all of it.
func (s *Store) Has(k Key) bool {
	_, err := s.engine.TTL(k[:])
	return err == nil
}

// Delete forgets an object.
func (s *Store) Delete(k Key) { s.engine.Del(k[:]) }

// Clear forgets all objects.
func (s *Store) Clear() { s.engine.Clear() }

// Entries returns how many entries there are: objects, and chunks of large ones.
func (s *Store) Entries() int64 { return s.engine.EntryCount() }

// Evictions returns how many entries had to go before their time.
func (s *Store) Evictions() int64 { return s.engine.EvacuateCount() }

// Bytes returns how much memory the store has taken.
func (s *Store) Bytes() int64 { return int64(s.engineSize()) }

// Renew replaces the meta of an object that Get has found, and keeps its body for another time in
// seconds.
func (s *Store) Renew(k Key, o *Object, meta []byte, seconds int) error {
	entry := make([]byte, headSize, headSize+len(meta)+len(o.Body))
	entry = append(append(entry, meta...), o.Body...)
	if len(entry)+len(k) > s.most {
		return ErrLarge
	}
	for i := range o.chunks {
		k := chunkKey(o.number, i)
		if err := s.engine.Touch(k[:], max(seconds, 1)+1); err != nil {
			return ErrGone
		}
	}
	return s.setEntry(k, entry, o.chunks, o.Len, len(meta), o.number, seconds)
}

func (s *Store) setEntry(k Key, entry []byte, chunks int, length int64, meta int, number uint64,
	seconds int) error {
	binary.LittleEndian.PutUint32(entry, uint32(chunks))
	binary.LittleEndian.PutUint64(entry[4:], uint64(length))
	binary.LittleEndian.PutUint32(entry[12:], uint32(meta))
	binary.LittleEndian.PutUint64(entry[16:], number)
	return s.engine.Set(k[:], entry, max(seconds, 1))
}
