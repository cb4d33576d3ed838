package logline

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// told collects what a sink says of its losses.
type told struct {
	mu    sync.Mutex // over lines
	lines []string
}

func (d *told) by(s *Sink) {
	s.OnLoss(func(n uint64, cause error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lines = append(d.lines, fmt.Sprint(n, " ", cause))
	})
}

// Losses are told soon, then once a minute, each once, and with their cause.
func TestLossesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		var said told
		s := newSink(t, d.open, 0)
		said.by(s)
		line := func(n int) {
			for range n {
				s.Write(0, []byte("line"))
				time.Sleep(flushEvery)
				synctest.Wait()
			}
		}
		f := func(want ...string) {
			t.Helper()
			time.Sleep(tellSoon)
			synctest.Wait()
			said.mu.Lock()
			defer said.mu.Unlock()
			if !slices.Equal(said.lines, want) {
				t.Errorf("it has told %q, want %q", said.lines, want)
			}
		}
		full := func(err error) {
			d.set(func() {
				d.fault = nil
				if err != nil {
					d.fault = func([]byte) (int, error) { return 0, err }
				}
			})
		}
		line(1)
		f()
		full(syscall.ENOSPC)
		line(2)
		const first = "2 no space left on device"
		f(first)
		line(3)
		f(first) // not yet again
		time.Sleep(tellAgain)
		f(first, "3 no space left on device")
		full(nil)
		line(1)
		time.Sleep(3 * tellAgain)
		full(syscall.EIO)
		line(1)
		f(first, "3 no space left on device", "1 input/output error") // soon, as at first
		full(nil)
		line(1)
		s.Write(0, make([]byte, 2*defaultMax))
		closeSink(t, s)
		f(first, "3 no space left on device", "1 input/output error", "1 <nil>")
	})
}

// A log that takes nothing is given up before long, a slow one is not.
func TestSinkEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := disk{gate: make(chan struct{})}
		s := newSink(t, d.open, 0)
		s.Write(0, []byte("one"))
		begun := time.Now()
		if err := s.End(time.Hour); err == nil || time.Since(begun) != stuckAfter {
			t.Errorf("one that is stuck: %v after %v", err, time.Since(begun))
		}
		close(d.gate)
		closeSink(t, s)

		slow := disk{fault: func(b []byte) (int, error) {
			time.Sleep(stuckAfter * 2 / 3)
			return len(b), nil
		}}
		s = newSink(t, slow.open, 0)
		for range 40 {
			s.Write(0, bytes.Repeat([]byte("x"), 20<<10))
		}
		begun = time.Now()
		if err := s.End(time.Hour); err != nil || s.Written() != 40 {
			t.Errorf("a slow one: %v, %d lines after %v", err, s.Written(), time.Since(begun))
		}
		s = newSink(t, slow.open, 0)
		for range 40 {
			s.Write(0, bytes.Repeat([]byte("x"), 20<<10))
		}
		if err := s.End(time.Second); err == nil || errors.Is(err, ErrClosed) {
			t.Errorf("a slow one without the time: %v", err)
		}
		closeSink(t, s)
	})
}
