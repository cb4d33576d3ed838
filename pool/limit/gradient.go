package limit

import (
	"math"
	"time"
)

// Sample is what a pool's answers looked like since the last tick.
type Sample struct {
	Count   int           // answers
	Typical time.Duration // the median of their times
	Dropped int           // attempts without an answer
}

// gradient moves a limit by how much longer answers take than they must: as long as they take no longer the
// limit grows; when they do, requests wait somewhere in the upstream, and it falls.
//
// How long answers must take is what the typical one took when nothing waited in the upstream. Medians are
// compared with medians: the fastest answers say nothing of the others, which may be of another kind. A full
// upstream does not show that time. So from time to time the limit is halved for as long as a few answers
// take: the queue in the upstream drains, what comes then is the new reference, and traffic goes on
// meanwhile. A reference that has become wrong for good is so replaced.
type gradient struct {
	best   float64 // how long the typical answer must take, nanoseconds; 0: not known
	lately float64 // how long it took lately, smoothed, nanoseconds; 0: not known
	last   float64 // the last gradient
	limit  float64 // with its fraction; 0: not begun
	anchor float64 // the limit when the last probe ended
	young  int     // samples that are still to come until the reference stands

	probing  bool
	until    int64   // end of the probe, or when the next one begins, 0: not yet set; clock nanoseconds
	half     int64   // answers from here on count in the probe; clock nanoseconds
	ticked   int64   // the last tick; clock nanoseconds
	ended    int64   // end of the last probe; clock nanoseconds
	sum, got float64 // of the times that count in the probe, and how many there were
}

const (
	tolerance  = 1.5                    // how much longer than it must the typical answer may take
	ease       = 1.2                    // as long as it takes no longer than so, the limit grows fast
	smoothing  = 0.2                    // of each step, and at most of each sample
	drift      = 0.02                   // of each sample, where the limit holds nobody back
	probeEvery = 10 * time.Second       // while the limit is used up
	firstProbe = 2 * time.Second        // after it was used up for the first time, and after a surprise
	probeLeast = 200 * time.Millisecond // a probe lasts
	probeMost  = 10 * time.Second       // of answers that take for ever
	probeLong  = time.Second            // from its half on lasts one that surprises
	youth      = 10                     // samples: the first answers to come are the fast ones
	dropShare  = 0.1                    // of attempts without an answer, from where the limit falls anyway
)

// tick returns the next limit. used is true when the limit is what holds requests back.
func (g *gradient) tick(c *Config, now int64, s Sample, used bool) int {
	if g.limit == 0 {
		g.limit = float64(c.start())
		g.anchor, g.young = g.limit, youth
	}
	if g.probing {
		g.probe(now, s)
	} else {
		g.learn(s, used)
		g.step(s, used)
		g.beginProbe(now, s, used)
	}
	g.ticked = now
	g.limit = min(max(g.limit, float64(c.Min)), float64(c.Max))
	if g.probing {
		return max(int(g.limit/2), c.Min)
	}
	return int(g.limit)
}

// learn takes in a sample; few answers weigh less. Where the limit holds nobody back the reference follows
// slowly.
func (g *gradient) learn(s Sample, used bool) {
	if s.Count == 0 || s.Typical <= 0 {
		return
	}
	weight := float64(s.Count) / float64(s.Count+16)
	if g.lately == 0 {
		g.lately = float64(s.Typical)
	}
	g.lately += min(weight, smoothing) * (float64(s.Typical) - g.lately)
	if g.young > 0 {
		g.young--
		g.best = g.lately
	}
	if !used {
		g.best += weight * drift * (g.lately - g.best)
	}
}

// step moves a limit that is used. Another stays: it does no harm, and chance in the times does none to it.
func (g *gradient) step(s Sample, used bool) {
	if s.Count > 0 && g.lately > 0 {
		g.last = min(max(tolerance*g.best/g.lately, 0.5), 1)
	}
	switch {
	case !used:
	case s.Dropped > 0 && float64(s.Dropped) > dropShare*float64(s.Count+s.Dropped):
		g.limit *= 0.9
	case s.Count > 0 && g.lately > 0:
		next := g.limit*g.last + math.Sqrt(g.limit)/2
		if g.lately < ease*g.best {
			next = max(next, 1.25*g.limit)
		}
		g.limit += smoothing * (next - g.limit)
	}
}

// beginProbe begins a probe when its time has come and there is a limit that holds requests back. A limit
// that has halved since the last one, in vain, does not wait long.
func (g *gradient) beginProbe(now int64, s Sample, used bool) {
	switch {
	case !used:
		g.until = 0
	case g.until == 0:
		g.until = now + int64(firstProbe)
	case s.Typical > 0 && (now >= g.until || g.limit < g.anchor/2 && now >= g.ended+int64(firstProbe)):
		length := int64(min(max(probeLeast, 3*s.Typical), probeMost))
		g.probing, g.half, g.until, g.sum, g.got = true, now+length/3, now+length, 0, 0
	}
}

// probe looks at what comes during a probe, and ends it. Where it hardly differs from the reference it is
// averaged with it. Where it surprises it goes on for a while, and if it still does it is believed, and
// another follows soon.
func (g *gradient) probe(now int64, s Sample) {
	if g.ticked >= g.half {
		g.sum += float64(s.Count) * float64(s.Typical)
		g.got += float64(s.Count)
	}
	if now < g.until {
		return
	}
	wait := probeEvery
	if g.got > 0 {
		seen := g.sum / g.got
		switch surprise := seen < g.best/ease || seen > g.best*tolerance; {
		case surprise && now < g.half+int64(probeLong):
			g.until = min(now+int64(probeLeast), g.half+int64(probeLong))
			return
		case surprise:
			wait = firstProbe
		default:
			seen = (seen + g.best) / 2
		}
		g.best, g.lately = seen, seen
	}
	g.probing, g.until, g.ended, g.anchor = false, now+int64(wait), now, g.limit
}

// Tick moves an adaptive limit; now is in clock nanoseconds. It is called some ten times a second, by one
// goroutine. A fixed limit stays.
func (l *Limiter) Tick(now int64, s Sample) {
	l.mu.Lock()
	c := l.conf.Load()
	if !c.Adaptive {
		l.mu.Unlock()
		return
	}
	used := l.waiting.Load() > 0 || 2*l.inFlight.Load() > l.limit.Load()
	limit := int64(l.grad.tick(c, now, s, used))
	more := limit > l.limit.Swap(limit)
	l.mu.Unlock()
	if more {
		l.kick()
	}
}
