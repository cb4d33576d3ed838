// Package live turns a configuration file into the generation that serves, again and again: it builds
// everything that the file asks for, and only when all of it stands does one pointer change. A file with a
// mistake changes nothing. The generation before closes when its last request has ended.
package live

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/caught"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// Options are what a Live builds, and from what.
type Options struct {
	File string // path of the configuration; read anew by each Load
	// Text returns the configuration in place of File; name is shown in errors. nil: File is read.
	Text     func() (name string, text []byte, err error)
	Features []edge.Feature   // in the order in which request phases run
	Registry *metric.Registry // of the process
	Current  *edge.Current    // what Load swaps
	Log      *slog.Logger     // nil: slog.Default
}

// Live owns the generations of a process. Its methods may be called from any goroutine.
type Live struct {
	o      Options
	keeper *edge.Keeper // what outlives generations
	scope  *metric.Scope
	tally  tally
	seed   maphash.Seed // of digests, so that they can be compared

	joining sync.Mutex // guards next
	next    *turn      // waits to begin; nil: none does

	loading sync.Mutex // held while a generation is built; guards the three fields below
	lastID  uint64
	last    parts // of the running generation's file
	frozen  bool

	mu      sync.Mutex     // guards alive
	alive   []*running     // oldest first; the last one serves
	closing sync.WaitGroup // one for each generation alive
}

// running is a generation that took over and has not closed yet.
type running struct {
	gen    *edge.Generation
	built  *Built
	routes []RouteStatus
}

// turn is one Load; callers that come before it has begun share it.
type turn struct {
	done    chan struct{} // closed when the fields below are set
	changes []string
	err     error
}

// ErrFrozen is what Load returns after Freeze.
var ErrFrozen = errors.New("the gateway is ending and takes no new configuration")

// New returns a Live that serves nothing yet.
func New(o Options) *Live {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	l := &Live{o: o, keeper: edge.NewKeeper(), scope: o.Registry.Scope(), seed: maphash.MakeSeed()}
	l.measure()
	return l
}

// Load reads the file, builds everything and makes it the running generation. It returns what has changed,
// a line each. On an error, which is config.Errors unless Freeze was called, the running generation stays as
// it is. One load runs at a time; callers that come while one runs share the one that follows it.
func (l *Live) Load() ([]string, error) {
	t, mine := l.join()
	if !mine {
		<-t.done
		return t.changes, t.err
	}
	l.loading.Lock()
	defer l.loading.Unlock()
	l.depart()
	defer close(t.done) // whatever happens: others wait for it
	if p := caught.Call(func() { t.changes, t.err = l.load() }); p != nil {
		l.o.Log.Error("panic", "step", "load", "panic", p.Error(), "stack", string(p.Stack))
		t.err = l.refuse(config.Errors{{File: l.o.File, Line: 1, Col: 1,
			Message: "this file makes the gateway fail, which is a mistake of its own: " + p.Error()}})
	}
	return t.changes, t.err
}

// join returns the load that is about to begin, and whether the caller is the one to run it.
func (l *Live) join() (t *turn, mine bool) {
	l.joining.Lock()
	defer l.joining.Unlock()
	if l.next != nil {
		return l.next, false
	}
	l.next = &turn{done: make(chan struct{})}
	return l.next, true
}

// depart closes the door of the turn that begins now: the file may change after it was read.
func (l *Live) depart() {
	l.joining.Lock()
	l.next = nil
	l.joining.Unlock()
}

// load is one turn; l.loading is held.
func (l *Live) load() ([]string, error) {
	if l.frozen {
		return nil, ErrFrozen
	}
	first := l.lastID == 0
	b, errs := l.read()
	if errs != nil {
		return nil, l.refuse(errs)
	}
	var now parts
	if !b.step("compare with the configuration before", func() { now = digest(b.Config, l.seed) }) {
		errs = b.Config.File.Finish()
		b.Close()
		return nil, l.refuse(errs)
	}
	changes := now.since(l.last)
	l.last = now
	l.lastID++
	l.takeOver(b)
	l.tally.loaded(first, true)
	for _, w := range b.Config.File.Warnings() {
		l.o.Log.Warn("the configuration asks for what may do harm", "where", w.Error())
	}
	if !first {
		l.o.Log.Info("configuration reloaded", "generation", l.lastID, "changes", shortened(changes))
	}
	return changes, nil
}

