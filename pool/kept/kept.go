// Package kept keeps the last good targets of a pool in a file, for a start without their source.
package kept

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
	"github.com/penstock-edge/penstock/edge/lib/statefile"
	"github.com/penstock-edge/penstock/pool/discovery"
)

// Targets are targets that a source has found, as they stand in the file.
type Targets struct {
	Source string               `json:"source"`
	At     time.Time            `json:"at"` // when they were known to be good
	Found  []discovery.Endpoint `json:"targets"`
}

// maxKept bounds the size of the file: 65,535 targets with long names and zones.
const maxKept = 64 << 20

// Store is where the targets of a pool are kept, under [server] state_dir.
type Store struct {
	Dir    string // "": nowhere
	Pool   string
	Errors *lanes.Counter // what could not be read or written
}

func (s Store) file() statefile.File {
	return statefile.File{Dir: s.Dir, Name: "targets-" + s.Pool + ".json"}
}

// Sweep removes what writes that were cut short have left.
func (s Store) Sweep() { s.file().Sweep() }

// Read returns the kept targets of source; none and no error when there are none of it.
func (s Store) Read(source string) (*Targets, error) {
	f := s.file()
	b, err := f.Read(maxKept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := &Targets{}
	if err := json.Unmarshal(b, k); err != nil {
		return nil, fmt.Errorf("%q is no list of targets: %w", f.Path(), err)
	}
	if k.Source != source {
		return nil, nil
	}
	if k.Found, err = discovery.Clean(k.Found); err != nil {
		return nil, fmt.Errorf("%q: %w", f.Path(), err)
	}
	return k, nil
}

// Writer writes the targets of a pool in a goroutine of its own: a slow disk keeps nobody waiting, and of
// what comes meanwhile the last is written. The zero value is ready.
type Writer struct {
	mu     sync.Mutex
	next   *Targets       // to be written; nil: nothing
	busy   bool           // the goroutine runs
	done   sync.WaitGroup // it
	failed string         // how the last write went; "": well
}

// Write has k written to s soon.
func (w *Writer) Write(s Store, k *Targets) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = k
	if !w.busy {
		w.busy = true
		w.done.Go(func() { w.run(s) })
	}
}

// Wait returns when nothing is left to be written.
func (w *Writer) Wait() { w.done.Wait() }

func (w *Writer) run(s Store) {
	for {
		w.mu.Lock()
		k := w.next
		w.next, w.busy = nil, k != nil
		w.mu.Unlock()
		if k == nil {
			return
		}
		b, err := json.Marshal(k)
		if err == nil {
			err = s.file().Write(b)
		}
		w.note(s, err)
	}
}

// note counts a failure and returns what has changed.
func (w *Writer) note(s Store, err error) {
	text := ""
	if err != nil {
		text = err.Error()
		s.Errors.Inc(0)
	}
	w.mu.Lock()
	before := w.failed
	w.failed = text
	w.mu.Unlock()
	switch {
	case text != "" && (before == "" || before != text):
		slog.Warn("kept targets cannot be written; a restart without their source would have none, or old ones",
			"pool", s.Pool, "error", text)
	case text == "" && before != "":
		slog.Info("kept targets are written again", "pool", s.Pool)
	}
}
