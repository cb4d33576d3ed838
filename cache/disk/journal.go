package disk

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/zeebo/xxh3"
)

// Journal is a file of small notes beside the objects: what has happened to them that is not written where
// they are. A note is there as soon as it was appended.
//
// All functions but Append are called by the tier.
type Journal struct {
	// Load is given the notes of before, in their order, each for the time of the call, and is then called
	// with nil. From there on notes can be appended.
	Load func(note []byte)
	// Compact returns notes that say all that is needed now, in place of those so far.
	Compact func() [][]byte

	mu      sync.Mutex
	f       file // nil: there is none to write to
	path    string
	size    int64
	compact int64 // the size at which it is to be written anew
}

const journalName = "journal"

// leastCompact is a size in bytes up to which a journal is not written anew.
const leastCompact = 1 << 20

// Append writes a note down. While the tier is not loaded it does nothing: Compact is asked for all notes
// when it is.
func (j *Journal) Append(note []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil {
		return nil
	}
	if j.size >= j.compact {
		if err := j.rewrite(); err != nil {
			return err
		}
	}
	b := appendNote(nil, note)
	if _, err := j.f.WriteAt(b, j.size); err != nil {
		return err
	}
	j.size += int64(len(b))
	return nil
}

// A note in the file is its length, a checksum, and what it says.
const noteHead = 4 + 8

func appendNote(dst, note []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(note)))
	dst = binary.LittleEndian.AppendUint64(dst, xxh3.HashSeed(note, magic))
	return append(dst, note...)
}

// takeNote returns the first note of b, and what follows it; false: there is none that is whole.
func takeNote(b []byte) (note, rest []byte, ok bool) {
	if len(b) < noteHead {
		return nil, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	sum := binary.LittleEndian.Uint64(b[4:])
	if b = b[noteHead:]; n > uint64(len(b)) || xxh3.HashSeed(b[:n], magic) != sum {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// load reads the journal of a folder, and begins a new one with what is needed of it. When there is no room
// for that it goes on with the one that is there, and returns why.
func (j *Journal) load(dir string) error {
	j.path = filepath.Join(dir, journalName)
	b, err := os.ReadFile(j.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	size := len(b)
	for {
		note, rest, ok := takeNote(b)
		if !ok {
			break
		}
		j.Load(note)
		b = rest
	}
	j.Load(nil)
	j.mu.Lock()
	defer j.mu.Unlock()
	full := j.rewrite()
	if !isFull(full) {
		return full
	}
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	j.f, j.size = f, int64(size-len(b))
	j.compact = max(2*j.size, leastCompact)
	return full
}

// rewrite replaces the file by one with what is needed. j.mu is held.
func (j *Journal) rewrite() error {
	var b []byte
	for _, note := range j.Compact() {
		b = appendNote(b, note)
	}
	if err := replace(j.path, b); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if j.f != nil {
		_ = j.f.Close() // another file has its place
	}
	j.f, j.size = f, int64(len(b))
	j.compact = max(2*j.size, leastCompact)
	return nil
}

func (j *Journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil {
		return nil
	}
	err := errors.Join(j.f.Sync(), j.f.Close())
	j.f = nil
	return err
}