// refuse counts and tells of a file that was not taken, and returns what is wrong with it.
func (l *Live) refuse(errs config.Errors) config.Errors {
	first := l.lastID == 0
	l.tally.loaded(first, false)
	if !first {
		l.complain(errs)
	}
	return errs
}

// read builds what the file asks for.
func (l *Live) read() (*Built, config.Errors) {
	name, text, err := l.text()
	if err != nil {
		return nil, config.Errors{{File: name, Line: 1, Col: 1,
			Message: fmt.Sprintf("cannot read the configuration: %s", err)}}
	}
	return build(name, text, l.o.Features, &edge.Host{
		Log: l.o.Log, Metrics: l.o.Registry.Scope(), State: l.keeper.Hold(), Current: l.o.Current,
	})
}

func (l *Live) text() (name string, text []byte, err error) {
	if l.o.Text != nil {
		return l.o.Text()
	}
	text, err = os.ReadFile(l.o.File)
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err // the name stands before the message
	}
	return l.o.File, text, err
}

// complain logs what is wrong with a file that was not taken.
func (l *Live) complain(errs config.Errors) {
	l.o.Log.Error("reload refused, the running generation stays", "generation", l.lastID, "mistakes", len(errs))
	for i, e := range errs {
		if i == maxComplaints {
			return
		}
		l.o.Log.Error("mistake in the configuration", "mistake", e.Error())
	}
}

const maxComplaints = 20 // log lines about one file; `check` and the answer of a reload have them all

// takeOver makes b the running generation. It is swapped in first and started then: a listener that is new
// accepts only once there is something to serve. In between, requests of listeners that were there before are
// served by the new routes already, while its clean-up goroutines do not run yet, which does no harm.
func (l *Live) takeOver(b *Built) {
	r := &running{built: b, routes: routeStatus(b)}
	r.gen = edge.NewGeneration(l.lastID, func() { go l.retire(r) })
	b.fill(r.gen)
	l.closing.Add(1)
	l.mu.Lock()
	l.alive = append(l.alive, r)
	l.mu.Unlock()
	l.o.Current.Swap(r.gen)
	b.start()
}

// retire closes a generation that nobody holds any more. It may wait for what its features end.
func (l *Live) retire(r *running) {
	defer l.closing.Done()
	r.built.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.alive {
		if l.alive[i] == r {
			l.alive = append(l.alive[:i], l.alive[i+1:]...)
			return
		}
	}
}

// Reopen has the features of the running generation open their log files anew.
func (l *Live) Reopen() {
	l.withRunning(func(r *running) {
		for _, p := range r.built.instances {
			r.built.contain("reopen "+p.name, p.Reopen)
		}
	})
}

// Freeze waits for a load that runs; later ones are refused. It comes before a drain, which must not meet new
// listeners.
func (l *Live) Freeze() {
	l.loading.Lock()
	l.frozen = true
	l.loading.Unlock()
}

// Close ends the running generation and waits until all have closed, or until ctx is done. Nothing may be
// served any more.
func (l *Live) Close(ctx context.Context) error {
	l.Freeze()
	l.o.Current.Swap(nil)
	done := make(chan struct{})
	go func() {
		l.closing.Wait()
		close(done)
	}()
	select {
	case <-done:
		l.scope.Close()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot close all generations: %w", context.Cause(ctx))
	}
}

// withRunning calls f with the running generation, held meanwhile; not at all when there is none.
func (l *Live) withRunning(f func(*running)) {
	g := l.o.Current.Pin(0)
	if g == nil {
		return
	}
	defer g.Unpin(0)
	if r := l.find(g); r != nil {
		f(r)
	}
}

// Unready returns what the features of the running generation say against its getting requests yet; "":
// nothing.
func (l *Live) Unready() string {
	var all []string
	l.withRunning(func(r *running) {
		for _, p := range r.built.instances {
			if p.Unready == nil {
				continue
			}
			r.built.contain("ask whether it is ready: "+p.name, func() {
				if why := p.Unready(); why != "" {
					all = append(all, why)
				}
			})
		}
	})
	return strings.Join(all, "; ")
}

func (l *Live) find(g *edge.Generation) *running {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.alive {
		if r.gen == g {
			return r
		}
	}
	return nil
}
