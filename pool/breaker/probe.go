package breaker

// trial is what a half-open breaker knows of its probes. A new round begins when probes are given up: those
// that come back after all are of an older one, and have no place to leave.
type trial struct {
	underWay, good int
	round          uint8
	last           int64 // when one was let in last
}

// probe lets a call in when the breaker is half open. word is what the caller has read.
func (b *Breaker) probe(word uint64, now int64) Permit {
	if now < b.full.Load() {
		return Refused
	}
	b.mu.Lock()
	if b.word.Load() != word {
		b.mu.Unlock()
		return b.Admit(now)
	}
	defer b.mu.Unlock()
	t, c := &b.trial, b.conf.Load()
	if t.underWay >= c.Probes {
		if until := t.last + int64(c.OpenFor); now < until {
			b.full.Store(until)
			return Refused
		}
		t.underWay = 0 // they have not come back: they are lost
		t.round++
	}
	t.underWay++
	t.last = max(t.last, now)
	if t.underWay >= c.Probes {
		b.full.Store(t.last + int64(c.OpenFor))
	}
	return permit(word, permitProbe) | Permit(t.round)<<roundShift
}

// leave takes the probe of p from those under way, and reports whether the state is still the one it was let
// in by. The caller holds mu.
func (b *Breaker) leave(p Permit) bool {
	if uint64(p>>termShift) != b.word.Load()>>2 {
		return false
	}
	if t := &b.trial; t.round == uint8(p>>roundShift) && t.underWay > 0 {
		t.underWay--
		b.full.Store(0)
	}
	return true
}

// probeDone takes in how a probe ended. word is what the caller has read.
func (b *Breaker) probeDone(word uint64, now int64, p Permit, bad bool) {
	if bad {
		b.change(word, Open, now, "a probe failed")
		return
	}
	c := b.conf.Load()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.leave(p) {
		return
	}
	if b.trial.good++; b.trial.good < c.Probes {
		return
	}
	if c.Recovery > 0 {
		b.become(Recovering, now, "probes succeeded")
	} else {
		b.become(Closed, now, "probes succeeded")
	}
}
