package logline

import (
	"sync"
	"sync/atomic"
	"time"
)

// losses reports the lines that a sink has dropped: soon after the first, then once a minute as long as
// there are more.
type losses struct {
	tell  atomic.Pointer[func(lines uint64, cause error)] // nil: losses are not reported
	armed atomic.Bool                                     // a timer will call tellLost

	mu     sync.Mutex // held while losses are reported; guards the two below
	told   uint64     // of those dropped
	errors uint64     // of the sink, at that report
}

const (
	tellSoon  = 250 * time.Millisecond // after the first loss: some more will have come
	tellAgain = time.Minute
)

// OnLoss has f called when lines have been dropped, once a minute at most and when the sink is closed,
// with how many were since the call before. cause is the latest error, nil when there was none since
// then: the lines came faster than they are taken. One call is made at a time; it is not made by those
// who call Write.
func (s *Sink) OnLoss(f func(lines uint64, cause error)) { s.losses.tell.Store(&f) }

// lose counts lines that are lost.
func (s *Sink) lose(lane uint32, n uint64) {
	s.dropped.Add(lane, n)
	l := &s.losses
	if n > 0 && !l.armed.Load() && l.tell.Load() != nil && l.armed.CompareAndSwap(false, true) {
		time.AfterFunc(tellSoon, s.tellLost)
	}
}

// tellLost is the timer's. It rests when nothing was lost since the last time.
func (s *Sink) tellLost() {
	if s.tellRest() {
		time.AfterFunc(tellAgain, s.tellLost)
		return
	}
	l := &s.losses
	l.armed.Store(false)
	l.mu.Lock()
	more := s.Dropped() != l.told // lost by a writer that saw the timer still armed
	l.mu.Unlock()
	if more && l.armed.CompareAndSwap(false, true) {
		time.AfterFunc(tellSoon, s.tellLost)
	}
}

// tellRest reports the losses that are not reported yet; false: there are none.
func (s *Sink) tellRest() bool {
	l := &s.losses
	tell := l.tell.Load()
	if tell == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	dropped, failed := s.Dropped(), s.Errors()
	lost := dropped - l.told
	if lost == 0 {
		return false
	}
	var cause error
	if failed != l.errors {
		cause = s.LastError()
	}
	l.told, l.errors = dropped, failed
	(*tell)(lost, cause)
	return true
}
