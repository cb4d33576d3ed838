package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
)

// operation is what is to be written. Only the latest one of a key is.
type operation struct {
	record
	pieces [][]byte
	number uint64
	length int64
	renews []byte // of kindRenew: the meta of the record whose body is kept
}

const (
	mostQueued     = 64 << 20 // bytes of bodies that wait
	mostOperations = 1 << 16
)

// Put stores an object under a name. until is in seconds since 1970. The body is given in pieces, which
// must not be changed any more. It is written later, or, where the disk does not keep up, not at all.
func (t *Tier) Put(name, meta []byte, body [][]byte, until int64) {
	o := operation{record: record{kind: kindPut, meta: meta, until: seconds(until)}, pieces: body}
	for _, b := range body {
		o.length += int64(len(b))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	o.key = t.key(name)
	if len(meta) > mostMeta || o.length > t.opt.Largest || t.queued+o.length > mostQueued {
		t.Dropped.Add(1)
		o = operation{record: record{kind: kindDelete, key: o.key}}
	}
	t.enqueue(o)
}

// Renew stores another meta for what is under a name, whose body stays. When its meta is not old, it is
// something else, and is forgotten.
func (t *Tier) Renew(name, old, meta []byte, until int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.key(name)
	_, ok := t.find(k)
	if !ok || len(meta) > mostMeta {
		// What may wait to be written has the meta of before.
		t.enqueue(operation{record: record{kind: kindDelete, key: k}})
		return
	}
	r := record{kind: kindRenew, key: k, meta: meta, until: seconds(until)}
	t.enqueue(operation{record: r, renews: old})
}

// Delete forgets what is under a name.
func (t *Tier) Delete(name []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enqueue(operation{record: record{kind: kindDelete, key: t.key(name)}})
}

func seconds(n int64) uint32 { return uint32(min(max(n, 0), 1<<32-1)) }

// enqueue has an operation written. t.mu is held.
func (t *Tier) enqueue(o operation) {
	if !t.loaded {
		return // there is nothing under any name
	}
	_, known := t.index[o.key]
	_, waits := t.changed[o.key]
	if o.kind == kindDelete && !known && !waits {
		return
	}
	for len(t.queue) >= mostOperations && !t.closed {
		t.room.Wait()
	}
	if t.closed {
		return
	}
	t.count++
	o.number = t.count
	t.changed[o.key] = o.number
	t.queue = append(t.queue, o)
	t.queued += o.length
	t.wake.Signal()
}

// write writes what is in the queue until the tier is closed and the queue is empty.
func (t *Tier) write() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		for len(t.queue) == 0 && !t.closed {
			t.wake.Wait()
		}
		if len(t.queue) == 0 {
			return
		}
		batch := t.queue
		t.queue = nil
		t.room.Broadcast()
		for i := range batch {
			o := &batch[i]
			if t.changed[o.key] == o.number {
				t.apply(o)
				if t.changed[o.key] == o.number {
					delete(t.changed, o.key)
				}
			}
			t.queued -= o.length
			batch[i] = operation{}
		}
	}
}

// apply writes one operation. t.mu is held, and let go while it writes.
func (t *Tier) apply(o *operation) {
	old, had := t.index[o.key]
	if o.kind == kindRenew {
		s := t.segments[old.segment]
		if !had || s == nil || t.segments[old.body] == nil {
			return
		}
		t.mu.Unlock()
		r, err := s.readHead(old.offset, old.size)
		t.mu.Lock()
		if err == nil && bytes.Equal(r.meta, o.renews) {
			o.body, o.sum = r.body, r.sum
		} else {
			o.kind, o.meta = kindDelete, nil
		}
	}
	if o.kind == kindDelete && !had {
		return
	}
	if o.kind == kindPut && !had && !t.makePlace() {
		t.Dropped.Add(1)
		return
	}
	where, err := t.append(&o.record, o.pieces)
	if err != nil {
		t.drop(o.key)
		return
	}
	if o.kind == kindDelete {
		delete(t.index, o.key)
	} else {
		t.index[o.key] = where
	}
}

// drop forgets what is under a key when that cannot be written down: the segment that has it goes, lest it
// come back with a restart. t.mu is held, and let go meanwhile.
func (t *Tier) drop(k key) {
	where, ok := t.index[k]
	delete(t.index, k)
	if s := t.segments[where.segment]; ok && s != nil {
		t.forget(s)
	}
}

// append writes a record at the end of the files and returns where. t.mu is held, and let go while it
// writes: nobody else does.
func (t *Tier) append(r *record, body [][]byte) (ref, error) {
	size := headSize + int64(len(r.meta))
	for _, b := range body {
		size += int64(len(b))
	}
	s, err := t.writable(size)
	if err == nil {
		offset := s.size
		t.mu.Unlock()
		err = s.append(t.w, r, body)
		t.mu.Lock()
		if err == nil && t.segments[s.number] == s {
			t.bytes += r.size()
			return ref{s.number, uint32(offset), uint32(r.size()), r.body.segment, r.until}, nil
		}
	}
	if err == nil {
		return ref{}, os.ErrClosed // everything was forgotten meanwhile
	}
	t.Errors.Add(1)
	t.mu.Unlock()
	t.fail("an object cannot be written to disk and is kept in memory alone; see that there is room", err)
	t.mu.Lock()
	return ref{}, err
}

