package breaker

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// twin is a breaker as one would write it down: lists of calls and of probes, and no care for speed. Whom it
// lets in while it recovers is a matter of chance: there it takes what the other one did.
type twin struct {
	c      *Config
	state  State
	term   int // changes of state so far
	since  int64
	until  int64
	opened int
	calls  []twinCall // that ended since the last change
	probes []*twinProbe
	lastIn int64 // when a probe was let in last
}

type twinCall struct {
	at           int64
	failed, slow bool
}

type twinProbe struct {
	lost      bool
	succeeded bool
	cancelled bool
}

type twinPermit struct {
	term  int
	probe *twinProbe // nil: an ordinary call
}

// admit reports whether a call is let in; did is what the other one did.
func (w *twin) admit(now int64, did bool) (twinPermit, bool) {
	if w.state == Open && now >= w.until {
		w.become(HalfOpen, now)
	}
	if w.state == Recovering && now >= w.since+int64(w.c.Recovery) {
		w.become(Closed, now)
	}
	switch w.state {
	case Open:
		return twinPermit{}, false
	case Recovering:
		return twinPermit{term: w.term}, did
	case HalfOpen:
		if !w.room(now) {
			return twinPermit{}, false
		}
		p := &twinProbe{}
		w.probes, w.lastIn = append(w.probes, p), now
		return twinPermit{w.term, p}, true
	}
	return twinPermit{term: w.term}, true
}

// room reports whether another probe may be let in; those that have not come back for long make it.
func (w *twin) room(now int64) bool {
	var out []*twinProbe
	for _, p := range w.probes {
		if !p.lost && !p.succeeded && !p.cancelled {
			out = append(out, p)
		}
	}
	if len(out) < w.c.Probes {
		return true
	}
	if now < w.lastIn+int64(w.c.OpenFor) {
		return false
	}
	for _, p := range out {
		p.lost = true
	}
	return true
}

func (w *twin) become(s State, now int64) {
	w.state, w.since, w.calls, w.probes = s, now, nil, nil
	w.term++
	switch s {
	case HalfOpen:
		w.lastIn = now
	case Closed:
		w.opened = 0
	case Open:
		w.opened++
		long := w.c.OpenFor
		for range w.opened - 1 {
			long = min(2*long, w.c.MaxOpenFor)
		}
		w.until = now + int64(long)
	}
}

func (w *twin) cancel(p twinPermit) {
	if p.probe != nil {
		p.probe.cancelled = true
	}
}

func (w *twin) done(now int64, p twinPermit, failed bool, took time.Duration) {
	if p.term != w.term {
		return
	}
	slow := w.c.SlowCall > 0 && took >= w.c.SlowCall
	if p.probe != nil {
		w.probeDone(now, p.probe, failed || slow)
		return
	}
	w.calls = append(w.calls, twinCall{now, failed, slow})
	if failed && w.inARow() || (failed || slow) && w.share(now) {
		w.become(Open, now)
	}
}

func (w *twin) probeDone(now int64, p *twinProbe, bad bool) {
	if bad {
		w.become(Open, now)
		return
	}
	p.succeeded = true
	good := 0
	for _, p := range w.probes {
		if p.succeeded {
			good++
		}
	}
	switch {
	case good < w.c.Probes:
	case w.c.Recovery > 0:
		w.become(Recovering, now)
	default:
		w.become(Closed, now)
	}
}

func (w *twin) inARow() bool {
	n := w.c.ConsecutiveErrors
	if n == 0 || len(w.calls) < n {
		return false
	}
	for _, k := range w.calls[len(w.calls)-n:] {
		if !k.failed {
			return false
		}
	}
	return true
}

