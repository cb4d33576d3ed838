package logline

import (
	"bytes"
	"io"
	"time"
)

// run is the writer. It sleeps without a timer while there are no lines.
func (s *Sink) run() {
	defer close(s.done)
	timer := time.NewTimer(flushEvery)
	defer timer.Stop()
	for {
		select {
		case <-s.kick:
		case <-s.quit:
			s.finish()
			return
		}
		hurry := s.full
		if s.failed {
			hurry = nil // a full disk is not tried again for every chunk
		}
		timer.Reset(flushEvery)
		select {
		case <-timer.C:
		case <-hurry:
		case <-s.quit:
			s.finish()
			return
		}
		s.flush(false)
	}
}

// flush writes all that waits. armed is reset before the lanes are looked at: a line
// put after its lane was collected finds it false and kicks again.
func (s *Sink) flush(last bool) {
	s.armed.Store(false)
	s.swap()
	for i := range s.lanes {
		s.batch = s.lanes[i].collect(s.batch[:0], last)
		for j, c := range s.batch {
			s.writeChunk(c)
			s.chunks.give(c)
			s.batch[j] = nil
		}
	}
}

// swap turns to the file that Reopen opened or, after a failure, opens it anew: the
// file may have been removed, or its file system mounted again.
func (s *Sink) swap() {
	s.mu.Lock()
	next := s.next
	s.next = nil
	s.mu.Unlock()
	if next == nil && s.failed {
		var err error
		if next, err = s.open(); err != nil {
			s.note(err)
			return
		}
	}
	s.failed = false
	if next == nil {
		return
	}
	if err := s.w.Close(); err != nil {
		s.note(err)
	}
	s.w = next
}

func (s *Sink) writeChunk(c *chunk) {
	n, err := s.write(c.b)
	if err == nil {
		s.written.Add(c.lines)
		return
	}
	s.failed = true
	s.note(err)
	whole := min(uint64(bytes.Count(c.b[:n], []byte{'\n'})), c.lines)
	s.written.Add(whole)
	s.lose(0, c.lines-whole)
}

// write writes b, on a new line if the last write was cut within one.
func (s *Sink) write(b []byte) (n int, err error) {
	if s.torn {
		if _, err = s.w.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		s.torn = false
	}
	n, err = s.w.Write(b)
	if n < len(b) && err == nil {
		err = io.ErrShortWrite
	}
	if n > 0 {
		s.torn = b[n-1] != '\n'
	}
	return n, err
}

// finish is the last act of the writer.
func (s *Sink) finish() {
	s.flush(true)
	s.mu.Lock()
	next := s.next
	s.next, s.closed = nil, true
	s.mu.Unlock()
	if next != nil {
		_ = next.Close() // nothing was written to it
	}
	if s.closeErr = s.w.Close(); s.closeErr != nil {
		s.note(s.closeErr)
	}
}
