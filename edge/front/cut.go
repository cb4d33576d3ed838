package front

import (
	"slices"
	"time"
)

// Turn checks that connections are being served: each loop completes a round, and the locks of the listeners
// can be had. It needs no descriptor and leaves no trace.
func (f *Front) Turn(within time.Duration) error {
	f.mu.Lock()
	loops := f.loops
	for _, l := range f.listeners {
		l.mu.Lock()
		l.mu.Unlock() //nolint:staticcheck // acquiring it is the check
	}
	f.mu.Unlock()
	if loops == nil {
		return nil
	}
	return loops.Turn(within)
}

// Cut stops accepting everywhere and ends all connections now. It waits until their requests have ended and
// are in the log, and for no longer than within.
func (f *Front) Cut(within time.Duration) {
	f.mu.Lock()
	all := slices.Clone(f.leaving)
	for _, l := range f.listeners {
		all = append(all, l)
	}
	f.mu.Unlock()
	for _, l := range all {
		l.drain()
		l.cut()
	}
	for until := time.Now().Add(within); f.Connections() > 0 && time.Now().Before(until); {
		time.Sleep(5 * time.Millisecond) // the process ends: a signal from each connection is not worth its code
	}
}
