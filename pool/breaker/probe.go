package breaker

// trial is what a half-open breaker knows of its probes, in one word that changes as a whole. From the lowest
// bit on: how many are under way (12 bits), how many have succeeded (12), the round (8), the low half of the
// term. A new round begins when probes are given up: those that come back after all are of an older one, and
// have no place to leave.
type trial uint64

const (
	oneUnderWay = trial(1)
	oneGood     = trial(1) << 12
	trialCount  = 1<<12 - 1
	trialRound  = 24
	trialTerm   = 32
)

func newTrial(term uint64) trial { return trial(term) << trialTerm }

func (t trial) underWay() int { return int(t & trialCount) }

func (t trial) good() int { return int(t >> 12 & trialCount) }

func (t trial) round() uint8 { return uint8(t >> trialRound) }

// of tells that the trial belongs to the term.
func (t trial) of(term uint64) bool { return uint32(t>>trialTerm) == uint32(term) }

// giveUp is the trial without those under way.
func (t trial) giveUp() trial {
	kept := t >> trialTerm << trialTerm
	return kept | trial(t.round()+1)<<trialRound | trial(t.good())<<12
}

// probe lets a call in when the breaker is half open. word is what the caller has read.
func (b *Breaker) probe(word uint64, now int64) Permit {
	c := b.conf.Load()
	for {
		t := trial(b.trial.Load())
		if !t.of(word >> 2) {
			return Refused // the state is changing
		}
		next := t
		if t.underWay() < c.Probes {
			b.probed.Store(now)
		} else {
			last := b.probed.Load()
			if now-last < int64(c.OpenFor) || !b.probed.CompareAndSwap(last, now) {
				return Refused
			}
			next = t.giveUp() // those that were let in have not come back: they are lost
		}
		next += oneUnderWay
		if b.trial.CompareAndSwap(uint64(t), uint64(next)) {
			return permit(word, permitProbe) | Permit(next.round())<<roundShift
		}
	}
}

// leave takes the probe of p from those under way and adds to what is known of all; it returns what is known
// then. 0: the state has changed since p was given.
func (b *Breaker) leave(p Permit, add trial) trial {
	for {
		t := trial(b.trial.Load())
		if !t.of(uint64(p >> termShift)) {
			return 0
		}
		next := t + add
		if t.round() == uint8(p>>roundShift) && t.underWay() > 0 {
			next -= oneUnderWay
		}
		if b.trial.CompareAndSwap(uint64(t), uint64(next)) {
			return next
		}
	}
}

// probeDone takes in how a probe ended.
func (b *Breaker) probeDone(word uint64, now int64, p Permit, bad bool) {
	if bad {
		b.change(word, Open, now, "a probe failed")
		return
	}
	c := b.conf.Load()
	if t := b.leave(p, oneGood); t == 0 || t.good() < c.Probes {
		return
	}
	if c.Recovery > 0 {
		b.change(word, Recovering, now, "probes succeeded")
	} else {
		b.change(word, Closed, now, "probes succeeded")
	}
}
