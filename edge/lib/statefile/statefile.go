// Package statefile keeps what should outlive a process in small files: each is written whole or not at all,
// and for the owner alone.
package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// File is one file of a folder for state.
type File struct {
	Dir  string // made at the first write
	Name string // of the file in it
}

// Path returns where the file is.
func (f File) Path() string { return filepath.Join(f.Dir, f.Name) }

// Write replaces the content by b. Whoever reads meanwhile, or after a loss of power, finds all of the one or
// all of the other. The mode is 0600.
func (f File) Write(b []byte) error {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return err
	}
	return f.replace(b, func() (*os.File, error) { return os.CreateTemp(f.Dir, f.Name+suffix) })
}

// suffix of a new content that has not taken the name of the file yet.
const suffix = ".*.new"

func (f File) replace(b []byte, create func() (*os.File, error)) error {
	to, err := create()
	if err != nil {
		return f.failed(err)
	}
	_, err = to.Write(b)
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err == nil {
		err = os.Rename(to.Name(), f.Path())
	}
	if err != nil {
		_ = os.Remove(to.Name()) // else Sweep removes it
		return f.failed(err)
	}
	return syncFolder(f.Dir)
}

// failed describes why the file could not be written, in the same words each time: the new content has
// another name at every try.
func (f File) failed(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	return fmt.Errorf("cannot write %q: %w", f.Path(), err)
}

// syncFolder makes a new name in a folder survive a loss of power.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Read returns the content, of at most so many bytes. The error is fs.ErrNotExist when there is no file.
func (f File) Read(most int64) ([]byte, error) {
	info, err := os.Stat(f.Path())
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is no regular file", f.Path()) // opening a pipe would wait for its other end
	}
	from, err := os.Open(f.Path())
	if err != nil {
		return nil, err
	}
	defer from.Close()
	b, err := io.ReadAll(io.LimitReader(from, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%q has more than %d bytes", f.Path(), most)
	}
	return b, err
}

// Sweep removes what a process left behind that ended while it wrote. What is younger than a minute may be
// another one's that is at it.
func (f File) Sweep() {
	left, _ := filepath.Glob(f.Path() + suffix) // the pattern is a good one, but for names that nobody gives
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(path) // the next start tries again
		}
	}
}
