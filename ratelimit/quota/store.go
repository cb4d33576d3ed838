package quota

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Store has the counts of all keys of one limit. It may be used by any number of goroutines. The same key
// must be the same after a restart: its hash needs a seed that stays.
type Store struct {
	*table
	log   *slog.Logger
	clock func() time.Time // time.Now

	path   string                 // "": in memory alone
	dirty  atomic.Bool            // something has changed since the file was last written
	recent atomic.Pointer[recent] // window's
	fails  atomic.Uint64

	// These are save's: of the goroutine of run, and of Close when that has ended.
	wrap   writer      // nil but in tests
	mine   os.FileInfo // of the file as this store has written or read it; nil: there was none
	failed bool        // the last attempt to write

	stop chan struct{} // closed by Close
	done chan struct{} // closed when run has returned
	once sync.Once
	last error // of the last write, once done
}

// Open reads the counts from a file and writes them there every second in which something has changed.
// maxKeys is how many keys find room; the memory for them is 13 bytes a key at once and 48 more when it is
// seen. log may be nil. With the path "" nothing is kept on disk.
//
// A missing file is an empty store. A damaged one is renamed to PATH.damaged, with an error in the log, and
// the store is empty. A file that cannot be read is an error, and a folder that cannot be written to.
func Open(path string, maxKeys int, log *slog.Logger) (*Store, error) {
	return OpenEvery(path, maxKeys, log, time.Second)
}

// OpenEvery is Open with another time between two writes; 0: only Close writes.
func OpenEvery(path string, maxKeys int, log *slog.Logger, every time.Duration) (*Store, error) {
	s := newStore(path, maxKeys, log)
	if err := s.begin(every); err != nil {
		return nil, err
	}
	return s, nil
}

func newStore(path string, maxKeys int, log *slog.Logger) *Store {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{table: newTable(maxKeys), log: log, clock: time.Now, path: path,
		stop: make(chan struct{}), done: make(chan struct{})}
}

// begin reads the file and starts what writes it.
func (s *Store) begin(every time.Duration) error {
	if s.path == "" {
		close(s.done)
		return nil
	}
	s.sweep()
	if err := s.probe(); err != nil {
		return err
	}
	if err := s.read(); err != nil {
		return err
	}
	if every <= 0 {
		close(s.done)
		return nil
	}
	go s.run(every)
	return nil
}

// probe finds out at the start whether the file could be written. A disk that is full is no reason not to
// start: the first attempt to write will say it.
func (s *Store) probe() error {
	if info, err := os.Stat(s.path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("cannot keep quotas in %q: it is not a file; name a file", s.path)
	}
	err := s.tryFolder()
	if err == nil || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return nil
	}
	return fmt.Errorf("cannot keep quotas in %q: %w; the folder %q must exist, and the user that this program "+
		"runs as must be allowed to read it and to write to it", s.path, err, filepath.Dir(s.path))
}

// tryFolder does all that write does, but for writing.
func (s *Store) tryFolder() error {
	f, err := s.temporary()
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()), syncFolder(filepath.Dir(s.path)))
}

// temporary makes the file that is to replace the one at path. Its name is its own: another process, or
// one that was killed, may have left theirs.
func (s *Store) temporary() (*os.File, error) {
	return os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*.new")
}

// abandoned is how old a temporary file is at least whose process has been killed. Should it live, it has
// one failure to write, and tries again.
const abandoned = time.Minute

// sweep removes what processes have left that were killed while they wrote.
func (s *Store) sweep() {
	folder := filepath.Dir(s.path)
	list, err := os.ReadDir(folder)
	if err != nil {
		return // probe will say it
	}
	for _, f := range list {
		info, err := f.Info()
		if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < abandoned {
			continue
		}
		if isTemporary(f.Name(), filepath.Base(s.path)) {
			_ = os.Remove(filepath.Join(folder, f.Name())) // it does no harm
		}
	}
}

// isTemporary reports whether temporary made the file, for the one called base.
func isTemporary(name, base string) bool {
	rest, ours := strings.CutPrefix(name, base+".")
	middle, is := strings.CutSuffix(rest, ".new")
	return ours && is && middle != "" && strings.Trim(middle, "0123456789") == ""
}

// Len returns how many keys have used something in a window that has not ended. It looks at all of them.
func (s *Store) Len() int {
	n, at := 0, s.clock().UnixNano()
	s.records(at, func(r record) bool {
		if r.end > at {
			n++
		}
		return true
	})
	return n
}

// Evictions returns how many keys were forgotten before their window had ended, because there was no room.
func (s *Store) Evictions() uint64 { return s.evictions.Load() }

// Errors returns how often the file could not be written.
func (s *Store) Errors() uint64 { return s.fails.Load() }

// Close writes what has changed and returns the error of that. The counts in memory may still be used, but
// are not written any more. Calling it again does nothing and returns the same.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.stop)
		<-s.done
		s.last = s.save()
	})
	return s.last
}
