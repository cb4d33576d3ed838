package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/filewatch"
	"github.com/penstock-edge/penstock/edge/lib/smallfile"
)

const (
	pollInterval = 30 * time.Second
	settleTime   = 50 * time.Millisecond // after the first sign of a change, so that a writer may get done
	maxFileSize  = 16 << 20
)

// fileSource reads a file of its own and reads it again when anything happens in its directory.
type fileSource struct {
	origin
	path string // absolute and clean
}

func (s *fileSource) String() string { return "file " + s.path }

func (s *fileSource) Run(ctx context.Context, tell func([]Endpoint, error)) {
	w := &fileWatch{path: s.path}
	defer w.close()
	t := &teller{tell: tell, origin: &s.origin}
	var last []byte
	fresh := true // last is not what the file held when it was read before
	b := backoff{longest: s.longest}
	for ctx.Err() == nil {
		w.open()
		text, err := smallfile.Read(s.path, maxFileSize)
		next := pollInterval
		switch {
		case err != nil:
			t.fail(ctx, err)
			fresh, next = true, b.next()
		case fresh || !bytes.Equal(text, last):
			last, fresh, b.bound = text, false, 0
			if err := contained(func() error { return s.apply(ctx, t, text) }); err != nil {
				t.fail(ctx, err)
			}
		}
		w.wait(ctx, next)
	}
}

// apply reports the targets that text names.
func (s *fileSource) apply(ctx context.Context, t *teller, text []byte) error {
	a, err := readTargets(s.path, text)
	if err != nil {
		return err
	}
	return t.set(ctx, a)
}

// fileWatch watches the directory of a file: that is where a file is replaced, and where the link is that
// Kubernetes turns to a new version of a config map.
type fileWatch struct {
	path    string
	watcher *fsnotify.Watcher // nil: the system has none left, or the directory is not there; it is polled then
	dir     os.FileInfo       // the directory that is watched
}

// open sees to it that the directory that is there now is watched.
func (w *fileWatch) open() {
	dir := filepath.Dir(w.path)
	info, err := os.Stat(dir)
	if err == nil && w.watcher != nil && os.SameFile(info, w.dir) && len(w.watcher.WatchList()) > 0 {
		return // a new directory may have the number of the old one: the watch is then gone
	}
	w.close()
	if err != nil {
		return
	}
	watcher, err := filewatch.Notify(dir)
	if err != nil {
		return
	}
	w.watcher, w.dir = watcher, info
}

func (w *fileWatch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close() // nothing is written through it
		w.watcher = nil
	}
}

// wait returns a moment after something has happened in the directory, after d, or at the end of ctx.
func (w *fileWatch) wait(ctx context.Context, d time.Duration) {
	var events <-chan fsnotify.Event
	var errs <-chan error
	if w.watcher != nil {
		events, errs = w.watcher.Events, w.watcher.Errors
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	settling := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case e, open := <-events:
			if !open {
				events = nil
			}
			if settling || e.Op == fsnotify.Chmod {
				continue
			}
		case _, open := <-errs: // events were lost
			if !open {
				errs = nil
			}
		}
		if !settling {
			settling = true
			timer.Reset(min(d, settleTime))
		}
	}
}

// CheckFile reports what running would: that the file with the targets is not there, which may change, or
// what is wrong in it.
func (c *Config) CheckFile(t *config.Table) {
	if t == nil || !filepath.IsAbs(c.File) {
		return
	}
	text, err := smallfile.Read(c.File, maxFileSize)
	switch {
	case errors.Is(err, os.ErrNotExist):
		t.Warnf("file", "%q is not there: the pool has no targets of it until it is", c.File)
	case err != nil:
		t.Errorf("file", "%s", err)
	default:
		a, err := readTargets(c.File, text)
		if err == nil {
			_, err = a.set()
		}
		if err != nil {
			t.Errorf("file", "%s", err)
		}
	}
}

// readTargets reads `targets` as it is written in a pool. Mistakes are all told, each with its line. Nothing
// in the file stands for a variable of the process: whoever writes it is not whoever configures the gateway.
func readTargets(name string, text []byte) (*answer, error) {
	f := config.Parse(name, text, config.Options{
		Env:      func(string) (string, bool) { return "", false },
		ReadFile: func(string) ([]byte, error) { return nil, errors.ErrUnsupported },
	})
	a := &answer{}
	v, ok := f.Root.Value("targets")
	if !ok {
		f.Root.Missing("targets", `such as targets = ["10.0.0.1:9000"]`)
	} else if v.List() == nil {
		v.Errorf("must be a list, is %s", v.Describe())
	}
	seen := map[string]bool{}
	for _, e := range v.List() {
		target, disabled, ok := readTarget(e)
		if !ok {
			continue
		}
		if seen[target.Address] {
			e.Errorf("target %q is in the file already; give it a weight instead", target.Address)
			continue
		}
		seen[target.Address] = true
		if !disabled {
			a.list = append(a.list, target)
		}
	}
	return a, firstMistakes(f.Finish())
}

type targetTable struct {
	Address string `toml:"address" required:"true"`
	Weight  int32  `toml:"weight" default:"1" min:"0" max:"65535"`
	Backup  bool   `toml:"backup" default:"false"`
	Zone    string `toml:"zone"`
	// Drain and Disabled are as in a pool: no new clients, and as if it were not listed.
	Drain    bool `toml:"drain" default:"false"`
	Disabled bool `toml:"disabled" default:"false"`
}

// readTarget reads an element of targets; not ok: it is wrong, and that has been recorded.
func readTarget(v config.Value) (e Endpoint, disabled, ok bool) {
	target := targetTable{Weight: 1}
	if sub := v.Table(); sub != nil {
		sub.Decode(&target)
		if target.Address == "" {
			return Endpoint{}, false, false // reported
		}
	} else if s, ok := v.String(); ok {
		target.Address = s
	} else {
		v.Errorf(`a target is "host:port" or { address = "host:port", weight = 2 }`)
		return Endpoint{}, false, false
	}
	address, err := fileAddress(target.Address)
	if err == nil && !isZone(target.Zone) {
		err = fmt.Errorf("zone %s is not letters, digits and signs of ASCII without a space", quote(target.Zone))
	}
	if err != nil {
		v.Errorf("%s", err)
		return Endpoint{}, false, false
	}
	return Endpoint{address, target.Weight, target.Zone, target.Backup, target.Drain}, target.Disabled, true
}

// fileAddress is cleanAddress for a source that may name a Unix socket too.
func fileAddress(address string) (string, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if !filepath.IsAbs(path) {
			return "", fmt.Errorf("target %s names no socket: want unix:/path", quote(address))
		}
		return address, nil
	}
	return cleanAddress(address)
}

// firstMistakes makes one line of the mistakes, and leaves out the later ones of a file that is wrong all
// over.
func firstMistakes(errs config.Errors) error {
	const most = 5
	if len(errs) == 0 {
		return nil
	}
	more := ""
	if len(errs) > most {
		more = fmt.Sprintf("; and %d more", len(errs)-most)
		errs = errs[:most]
	}
	return errors.New(strings.ReplaceAll(errs.Error(), "\n", "; ") + more)
}
