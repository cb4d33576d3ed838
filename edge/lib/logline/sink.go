package logline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

// flushEvery is how long a line waits at most before it is written; and how long the
// writer rests after a failure.
const flushEvery = 100 * time.Millisecond

// defaultMax is the backlog in bytes when none is given.
const defaultMax = 8 << 20

// ErrClosed is returned for a sink that has been closed.
var ErrClosed = errors.New("log sink is closed")

// Sink writes lines to a file, or whatever else it is given, in a goroutine of its
// own. Write copies a line to memory and returns; when the file is slower than the
// lines come, or cannot be written at all, lines are dropped and counted.
//
// Lines of one lane stay in order; lines of two may change places within a flush.
type Sink struct {
	open   func() (io.WriteCloser, error)
	lanes  []sinkLane // a power of two
	chunks *chunks

	armed atomic.Bool   // the writer knows that lines wait
	kick  chan struct{} // capacity 1: lines wait
	full  chan struct{} // capacity 1: do not wait for the timer
	quit  chan struct{} // closed by Shutdown
	done  chan struct{} // closed when the writer has ended
	once  sync.Once     // guards the closing of quit

	dropped *lanes.Counter
	written atomic.Uint64
	errors  atomic.Uint64
	losses  losses

	mu      sync.Mutex     // guards what follows; not held during input or output
	next    io.WriteCloser // opened by Reopen, not yet in use; nil if none
	closed  bool           // next is not taken any more
	lastErr error

	// What follows belongs to the writer.
	w        io.WriteCloser
	torn     bool // what was written last did not end with a newline
	failed   bool // the last flush met an error
	batch    []*chunk
	closeErr error // readable when done is closed
}

// NewSink opens the log and starts its writer; it fails only if open does. open is
// called again by Reopen and after write errors, from different goroutines. maxBytes
// bounds the memory for lines not yet written, 8 MiB if 0 or less; a bound too small
// for the machine's lanes (8 KiB each) is raised to that.
func NewSink(open func() (io.WriteCloser, error), maxBytes int) (*Sink, error) {
	w, err := open()
	if err != nil {
		return nil, fmt.Errorf("cannot open log: %w", err)
	}
	if maxBytes <= 0 {
		maxBytes = defaultMax
	}
	s := &Sink{
		open:    open,
		lanes:   make([]sinkLane, lanes.Count()),
		chunks:  newChunks(maxBytes, lanes.Count()),
		kick:    make(chan struct{}, 1),
		full:    make(chan struct{}, 1),
		quit:    make(chan struct{}),
		done:    make(chan struct{}),
		dropped: lanes.NewCounter(),
		w:       w,
	}
	go s.run()
	return s, nil
}

// Write hands over one line, which is copied; a newline is added if it ends without
// one, and there must be no other in it. It never waits for the log to be written and
// allocates only when the backlog grows beyond what it was before.
func (s *Sink) Write(lane uint32, line []byte) {
	l := &s.lanes[int(lane)&(len(s.lanes)-1)]
	taken, urgent := l.put(s.chunks, line)
	if !taken {
		s.lose(lane, 1)
	}
	if urgent {
		signal(s.full)
	}
	if !s.armed.Load() && s.armed.CompareAndSwap(false, true) {
		signal(s.kick)
	}
}

// Hurry has what waits written now, and not with what comes soon.
func (s *Sink) Hurry() { signal(s.full) }

// signal leaves a message unless there is one already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Reopen opens the log anew, for a file that was renamed to rotate it. What has been
// handed over before goes to the old file or to the new one; no line is lost or split.
// On an error the log stays as it was. It does not wait for a writer that is stuck.
func (s *Sink) Reopen() error {
	w, err := s.open()
	if err != nil {
		s.note(err)
		return fmt.Errorf("cannot reopen log: %w", err)
	}
	s.mu.Lock()
	unused := s.next
	s.next = w
	if s.closed {
		unused, s.next, err = w, nil, ErrClosed
	}
	s.mu.Unlock()
	if unused != nil {
		_ = unused.Close() // nothing was written to it
	}
	signal(s.full)
	signal(s.kick)
	return err
}

// Close writes what waits and closes the log; lines handed over later are dropped. It
// takes as long as the log takes to be written. It returns the error of closing.
func (s *Sink) Close() error { return s.Shutdown(context.Background()) }

// Shutdown is Close that gives up waiting when ctx ends, and then returns its error;
// the writer still ends by itself if it ever gets on.
func (s *Sink) Shutdown(ctx context.Context) error {
	s.once.Do(func() { close(s.quit) })
	defer s.tellRest()
	select {
	case <-s.done:
		return s.closeErr
	case <-ctx.Done():
		return fmt.Errorf("log is not written to its end: %w", ctx.Err())
	}
}

// End is Shutdown that waits for most at the longest, and for stuckAfter when nothing is written meanwhile: a
// slow disk gets its time, a stream that nobody reads does not.
func (s *Sink) End(most time.Duration) error {
	for until := time.Now().Add(most); ; {
		before := s.Written()
		ctx, cancel := context.WithTimeout(context.Background(), stuckAfter)
		err := s.Shutdown(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || s.Written() == before || time.Now().After(until) {
			return err
		}
	}
}

// stuckAfter is how long the last lines wait for a log that takes none.
const stuckAfter = 500 * time.Millisecond

// Written returns how many lines have been written whole.
func (s *Sink) Written() uint64 { return s.written.Load() }

// Dropped returns how many lines were lost: no room, a failed write, a closed sink.
func (s *Sink) Dropped() uint64 { return s.dropped.Sum() }

// Errors returns how often opening, writing or closing the log failed.
func (s *Sink) Errors() uint64 { return s.errors.Load() }

// LastError returns the latest of these errors, nil if there was none.
func (s *Sink) LastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastErr
}

func (s *Sink) note(err error) {
	s.errors.Add(1)
	s.mu.Lock()
	s.lastErr = err
	s.mu.Unlock()
}
