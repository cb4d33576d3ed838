package front

import (
	"slices"
	"time"
)

// Cut stops accepting everywhere and ends all connections now. It waits for a while at most until the requests on
// them have ended, which the log then tells of.
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
		time.Sleep(5 * time.Millisecond)
	}
}
