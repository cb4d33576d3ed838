package logline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/edge/lib/lanes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a log in memory that can be made slow, full or broken.
type disk struct {
	mu     sync.Mutex // guards what follows
	text   bytes.Buffer
	opened int
	closed int
	writes int
	gate   chan struct{}                     // writes wait until it is closed; nil: they do not
	fault  func(b []byte) (n int, err error) // nil: everything is written
	refuse error                             // what opening says
}

func (d *disk) open() (io.WriteCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return nil, d.refuse
	}
	d.opened++
	return d, nil
}

func (d *disk) Write(b []byte) (n int, err error) {
	d.mu.Lock()
	gate := d.gate
	d.mu.Unlock()
	if gate != nil {
		<-gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes++
	n = len(b)
	if d.fault != nil {
		n, err = d.fault(b)
	}
	d.text.Write(b[:n])
	return n, err
}

func (d *disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
	return nil
}

func (d *disk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

func newSink(t *testing.T, open func() (io.WriteCloser, error), maxBytes int) *Sink {
	t.Helper()
	s, err := NewSink(open, maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeSink(t *testing.T, s *Sink) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// counts checks what the sink says of itself.
func counts(t *testing.T, s *Sink, written, dropped, errors uint64) {
	t.Helper()
	if s.Written() != written || s.Dropped() != dropped || s.Errors() != errors {
		t.Errorf("written %d dropped %d errors %d (%v), want %d, %d and %d", s.Written(), s.Dropped(),
			s.Errors(), s.LastError(), written, dropped, errors)
	}
}

func TestSinkWritesAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		s := newSink(t, d.open, 0)
		for round := 1; round <= 3; round++ {
			s.Write(0, []byte("one\n"))
			s.Write(0, []byte("two")) // the newline is added
			time.Sleep(flushEvery - 1)
			if got := strings.Count(d.String(), "\n"); got != 2*(round-1) {
				t.Errorf("round %d: %d lines before their time", round, got)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if got, want := d.String(), strings.Repeat("one\ntwo\n", round); got != want {
				t.Errorf("round %d: %q, want %q", round, got, want)
			}
			time.Sleep(time.Hour)
		}
		closeSink(t, s)
		counts(t, s, 6, 0, 0)
		if d.writes != 3 || d.opened != 1 || d.closed != 1 {
			t.Errorf("%d writes, %d times opened, %d times closed", d.writes, d.opened, d.closed)
		}
	})
}

func TestSinkWritesAFullChunkAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		s := newSink(t, d.open, 0)
		line := bytes.Repeat([]byte("x"), 1000)
		for range s.chunks.size/1001 + 1 {
			s.Write(0, line)
		}
		synctest.Wait() // no time has passed
		if got := strings.Count(d.String(), "\n"); got != s.chunks.size/1001+1 {
			t.Errorf("%d lines written", got)
		}
		closeSink(t, s)
	})
}

func TestSinkLineLargerThanAChunk(t *testing.T) {
	var d disk
	s := newSink(t, d.open, 0)
	line := strings.Repeat("x", 200<<10)
	s.Write(1, []byte("before"))
	s.Write(1, []byte(line))
	s.Write(1, []byte("after"))
	s.Write(1, make([]byte, 9<<20)) // more than the whole backlog may be
	closeSink(t, s)
	if got := d.String(); got != "before\n"+line+"\nafter\n" {
		t.Errorf("%d bytes written", len(got))
	}
	counts(t, s, 3, 1, 0)
}

func TestSinkBlockedWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disk{gate: make(chan struct{})}
		const maxBytes = 1 << 20
		s := newSink(t, d.open, maxBytes)
		line := bytes.Repeat([]byte("x"), 99)
		const sent = 100_000 // ten times what fits
		for i := range uint32(sent) {
			s.Write(i, line)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if s.Written() != 0 || s.Dropped() == 0 || s.chunks.used > maxBytes {
			t.Errorf("written %d dropped %d, %d bytes in use", s.Written(), s.Dropped(), s.chunks.used)
		}
		if kept := (sent - s.Dropped()) * 100; kept < maxBytes*3/4 {
			t.Errorf("only %d bytes of %d kept", kept, maxBytes)
		}
		close(d.gate)
		synctest.Wait()
		s.Write(0, []byte("after"))
		closeSink(t, s)
		if s.Written()+s.Dropped() != sent+1 || s.chunks.used != 0 {
			t.Errorf("written %d + dropped %d of %d, %d bytes in use", s.Written(), s.Dropped(), sent+1, s.chunks.used)
		}
		if got := uint64(strings.Count(d.String(), "\n")); got != s.Written() {
			t.Errorf("%d lines in the log, %d written", got, s.Written())
		}
		if !strings.HasSuffix(d.String(), "x\nafter\n") {
			t.Error("the line after is not the last")
		}
	})
}

func TestSinkShutdownDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disk{gate: make(chan struct{})}
		s := newSink(t, d.open, 0)
		s.Write(0, []byte("one"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if err := s.Reopen(); err != nil { // does not wait either
			t.Errorf("Reopen: %v", err)
		}
		close(d.gate)
		closeSink(t, s)
		if d.String() != "one\n" || d.opened != d.closed {
			t.Errorf("%q, opened %d, closed %d", d.String(), d.opened, d.closed)
		}
	})
}

func TestSinkAfterClose(t *testing.T) {
	var d disk
	s := newSink(t, d.open, 0)
	s.Write(0, []byte("one"))
	closeSink(t, s)
	closeSink(t, s)
	s.Write(0, []byte("two"))
	if err := s.Reopen(); !errors.Is(err, ErrClosed) {
		t.Errorf("Reopen: %v", err)
	}
	counts(t, s, 1, 1, 0)
	if d.String() != "one\n" || d.opened != 2 || d.closed != 2 {
		t.Errorf("%q, opened %d, closed %d", d.String(), d.opened, d.closed)
	}
}

func TestSinkThatCannotBeOpened(t *testing.T) {
	if _, err := NewSink(File(t.TempDir()+"/no/such"), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// The kernel's own full disk: every write fails with ENOSPC.
func TestSinkFullDevice(t *testing.T) {
	s := newSink(t, File("/dev/full"), 0)
	for i := range uint32(100) {
		s.Write(i, []byte("line"))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s.Written() != 0 || s.Dropped() != 100 || s.Errors() == 0 || !errors.Is(s.LastError(), syscall.ENOSPC) {
		t.Errorf("written %d dropped %d errors %d: %v", s.Written(), s.Dropped(), s.Errors(), s.LastError())
	}
}

func TestSinkDiskFullForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		s := newSink(t, d.open, 0)
		f := func(text string, written, dropped, errors uint64) {
			t.Helper()
			for line := range strings.Lines(text) {
				s.Write(0, []byte(line))
			}
			time.Sleep(2 * flushEvery)
			synctest.Wait()
			counts(t, s, written, dropped, errors)
		}
		full := func(room int) {
			d.set(func() { d.fault = func([]byte) (int, error) { return room, syscall.ENOSPC } })
		}
		f("a1\na2\n", 2, 0, 0)
		full(5)
		f("b1\nb2\nb3\n", 3, 2, 1) // b2 is cut
		full(0)
		f("c1\n", 3, 3, 2)
		d.set(func() { d.fault, d.refuse = nil, errors.New("gone") })
		f("d1\n", 4, 3, 3) // cannot be opened, but the old file takes it
		d.set(func() { d.refuse = nil })
		f("e1\n", 5, 3, 3)
		closeSink(t, s)
		if got, want := d.String(), "a1\na2\nb1\nb2\nd1\ne1\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// A disk that stays full is tried ten times a second, however fast the lines come.
func TestSinkRestsAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disk{fault: func([]byte) (int, error) { return 0, syscall.ENOSPC }}
		s := newSink(t, d.open, 0)
		line := bytes.Repeat([]byte("x"), 1000)
		for range 10 * time.Second / time.Millisecond {
			s.Write(0, line)
			time.Sleep(time.Millisecond)
		}
		closeSink(t, s)
		if d.opened < 90 || d.opened > 103 {
			t.Errorf("opened %d times in 10 s", d.opened)
		}
		counts(t, s, 0, 10_000, s.Errors())
	})
}

func TestSinkReopenThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		s := newSink(t, d.open, 0)
		d.set(func() { d.refuse = errors.New("no") })
		if err := s.Reopen(); err == nil {
			t.Error("no error")
		}
		s.Write(0, []byte("one"))
		closeSink(t, s)
		counts(t, s, 1, 0, 1)
		if d.String() != "one\n" {
			t.Errorf("%q", d.String())
		}
	})
}

func TestSinkReopenTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		s := newSink(t, d.open, 0)
		for range 5 {
			if err := s.Reopen(); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if d.opened != 6 || d.closed != 5 {
			t.Errorf("opened %d, closed %d", d.opened, d.closed)
		}
		closeSink(t, s)
		if d.closed != 6 {
			t.Errorf("closed %d", d.closed)
		}
	})
}

