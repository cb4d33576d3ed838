package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/statefile"
	"github.com/penstock-edge/penstock/pool/discovery"
)

// kept are targets that a source has found, as they stand in a file of [server] state_dir.
type kept struct {
	Source  string               `json:"source"`
	At      time.Time            `json:"at"` // when they were known to be good
	Targets []discovery.Endpoint `json:"targets"`
}

// maxKept bounds the size of the file: 65,535 targets with long names and zones.
const maxKept = 64 << 20

// keepEvery is how often the file is renewed while the source is well, so that its age says how long it has
// not been.
const keepEvery = time.Minute

// stateFile is where the last good targets of a pool are kept.
func stateFile(dir, pool string) statefile.File {
	return statefile.File{Dir: dir, Name: "targets-" + pool + ".json"}
}

// read returns the kept targets of source; none and no error when there are none of it.
func readKept(f statefile.File, source string) (*kept, error) {
	b, err := f.Read(maxKept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := &kept{}
	if err := json.Unmarshal(b, k); err != nil {
		return nil, fmt.Errorf("%q is no list of targets: %w", f.Path(), err)
	}
	if k.Source != source {
		return nil, nil
	}
	if k.Targets, err = discovery.Clean(k.Targets); err != nil {
		return nil, fmt.Errorf("%q: %w", f.Path(), err)
	}
	return k, nil
}

// recall makes the targets that were kept before the start those of the pool, when its source has told none.
func (p *Pool) recall() {
	source := p.conf.source.String()
	if p.stateDir == "" {
		return
	}
	f := stateFile(p.stateDir, p.Name)
	f.Sweep()
	if p.known() != nil {
		return
	}
	k, err := readKept(f, source)
	if err != nil {
		p.stateErrors.Inc(0)
		slog.Warn("kept targets cannot be read", "pool", p.Name, "error", err)
	}
	if k == nil {
		return
	}
	s := p.shared
	s.mu.Lock()
	s.found[source], s.keptAt[source] = k.Targets, k.At
	s.mu.Unlock()
	slog.Warn("targets kept from before the start are used until their source answers", "pool", p.Name,
		"source", source, "targets", len(k.Targets), "age", time.Since(k.At).Round(time.Second).String())
	p.apply(k.Targets)
}

// keep has the last good targets written to the file, if there is to be one.
func (p *Pool) keep() {
	if p.stateDir == "" {
		return
	}
	s, source := p.shared, p.conf.source.String()
	s.mu.Lock()
	k := &kept{Source: source, At: time.Now(), Targets: s.found[source]}
	_, old := s.keptAt[source]
	good := s.findFailed == nil && !old && k.Targets != nil
	s.mu.Unlock()
	if good {
		s.writer.write(p, k)
	}
}

// writer writes the kept targets of a pool in a goroutine of its own: a slow disk keeps nobody waiting, and
// of what comes meanwhile the last is written.
type writer struct {
	mu     sync.Mutex
	next   *kept          // to be written; nil: nothing
	busy   bool           // the goroutine runs
	done   sync.WaitGroup // it
	failed string         // how the last write went; "": well
}

func (w *writer) write(p *Pool, k *kept) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = k
	if !w.busy {
		w.busy = true
		w.done.Go(func() { w.run(p) })
	}
}

func (w *writer) run(p *Pool) {
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
			err = stateFile(p.stateDir, p.Name).Write(b)
		}
		w.note(p, err)
	}
}

// note counts a failure and says what has changed.
func (w *writer) note(p *Pool, err error) {
	text := ""
	if err != nil {
		text = err.Error()
		p.stateErrors.Inc(0)
	}
	w.mu.Lock()
	before := w.failed
	w.failed = text
	w.mu.Unlock()
	switch {
	case text != "" && (before == "" || before != text):
		slog.Warn("kept targets cannot be written; a restart without their source would have none, or old ones",
			"pool", p.Name, "error", text)
	case text == "" && before != "":
		slog.Info("kept targets are written again", "pool", p.Name)
	}
}