// share reports whether too many of the calls in the window failed or were slow.
func (w *twin) share(now int64) bool {
	tenth := int64(w.c.Window) / 10
	n, bad, late := 0, 0, 0
	for _, k := range w.calls {
		if k.at/tenth <= now/tenth-10 {
			continue
		}
		n++
		if k.failed {
			bad++
		}
		if k.slow {
			late++
		}
	}
	most := func(of int, percent float64) bool { return percent > 0 && float64(100*of)/float64(n) >= percent }
	return n >= w.c.MinRequests && (most(bad, w.c.ErrorPercent) || most(late, w.c.SlowPercent))
}

// pair is a breaker and its twin.
type pair struct {
	*rapid.T
	b     *Breaker
	w     *twin
	now   int64
	under []bothPermits
	mood  int // one call in so many fails
}

type bothPermits struct {
	b Permit
	w twinPermit
}

func (p *pair) admit() {
	got := p.b.Admit(p.now)
	want, ok := p.w.admit(p.now, got != Refused)
	if (got != Refused) != ok {
		p.Fatalf("let in: %v, want %v", got != Refused, ok)
	}
	if ok {
		p.under = append(p.under, bothPermits{got, want})
	}
}

// end ends one of the calls under way.
func (p *pair) end() {
	i := rapid.IntRange(0, len(p.under)-1).Draw(p.T, "which")
	k := p.under[i]
	p.under = slices.Delete(p.under, i, i+1)
	if rapid.IntRange(0, 9).Draw(p.T, "cancelled") == 9 {
		p.b.Cancel(k.b)
		p.w.cancel(k.w)
		return
	}
	failed := rapid.IntRange(1, p.mood).Draw(p.T, "failed") == 1
	took := time.Duration(rapid.IntRange(0, 2).Draw(p.T, "took")) * time.Second
	p.b.Done(p.now, k.b, failed, took)
	p.w.done(p.now, k.w, failed, took)
}

func drawConfig(t *rapid.T) *Config {
	c := plain()
	c.Window = time.Duration(rapid.IntRange(1, 100).Draw(t, "window")) * 100 * time.Millisecond
	c.Recovery = time.Duration(rapid.IntRange(0, 4).Draw(t, "recovery")) * time.Second
	c.OpenFor = time.Duration(rapid.IntRange(1, 5).Draw(t, "open for")) * time.Second
	c.MaxOpenFor = c.OpenFor * time.Duration(rapid.IntRange(1, 9).Draw(t, "at most"))
	c.MinRequests = rapid.IntRange(1, 12).Draw(t, "min requests")
	c.Probes = rapid.IntRange(1, 4).Draw(t, "probes")
	c.ErrorPercent = float64(rapid.IntRange(0, 100).Draw(t, "error percent"))
	c.ConsecutiveErrors = rapid.IntRange(0, 6).Draw(t, "in a row")
	if rapid.Bool().Draw(t, "slow calls count") {
		c.SlowCall, c.SlowPercent = time.Second, float64(rapid.IntRange(1, 100).Draw(t, "slow percent"))
	}
	return c
}

func TestAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		p := &pair{T: t, b: New(c, nil), w: &twin{c: c}, now: second, mood: 2}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch k := rapid.IntRange(0, 20).Draw(t, "step"); {
			case k == 20:
				p.b.Trial(p.now)
				if p.w.state == Open {
					p.w.become(HalfOpen, p.now)
				}
			case k >= 17:
				p.now += rapid.Int64Range(0, 7*second).Draw(t, "passes")
			case k == 16:
				p.mood = rapid.IntRange(1, 9).Draw(t, "mood")
			case k == 15:
				p.now += rapid.Int64Range(0, second/5).Draw(t, "passes a little")
			case k >= 8 && len(p.under) > 0:
				p.end()
			default:
				p.admit()
			}
			if p.b.State() != p.w.state {
				t.Fatalf("%v, want %v", p.b.State(), p.w.state)
			}
			if s := p.b.Snapshot(p.now); s.Opened < uint64(p.w.opened) {
				t.Fatalf("opened %d times in all, %d in a row", s.Opened, p.w.opened)
			}
		}
	})
}