// The file is renamed and reopened again and again while lines come in: each of them
// is in one of the files, whole, once, and in the order of its lane.
func TestSinkRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	s := newSink(t, File(path), 64<<20)
	const writers, each, turns = 4, 5000, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				s.Write(uint32(w), fmt.Appendf(nil, "%d %d %s", w, i, strings.Repeat("x", i%200)))
			}
		})
	}
	for turn := range turns {
		if err := os.Rename(path, fmt.Sprintf("%s.%02d", path, turn)); err != nil {
			t.Fatal(err)
		}
		if err := s.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	closeSink(t, s)
	var text strings.Builder
	for turn := range turns + 1 {
		name := fmt.Sprintf("%s.%02d", path, turn)
		if turn == turns {
			name = path
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	var next [writers]int
	for line := range strings.Lines(text.String()) {
		var w, i int
		var fill string
		_, _ = fmt.Sscanf(line, "%d %d %s", &w, &i, &fill)
		if i != next[w] || len(fill) != i%200 {
			t.Fatalf("line %q where %d of writer %d was due", line, next[w], w)
		}
		next[w]++
	}
	if next != [writers]int{each, each, each, each} {
		t.Errorf("lines found: %v", next)
	}
	counts(t, s, writers*each, 0, 0)
}

// Against a disk that takes an arbitrary part of each write: whatever stands whole in
// the log was sent, in order, as often as Written says; the rest are torn beginnings.
func TestSinkNeverGluesLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		room := rapid.SliceOf(rapid.IntRange(0, 60)).Draw(t, "room")
		d := disk{}
		d.fault = func(b []byte) (int, error) {
			if len(room) == 0 {
				return len(b), nil
			}
			n := min(room[0], len(b))
			room = room[1:]
			if n == len(b) {
				return n, nil
			}
			return n, syscall.ENOSPC
		}
		s, err := NewSink(d.open, 0)
		if err != nil {
			t.Fatalf("%v", err)
		}
		sent := rapid.IntRange(0, 40).Draw(t, "lines")
		for i := range sent {
			s.Write(0, fmt.Appendf(nil, "<line %d>", i))
			if rapid.Bool().Draw(t, "flush") {
				signal(s.full)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatalf("%v", err)
		}
		checkLines(t, d.String(), s)
		if s.Written()+s.Dropped() != uint64(sent) {
			t.Fatalf("written %d + dropped %d of %d", s.Written(), s.Dropped(), sent)
		}
	})
}

func checkLines(t *rapid.T, text string, s *Sink) {
	last, whole := -1, uint64(0)
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, ">\n") {
			if strings.Count(line, "<") > 1 {
				t.Fatalf("glued: %q", line)
			}
			continue
		}
		var i int
		if _, err := fmt.Sscanf(line, "<line %d>", &i); err != nil || i <= last {
			t.Fatalf("line %q after %d", line, last)
		}
		last = i
		whole++
	}
	// A line cut right before its newline gets it from the next write, and was
	// counted as dropped by then.
	if whole < s.Written() || whole > s.Written()+s.Errors() {
		t.Fatalf("%d whole lines, %d written", whole, s.Written())
	}
}

func TestSinkFromManyGoroutines(t *testing.T) {
	var d disk
	s := newSink(t, d.open, 256<<20)
	var wg sync.WaitGroup
	for g := range uint32(8) {
		wg.Go(func() {
			for range 2000 {
				s.Write(g, []byte("a line of ordinary length, to be counted in the end"))
			}
		})
	}
	wg.Wait()
	closeSink(t, s)
	counts(t, s, 16000, 0, 0)
	if got := strings.Count(d.String(), "to be counted in the end\n"); got != 16000 {
		t.Errorf("%d lines", got)
	}
}

func TestSinkSmallBacklogIsRaised(t *testing.T) {
	var d disk
	s := newSink(t, d.open, 1)
	for lane := range uint32(lanes.Count()) {
		s.Write(lane, []byte("line"))
	}
	closeSink(t, s)
	counts(t, s, uint64(lanes.Count()), 0, 0)
}

func TestStream(t *testing.T) {
	var b bytes.Buffer
	s := newSink(t, Stream(&b), 0)
	s.Write(0, []byte("one"))
	if err := s.Reopen(); err != nil {
		t.Error(err)
	}
	closeSink(t, s)
	if b.String() != "one\n" {
		t.Errorf("%q", b.String())
	}
}
