package quota

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// writer is put between the store and its file by tests.
type writer func(io.Writer) io.Writer

// pause is how many times as long as a write took the store waits at least before the next: one that takes
// long must not keep the disk busy all the time.
const pause = 9

// run writes the file until Close.
func (s *Store) run(every time.Duration) {
	defer close(s.done)
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-timer.C:
		}
		began := time.Now()
		_ = s.save() // it is in the log, and the next turn tries again
		timer.Reset(max(every, pause*time.Since(began)))
	}
}

// changed notes that the file is old.
func (s *Store) changed(cost int64) {
	if cost != 0 && !s.dirty.Load() {
		s.dirty.Store(true)
	}
}

// save writes the file if something has changed. A failure is logged when it is the first, and so is the
// success after it.
func (s *Store) save() error {
	if s.path == "" {
		return nil
	}
	s.merge()
	if !s.dirty.Swap(false) {
		return nil
	}
	err := s.write()
	switch {
	case err != nil:
		err = fmt.Errorf("cannot write the quotas to %q: %w", s.path, err)
		s.dirty.Store(true)
		if s.fails.Add(1); !s.failed {
			s.log.Error("quotas are not written: they are kept in memory, and a restart would forget what is used "+
				"from now on", "file", s.path, "error", err)
		}
	case s.failed:
		s.log.Info("quotas are written again", "file", s.path, "failures", s.fails.Load())
	}
	s.failed = err != nil
	return err
}

// write replaces the file.
func (s *Store) write() error {
	f, err := s.temporary()
	if err != nil {
		return err
	}
	info, err := s.fill(f)
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is swept up at the next start
		return err
	}
	s.mine = info
	return syncFolder(filepath.Dir(s.path))
}

// fill writes all counts to f and closes it.
func (s *Store) fill(f *os.File) (os.FileInfo, error) {
	var w io.Writer = f
	if s.wrap != nil {
		w = s.wrap(f)
	}
	at := s.clock().UnixNano()
	err := encode(w, func(each func(record) bool) { s.records(at, each) })
	if err == nil {
		err = f.Sync()
	}
	info, statErr := f.Stat()
	return info, errors.Join(err, statErr, f.Close())
}

// syncFolder makes the new name in a folder survive a loss of power.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// read takes in the file at the start. A damaged one is set aside.
func (s *Store) read() error {
	info, err := s.load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, errFile):
		aside := s.path + ".damaged"
		s.log.Error("the quotas of before are lost: their file is damaged; all keys begin with nothing used",
			"file", s.path, "kept_as", aside, "error", err)
		if err = os.Rename(s.path, aside); err != nil {
			return fmt.Errorf("cannot set the damaged quota file aside: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("cannot read the quotas in %q: %w", s.path, err)
	}
	s.mine = info
	return nil
}

// merge takes in what another process has written to the file meanwhile: that of before an upgrade, which
// still has requests to answer, or that of after it.
func (s *Store) merge() {
	info, err := os.Stat(s.path)
	if err != nil || s.mine != nil && sameFile(info, s.mine) {
		return
	}
	if s.mine, err = s.load(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("somebody else's quota file is written over", "file", s.path, "error", err)
		s.dirty.Store(true)
	}
}

// sameFile reports whether the file has not been written in between. The number of a file may be given to
// another.
func sameFile(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// load adds the counts of the file to those in memory.
func (s *Store) load() (os.FileInfo, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	at := s.clock().UnixNano()
	return info, decode(f, info.Size(), func(r record) { s.absorb(r, at) })
}
