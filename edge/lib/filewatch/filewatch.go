// Package filewatch detects whether files have changed since they were looked at last. It looks at them by
// name, so it sees a file that was replaced, and a symlink that was turned above it.
package filewatch

import "os"

// Files are some files that belong together. Its methods are for one goroutine at a time.
type Files struct {
	names []string
	seen  []os.FileInfo // nil: not there
}

// New returns the files as they are now. Read them after that: what changes meanwhile is then seen by
// Changed.
func New(names ...string) *Files {
	f := &Files{names: names}
	f.seen = f.look()
	return f
}

// Changed reports whether a file differs in size, time or identity from when Changed or New looked last.
func (f *Files) Changed() bool {
	now := f.look()
	before := f.seen
	f.seen = now
	for i := range now {
		if !same(now[i], before[i]) {
			return true
		}
	}
	return false
}

func (f *Files) look() []os.FileInfo {
	infos := make([]os.FileInfo, len(f.names))
	for i, name := range f.names {
		if info, err := os.Stat(name); err == nil {
			infos[i] = info
		}
	}
	return infos
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil // a missing file differs from one that is there
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
