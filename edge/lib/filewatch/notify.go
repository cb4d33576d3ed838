//go:build !sim

package filewatch

import "github.com/fsnotify/fsnotify"

// Notify watches a directory. It fails where it is not there, or where the system has no watches left.
func Notify(dir string) (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := w.Add(dir); err != nil {
		_ = w.Close() // it watches nothing
		return nil, err
	}
	return w, nil
}
