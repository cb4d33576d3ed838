// Package descriptors shares out the file descriptors that the process may have: so many for the connections
// of clients, as many for those to targets, the rest for the admin API, logs, files and pipes. Whoever asks
// for one too many is refused before the kernel fails with EMFILE, which would hit whoever comes next.
package descriptors

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/splice"
)

// Budget is how the descriptors of a process are shared out. Make it with New. All
// methods are for many goroutines.
type Budget struct {
	Clients Share // connections of clients
	Targets Share // connections to targets, the idle ones with them

	limit, spare atomic.Int64 // 0: not known
	targets      atomic.Int64 // as Want says; 0: not known
}

// Key is where the process's Budget is kept from generation to generation (edge.Keep).
const Key = "descriptors"

// New returns a Budget that bounds nothing until Fill; it has the form that edge.Keep wants.
func New() (*Budget, error) {
	b := &Budget{}
	b.Clients.freed, b.Targets.freed = make(chan struct{}, 1), make(chan struct{}, 1)
	return b, nil
}

// Bounds of what is set aside for the admin API, logs, files, checks and names that are asked for.
const (
	leastSpare = 8
	mostSpare  = 256
)

// Fill shares out limit descriptors: what is open now, but for connections, stays as it is, and so do those
// that listeners take up for a moment each.
func (b *Budget) Fill(limit, listeners int) {
	free := int64(limit-listeners-open()) + b.Clients.Used() + b.Targets.Used()
	free = max(free, 0)
	spare := min(max(free/16, leastSpare), mostSpare)
	pipes := max(free/32, 1)
	rest := max(free-spare-2*pipes, 2)
	splice.Bound(pipes)
	targets := rest - rest/2
	if n := b.targets.Load(); n > 0 {
		targets = min(targets, n)
	}
	b.Clients.most.Store(rest - targets)
	b.Targets.most.Store(targets)
	b.spare.Store(spare)
	b.limit.Store(int64(limit))
}

// Want sets how many connections to targets there may be at most; 0: unknown, and half of all are theirs. It
// holds from the next Fill on.
func (b *Budget) Want(n int) { b.targets.Store(int64(n)) }

// Limit returns how many descriptors the process may have; 0: that is not known.
func (b *Budget) Limit() int { return int(b.limit.Load()) }

// Spare returns how many are set aside for all that is no connection of a client or to a target; 0: as many
// as are wanted.
func (b *Budget) Spare() int { return int(b.spare.Load()) }

// open returns how many descriptors the process has, or a guess.
func open() int {
	const guess = 32
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return guess
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return guess
	}
	return len(names) - 1 // dir itself
}

// Short reports whether err means that the gateway, or its machine, has no descriptor or memory for another
// connection: it says nothing about the other side.
func Short(err error) bool {
	for _, e := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Share is one part of a Budget.
type Share struct {
	most    atomic.Int64 // 0: no bound
	used    atomic.Int64
	waiting atomic.Int64  // in Wait
	freed   chan struct{} // has a token when one was given back while a caller waited
}

// Used returns how many are in use.
func (s *Share) Used() int64 { return s.used.Load() }

// Most returns how many there are; 0: no bound.
func (s *Share) Most() int64 { return s.most.Load() }

// TryAcquire uses one if there is one left.
func (s *Share) TryAcquire() bool {
	for {
		used, most := s.used.Load(), s.most.Load()
		if most > 0 && used >= most {
			return false
		}
		if s.used.CompareAndSwap(used, used+1) {
			return true
		}
	}
}

// Add uses one more, whether there is one left or not.
func (s *Share) Add() { s.used.Add(1) }

// Give gives one back.
func (s *Share) Give() {
	s.used.Add(-1)
	if s.waiting.Load() > 0 {
		select {
		case s.freed <- struct{}{}:
		default: // there is one
		}
	}
}

// Wait takes one, and waits for d at most until there is one.
func (s *Share) Wait(d time.Duration) bool {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	if s.TryAcquire() { // given back before the line above, without a token
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.freed:
	case <-timer.C:
	}
	return s.TryAcquire()
}

// Over reports whether more are in use than there are.
func (s *Share) Over() bool {
	most := s.most.Load()
	return most > 0 && s.used.Load() > most
}

// Notice limits reports of a repeated event to one a minute. The zero value is ready.
type Notice struct {
	n    atomic.Int64 // since the last report
	last atomic.Int64 // when that was, nanoseconds of the wall clock; 0: never
}

// Due counts one more. It reports whether it is time to report them, and how many there were since the last
// time.
func (t *Notice) Due() (n int64, due bool) {
	t.n.Add(1)
	now, last := time.Now().UnixNano(), t.last.Load()
	if last != 0 && now-last < int64(time.Minute) || !t.last.CompareAndSwap(last, now) {
		return 0, false
	}
	return t.n.Swap(0), true
}
