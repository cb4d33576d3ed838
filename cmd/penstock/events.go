package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/logline"
	"github.com/penstock-edge/penstock/edge/lib/metric"
)

// events are the lines that the process writes to standard error: they wait in memory until they are
// taken, so that a reader who does not read stops nobody. It is an io.Writer, each call one record or
// several lines.
type events struct {
	sink    *logline.Sink
	journal bool // each line begins with its priority
}

const (
	eventsBacklog = 1 << 20 // bytes that wait at most
	lastEvents    = 250 * time.Millisecond
)

// newEvents writes to w, which is standard error but in tests.
func newEvents(w io.Writer) (*events, error) {
	open, journal := logline.Stream(w), false
	if w == io.Writer(os.Stderr) {
		open = logline.Standard(syscall.Stderr, "stderr")
		journal = isJournal(os.Stderr, os.Getenv("JOURNAL_STREAM"))
	}
	s, err := logline.NewSink(open, eventsBacklog)
	if err != nil {
		return nil, err
	}
	s.OnLoss(func(lines uint64, cause error) {
		slog.Warn("events were lost: standard error is not read", "lines", lines, "error", cause)
	})
	return &events{s, journal}, nil
}

// isJournal reports whether f is the stream to journald that the environment names by device and inode.
func isJournal(f *os.File, stream string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", s.Dev, s.Ino)
}

// Write implements io.Writer. It does not wait and does not fail.
func (e *events) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		if e.journal {
			line = append([]byte(priority(line)), line...)
		}
		e.sink.Write(0, line)
	}
	e.sink.Hurry()
	return len(text), nil
}

// priority is what sd-daemon(3) has a line begin with. A line without a level is about a file that is not
// taken.
func priority(line []byte) string {
	const key = `"level":"`
	head := line[:min(len(line), 100)] // time and level come first
	i := bytes.Index(head, []byte(key))
	if i < 0 || line[0] != '{' {
		return "<3>"
	}
	switch head[i+len(key)] {
	case 'D':
		return "<7>"
	case 'I':
		return "<6>"
	case 'W':
		return "<4>"
	}
	return "<3>"
}

// close writes what waits, but does not wait long for somebody to take it.
func (e *events) close() {
	ctx, cancel := context.WithTimeout(context.Background(), lastEvents)
	defer cancel()
	_ = e.sink.Shutdown(ctx) // there is nowhere to say it
}

// register counts what was lost.
func (e *events) register(m *metric.Scope) {
	m.CounterFunc("penstock_log_dropped_total", "Events that were lost: standard error could not be written.",
		func() float64 { return float64(e.sink.Dropped()) })
}
