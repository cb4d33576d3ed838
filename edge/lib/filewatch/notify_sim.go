//go:build sim

package filewatch

import (
	"errors"

	"github.com/fsnotify/fsnotify"
)

// Notify fails: files are polled in a simulation.
func Notify(string) (*fsnotify.Watcher, error) { return nil, errors.New("no watches in a simulation") }
