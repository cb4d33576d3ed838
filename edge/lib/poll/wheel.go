package poll

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// tick is how late SetDue may be, in nanoseconds.
const tick = int64(1) << 21 // 2 ms

// Coarse returns a moment up to 34 ms after at. Sockets that are due when it does not matter to the
// millisecond expire together.
func Coarse(at int64) int64 {
	const together = int64(1)<<25 - 1
	return (at + together) &^ together
}

const (
	slots   = 16384   // a turn of the wheel takes 34 s; what is due later is looked at once a turn
	maxRest = 1 << 30 // milliseconds
)

// wheel keeps sockets by the moment they are to be looked at. A socket whose due time moves to later stays
// where it is until then: in steady state a request touches no lock of the wheel.
type wheel struct {
	mu   sync.Mutex // guards what follows, and tick and links of the sockets in it
	now  int64      // ticks that are done
	slot [slots]*Socket
	used [slots / 64]uint64 // a bit for each slot with sockets
	soon atomic.Int64       // the first tick that may have sockets
}

func (w *wheel) init(now int64) {
	w.now = now / tick
	w.soon.Store(never)
}

const never = int64(1)<<62 - 1

// put schedules s to be looked at when at has passed, in clock nanoseconds. It reports whether that is
// before all others.
func (w *wheel) put(s *Socket, at int64) (first bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.ref.Load()&closed != 0 {
		return false
	}
	return w.link(s, at)
}

// link is put while w.mu is held.
func (w *wheel) link(s *Socket, at int64) (first bool) {
	w.unlink(s)
	t := min(max((at+tick-1)/tick, w.now+1), w.now+slots-1)
	i := t % slots
	s.prev, s.next = nil, w.slot[i]
	if s.next != nil {
		s.next.prev = s
	}
	w.slot[i] = s
	w.used[i/64] |= 1 << (i % 64)
	s.tick.Store(t)
	if t >= w.soon.Load() {
		return false
	}
	w.soon.Store(t)
	return true
}

// remove takes s out for good.
func (w *wheel) remove(s *Socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(s)
}

// unlink takes s out; w.mu is held.
func (w *wheel) unlink(s *Socket) {
	t := s.tick.Load()
	if t == 0 {
		return
	}
	i := t % slots
	if s.next != nil {
		s.next.prev = s.prev
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else if w.slot[i] = s.next; s.next == nil {
		w.used[i/64] &^= 1 << (i % 64)
	}
	s.prev, s.next = nil, nil
	s.tick.Store(0)
}

// expired takes out a socket whose due time has passed; nil when there is none. Only the loop calls it.
func (w *wheel) expired(now int64) *Socket {
	if now/tick < w.soon.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.now < now/tick {
		t := w.now + 1
		s := w.slot[t%slots]
		if s == nil {
			w.now = max(t, min(w.soonest()-1, now/tick))
			continue
		}
		due := s.due.Load()
		w.unlink(s)
		switch {
		case due <= 0:
		case due > now:
			w.link(s, due)
		default:
			return s
		}
	}
	w.soon.Store(w.soonest())
	return nil
}

// rest returns for how many milliseconds the loop may sleep, as epoll_wait takes it.
func (w *wheel) rest(now int64) int {
	soon := w.soon.Load()
	if soon == never {
		return -1
	}
	return int(min(max(soon*tick-now+999_999, 0)/1_000_000, maxRest))
}

// soonest returns the first tick that has sockets; w.mu is held.
func (w *wheel) soonest() int64 {
	from := (w.now + 1) % slots
	for n := range int64(len(w.used) + 1) {
		i := (from/64 + n) % int64(len(w.used))
		word := w.used[i]
		if n == 0 {
			word &= ^uint64(0) << (from % 64)
		} else if n == int64(len(w.used)) {
			word &= 1<<(from%64) - 1
		}
		if word != 0 {
			at := i*64 + int64(bits.TrailingZeros64(word))
			return w.now + 1 + (at-from+slots)%slots
		}
	}
	return never
}
