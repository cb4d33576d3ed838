package disk

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/chance"
)

// Probe makes the folder if it is not there. It is an error when no files can be written in it, but for a
// disk that is full: what is there can be served, and room comes back.
func Probe(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "probe-*")
	if isFull(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// isFull reports whether a write failed for want of room.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// Open begins to read what is in a folder and returns. The folder must be there.
func Open(o Options) *Tier { return open(o, createFile) }

func open(o Options, create func(string) (file, error)) *Tier {
	t := &Tier{opt: o, log: o.Log, now: func() uint32 { return uint32(time.Now().Unix()) }, create: create,
		stop: make(chan struct{}), done: make(chan struct{}), w: bufio.NewWriterSize(nil, writeSize)}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.wake, t.room = sync.NewCond(&t.mu), sync.NewCond(&t.mu)
	t.contents = noContents()
	t.changed, t.reading = map[key]uint64{}, map[key]*reading{}
	go t.run()
	return t
}

func noContents() contents { return contents{index: map[key]ref{}, segments: map[uint32]*segment{}} }

// run is the goroutine of a tier: it waits for the folder, loads, and writes.
func (t *Tier) run() {
	defer close(t.done)
	if !t.acquire() {
		return
	}
	begin := time.Now()
	if err := t.load(); err != nil {
		t.Errors.Add(1)
		t.log.Error("the cache on disk cannot be used; it is in memory alone until the next start",
			"folder", t.opt.Dir, "error", err)
		t.leave()
		return
	}
	t.log.Info("cache on disk loaded", "folder", t.opt.Dir, "objects", t.Len(), "bytes", t.Bytes(),
		"seconds", time.Since(begin).Seconds())
	t.write()
	t.finish()
}

// LookEach is how often it is tried whether another process has let go of the folder.
const lookEach = 100 * time.Millisecond

// acquire waits until the folder is this process's. It returns false when the tier is closed before.
func (t *Tier) acquire() bool {
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for told := false; ; {
		f, err := os.OpenFile(filepath.Join(t.opt.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil {
			if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
				t.lock = f
				return true
			}
			_ = f.Close() // there is nothing in it
		}
		if !told {
			told = true
			t.log.Warn("the cache on disk waits until no other process has its folder", "folder", t.opt.Dir,
				"error", err)
		}
		select {
		case <-t.stop:
			return false
		case <-tick.C:
		}
	}
}

func (t *Tier) leave() { _ = t.lock.Close() } // there is nothing in it

// The file "state" vouches for what is in the folder: as long as the machine has not been
// started anew, what a process wrote is there, even if it was killed. After that it is, if the process had
// ended as it should.
const (
	stateMagic = "penstock cache 2\n"
	stateSize  = len(stateMagic) + 8 + len(clean)
	clean      = "closed, and synchronised with disk  " // as long as the boot id
)

// bootID is different for each start of the machine; empty where there is none to be had.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	id := strings.TrimSpace(string(b))
	if err != nil || len(id) != len(clean) {
		return ""
	}
	return id
}

// readState returns the seed of the keys in the folder, and whose it is; false: what is there is not to be
// used.
func readState(dir string) (seed uint64, who string, ok bool) {
	b, err := os.ReadFile(filepath.Join(dir, "state"))
	if err != nil || len(b) != stateSize || string(b[:len(stateMagic)]) != stateMagic {
		return 0, "", false
	}
	b = b[len(stateMagic):]
	who = string(b[8:])
	return binary.LittleEndian.Uint64(b), who, who == clean || who == bootID()
}

// writeState writes the state, and waits until it is on disk.
func writeState(dir string, seed uint64, who string) error {
	if who == "" {
		who = strings.Repeat("?", len(clean))
	}
	b := binary.LittleEndian.AppendUint64([]byte(stateMagic), seed)
	b = append(b, who...)
	return replace(filepath.Join(dir, "state"), b)
}

// replace makes b the content of a file, or leaves it as it is.
func replace(path string, b []byte) error {
	err := writeSynced(path+".new", b)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		_ = os.Remove(path + ".new") // it has no use, and takes room
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// openState returns the seed of the folder's hashes and who ended with it, and makes the folder that of a
// process which is at work. A folder that nothing vouches for begins anew.
func (t *Tier) openState(dir string) (seed uint64, who string, err error) {
	seed, who, ok := readState(dir)
	if !ok {
		if err := wipe(dir); err != nil {
			return 0, "", err
		}
		var b [8]byte
		chance.Read(b[:])
		seed = binary.LittleEndian.Uint64(b[:])
	}
	if err = writeState(dir, seed, bootID()); isFull(err) {
		t.full(err)
		// What vouches for the folder must go before anything is written: without it the folder begins anew.
		if err = os.Remove(filepath.Join(dir, "state")); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	return seed, who, err
}

// load reads the folder.
func (t *Tier) load() error {
	dir := t.opt.Dir
	c := noContents()
	seed, who, err := t.openState(dir)
	if err != nil {
		return err
	}
	c.seed = seed
	list, err := list(dir)
	if err != nil {
		return err
	}
	for i, s := range list {
		if err := c.readSegment(s, t.opt.Loaded); err != nil {
			return errors.Join(err, closeAll(list))
		}
		s.synced = who == clean
		select {
		case <-t.stop:
			return errors.Join(context.Canceled, closeAll(list))
		default:
		}
		if i%8 == 7 {
			t.log.Info("reading the cache on disk", "folder", dir, "files", i+1, "of", len(list))
		}
	}
	if t.opt.Journal != nil {
		if err := t.opt.Journal.load(dir); isFull(err) {
			t.full(err)
		} else if err != nil {
			return errors.Join(err, closeAll(list))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.contents = c
	if len(list) > 0 {
		t.last = list[len(list)-1].number
	}
	t.makePlace()
	t.loaded = true
	return nil
}

// full counts and logs that there was no room to begin with.
func (t *Tier) full(err error) {
	t.Errors.Add(1)
	t.log.Warn("the disk of the cache is full: what is there is served, little can be added until there is room",
		"folder", t.opt.Dir, "error", err)
}

func closeAll(list []*segment) (err error) {
	for _, s := range list {
		err = errors.Join(err, s.f.Close())
	}
	return err
}

// wipe removes all that a tier has written to its folder.
func wipe(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if segmentNumber(e.Name()) != 0 || e.Name() == journalName {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// list opens the segments, in order.
func list(dir string) (list []*segment, err error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range names {
		n := segmentNumber(e.Name())
		if n == 0 {
			continue
		}
		s := &segment{number: n, path: segmentPath(dir, n)}
		if s.f, err = os.OpenFile(s.path, os.O_RDWR, 0); err != nil {
			return nil, errors.Join(err, closeAll(list))
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	return list, nil
}

// readSegment reads a segment's records into the index, and calls loaded, if there is one, for the objects.
func (c *contents) readSegment(s *segment, loaded func(Key, []byte)) error {
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	// Offsets have 32 bits; a file that is larger is none of ours beyond.
	s.size, err = s.scan(min(info.Size(), 1<<32-1), func(r *record, offset uint32) {
		here := r.body.segment == s.number
		if r.kind == kindPut && here || r.kind == kindRenew && (here || c.segments[r.body.segment] != nil) {
			c.index[r.key] = ref{s.number, offset, uint32(r.size()), r.body.segment, r.until}
			if loaded != nil {
				loaded(Key(r.key), r.meta)
			}
		} else {
			delete(c.index, r.key)
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	c.segments[s.number] = s
	c.bytes += s.size
	return nil
}

// finish ends what the tier has written, when there is nothing more to be.
func (t *Tier) finish() {
	t.mu.Lock()
	segments, seed := t.segments, t.seed
	t.contents, t.head, t.loaded = noContents(), nil, false
	clear(t.changed)
	t.mu.Unlock()
	var err error
	for _, s := range segments {
		if !s.synced {
			err = errors.Join(err, s.f.Sync())
		}
		err = errors.Join(err, s.f.Close())
	}
	if t.opt.Journal != nil {
		err = errors.Join(err, t.opt.Journal.close())
	}
	if err == nil {
		err = writeState(t.opt.Dir, seed, clean)
	}
	if err != nil {
		t.log.Error("the cache on disk was not closed well", "folder", t.opt.Dir, "error", err)
	}
	t.leave()
}

// Close writes what waits and lets go of the folder. Nothing is stored or found from then on.
func (t *Tier) Close() {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.stop)
	}
	t.mu.Unlock()
	t.wake.Broadcast()
	t.room.Broadcast()
	<-t.done
}
