package front

import (
	"log/slog"
	"time"
)

// logDropped logs that fields were dropped, at most once a minute, until done is closed. It logs the first
// ones at once: somebody may be looking for them.
func (s *settings) logDropped(done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var told time.Time
	before := [2]uint64{s.Underscored.Sum(), s.Alike.Sum()}
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		now := [2]uint64{s.Underscored.Sum(), s.Alike.Sum()}
		if now == before || time.Since(told) < time.Minute {
			continue
		}
		slog.Warn("fields of requests were dropped for their names, see underscore_fields",
			"listener", s.Name, "underscore", now[0]-before[0], "look_alike", now[1]-before[1])
		before, told = now, time.Now()
	}
}