// writable returns the segment that has room for a record. t.mu is held, and let go meanwhile.
func (t *Tier) writable(size int64) (*segment, error) {
	if t.head != nil && t.head.size+size <= t.opt.segmentSize() {
		return t.head, nil
	}
	if full := t.head; full != nil {
		t.head = nil
		t.mu.Unlock()
		err := full.f.Sync() // so that the end of the process need not wait for all of it
		t.mu.Lock()
		if full.synced = err == nil; err != nil {
			t.forget(full)
			return nil, err
		}
	}
	t.last++
	path := segmentPath(t.opt.Dir, t.last)
	f, err := t.create(path)
	if err != nil {
		return nil, err
	}
	t.head = &segment{number: t.last, path: path, f: f}
	t.segments[t.last] = t.head
	s := t.head
	t.shrink()
	if t.head != s {
		return nil, os.ErrClosed
	}
	return s, nil
}

func createFile(path string) (file, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// shrink removes the oldest segments until there is room for one. t.mu is held, and let go meanwhile.
func (t *Tier) shrink() {
	room := t.opt.segmentSize() + t.opt.Largest + mostMeta + headSize
	for len(t.segments) > 1 && t.head != nil && t.bytes > t.opt.Size-room {
		s := t.oldest()
		t.rescue(s)
		t.forget(s)
	}
}

// oldest returns the oldest segment; nil: there is none. t.mu is held.
func (t *Tier) oldest() (s *segment) {
	for _, one := range t.segments {
		if s == nil || one.number < s.number {
			s = one
		}
	}
	return s
}

// makePlace removes the oldest segments until one more object may be known. It returns false when that is not
// enough. t.mu is held, and let go meanwhile.
func (t *Tier) makePlace() bool {
	for t.opt.Objects > 0 && len(t.index) >= t.opt.Objects {
		s := t.oldest()
		if s == nil {
			return false
		}
		t.forget(s)
	}
	return true
}

// rescue writes those objects of a segment once more that are wanted, up to half of it and as long as there
// is room in the segment that is written. t.mu is held, and let go meanwhile.
func (t *Tier) rescue(s *segment) {
	if t.opt.Wanted == nil {
		return
	}
	var wanted []ref
	var keys []key
	total, half := int64(0), s.size/2
	t.mu.Unlock()
	_, err := s.scan(s.size, func(r *record, offset uint32) {
		if r.kind == kindPut && total+r.size() <= half && t.opt.Wanted(r.meta) {
			keys = append(keys, r.key)
			wanted = append(wanted, ref{s.number, offset, uint32(r.size()), s.number, r.until})
			total += r.size()
		}
	})
	t.mu.Lock()
	for i := 0; i < len(keys) && err == nil; i++ {
		where, ok := t.find(keys[i])
		if !ok || where != wanted[i] || t.head == nil ||
			t.head.size+int64(where.size) > t.opt.segmentSize() {
			continue
		}
		t.mu.Unlock()
		o, failed := get(s, s, where)
		t.mu.Lock()
		if failed != nil {
			continue
		}
		r := record{kind: kindPut, key: keys[i], until: where.until, meta: o.Meta}
		var moved ref
		if moved, err = t.append(&r, [][]byte{o.Body}); err == nil && t.index[r.key] == where {
			t.index[r.key] = moved
		}
	}
}

// forget removes a segment and all that is in it. t.mu is held, and let go meanwhile.
func (t *Tier) forget(s *segment) {
	delete(t.segments, s.number) // nothing of it is found from here on
	t.bytes -= s.size
	if t.head == s {
		t.head = nil
	}
	var keys []key
	t.mu.Unlock()
	_, err := s.scan(s.size, func(r *record, _ uint32) { keys = append(keys, r.key) })
	t.mu.Lock()
	if err != nil {
		for k := range t.index {
			keys = append(keys, k)
		}
	}
	for i, k := range keys {
		if t.index[k].segment == s.number {
			delete(t.index, k)
		}
		if i%1000 == 999 { // so that nobody waits for long
			t.mu.Unlock()
			t.mu.Lock()
		}
	}
	if err := s.remove(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errors.Add(1)
	}
}

// Clear forgets everything.
func (t *Tier) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.segments {
		if err := s.remove(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errors.Add(1)
		}
	}
	t.index, t.segments, t.bytes, t.head = map[key]ref{}, map[uint32]*segment{}, 0, nil
	for k := range t.changed {
		t.changed[k] = 0 // what waits is not written
	}
}
