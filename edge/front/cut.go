package front

import (
	"slices"
	"time"
)

// Turn reports whether connections are being looked after: each loop goes round, and nobody keeps the
// locks of the listeners. It takes no descriptor, and nobody hears of it.
func (f *Front) Turn(within time.Duration) error {
	f.mu.Lock()
	loops := f.loops
	for _, l := range f.listeners {
		l.mu.Lock()
		l.mu.Unlock() //nolint:staticcheck // that it can be had is all that is asked
	}
	f.mu.Unlock()
	if loops == nil {
		return nil
	}
	return loops.Turn(within)
}

// Cut stops accepting everywhere and ends all connections now. It waits for a while at most until the
// requests on them have ended, which the log then tells of.
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
