package health

import (
	"context"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/chance"
)

// Run checks until ctx ends: first within a tenth of the interval, at a moment by chance so that many do not
// start in step; then every interval, faster while k is not healthy, give or take a tenth. Times run from the
// start of a check to that of the next, but at least a tenth of the interval is left free between two. When
// another Run has made the same checks of the target, this one goes on where that left off.
//
// report is called in Run's goroutine after each check, and is where k.Report is called. A check that is
// under way when ctx ends is made to its end and reported: reloads in quick succession would else never let
// one come to its end. No two checks are made with one k at a time.
func (h *Checker) Run(ctx context.Context, k *Knowledge, report func(err error)) {
	timer := time.NewTimer(max(chance.Duration(h.conf.Interval/10+1), k.rest(h.conf, time.Now())))
	defer timer.Stop()
	seen := k.checks()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !k.begin() { // one of a Run that has ended is still under way, and may do instead
			timer.Reset(h.conf.Interval/10 + 1)
			continue
		}
		start := time.Now()
		if n := k.checks(); n != seen { // it has done
			seen = n
			if rest := k.rest(h.conf, start); rest > 0 {
				k.end()
				timer.Reset(rest)
				continue
			}
		}
		err := h.Check(context.WithoutCancel(ctx))
		report(err)
		seen = k.checks()
		k.end()
		timer.Reset(pause(h.conf.every(k.State()), time.Since(start)))
	}
}

// pause returns the time until the next check after one that took so long.
func pause(every, took time.Duration) time.Duration {
	tenth := every / 10
	jittered := every - tenth + chance.Duration(2*tenth+1)
	return max(jittered-took, tenth)
}
