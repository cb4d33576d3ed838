package purge

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
)

// Set are the answers that must not be used any more. Nothing is deleted: an answer that was asked for
// before a purge of something it belongs to is passed over, and its room is taken by others in time. So a
// purge costs the same whatever it concerns.
//
// Purges are numbered. An answer has the number of the latest one at the time when it was asked for.
type Set struct {
	Latest atomic.Int64
	all    atomic.Int64 // the latest purge of everything
	soft   atomic.Int64 // the same, softly

	mu    sync.RWMutex    // guards what follows, and the order of numbers
	marks map[uint64]mark // by hash of a URL or a tag
	bans  []Rule
}

// mark is the number of the latest purge of something; 0: none.
type mark struct{ hard, soft int64 }

// Rule is a purge of all URLs with a beginning, or that match an expression.
type Rule struct {
	Prefix []byte
	Match  *regexp.Regexp // nil: it is by prefix
	number int64
	soft   bool
	until  int64 // milliseconds since 1970; it does not hold any more then
}

// Hits reports whether a URL is among those that b purges.
func (b *Rule) Hits(url []byte) bool {
	if b.Match != nil {
		return b.Match.Match(url)
	}
	return bytes.HasPrefix(url, b.Prefix)
}

// Bounds of what is remembered; with more, everything is purged.
const (
	mostMarks   = 1 << 20
	mostBans    = 1000
	mostMatches = 50 // of the bans, those with an expression, as each costs a microsecond a hit
)

// Verdict is what purges say of an answer.
type Verdict uint8

// The verdicts.
const (
	Kept  Verdict = iota
	Stale         // it may be used after it was asked for, or when that fails
	Purged
)

// Past is what purges were, before those with the number first and later ones. marks has those of the
// hashes that are asked about.
type Past struct {
	First     int64
	all, soft int64
	marks     map[uint64]mark
}

// Past returns what the purges are now.
func (p *Set) Past(hashes []uint64) Past {
	p.mu.RLock()
	defer p.mu.RUnlock()
	was := Past{p.Latest.Load() + 1, p.all.Load(), p.soft.Load(), map[uint64]mark{}}
	for _, h := range hashes {
		was.marks[h] = p.marks[h]
	}
	return was
}

// Judge reports whether an answer with a number may be used, given its URL and the hashes of that and of
// its tags. now is in milliseconds since 1970.
func (p *Set) Judge(number int64, url []byte, hashes []byte, now int64) Verdict {
	if number >= p.Latest.Load() {
		return Kept
	}
	return p.JudgeAt(number, url, hashes, now, nil)
}

// JudgeAt is judge as it was; nil: as it is.
func (p *Set) JudgeAt(number int64, url []byte, hashes []byte, now int64, was *Past) Verdict {
	all, soft := p.all.Load(), p.soft.Load()
	if was != nil {
		all, soft = was.all, was.soft
	}
	if number < all {
		return Purged
	}
	v := Kept
	if number < soft {
		v = Stale
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	return max(v, p.judgeMarks(number, url, hashes, was), p.judgeRules(number, url, now, was))
}

// judgeMarks returns what the purges of a URL and of tags say of an answer. p.mu is held.
func (p *Set) judgeMarks(number int64, url, hashes []byte, was *Past) (v Verdict) {
	if len(p.marks) == 0 {
		return Kept
	}
	for h := HashURL(url); ; h, hashes = HashAt(hashes), hashes[8:] { // it may have been fetched by another URL
		m := p.marks[h]
		if was != nil {
			m = was.mark(h, m)
		}
		if number < m.hard {
			return Purged
		}
		if number < m.soft {
			v = Stale
		}
		if len(hashes) < 8 {
			return v
		}
	}
}

// judgeRules returns what prefixes and expressions say of an answer. p.mu is held.
func (p *Set) judgeRules(number int64, url []byte, now int64, was *Past) (v Verdict) {
	for i := range p.bans {
		b := &p.bans[i]
		if number >= b.number || now >= b.until || was != nil && b.number >= was.First || !b.Hits(url) {
			continue
		}
		if !b.soft {
			return Purged
		}
		v = Stale
	}
	return v
}

// mark returns what a mark was that is m now.
func (w *Past) mark(h uint64, m mark) mark {
	if old, ok := w.marks[h]; ok {
		return old
	}
	return m
}

// ByHash purges what has a URL or a tag with this hash. Like those that follow, it returns what is to be
// written down of it.
func (p *Set) ByHash(h uint64, soft bool) (note []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.Latest.Load() + 1
	if len(p.marks) >= mostMarks {
		// Better too much is fetched anew than something used that was purged.
		clear(p.marks)
		p.all.Store(n)
		note = purge{kind: purgeAll, number: n}.note()
	} else {
		note = purge{kind: purgeHash, soft: soft, number: n, what: binary.LittleEndian.AppendUint64(nil, h)}.note()
	}
	p.mark(h, n, soft)
	p.Latest.Store(n)
	return note
}

// mark gives a hash a number. p.mu is held.
func (p *Set) mark(h uint64, n int64, soft bool) {
	if p.marks == nil {
		p.marks = map[uint64]mark{}
	}
	m := p.marks[h]
	if soft {
		m.soft = max(m.soft, n)
	} else {
		m.hard = max(m.hard, n)
	}
	p.marks[h] = m
}

// ByRule purges all URLs with a prefix or, if match is not nil, that match it. now and until are
// milliseconds since 1970.
func (p *Set) ByRule(prefix []byte, match *regexp.Regexp, now, until int64, soft bool) (note []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.Latest.Load() + 1
	p.bans = slices.DeleteFunc(p.bans, func(b Rule) bool { return b.until <= now })
	if p.full(match) {
		p.bans = nil
		p.all.Store(n)
		note = purge{kind: purgeAll, number: n}.note()
	} else {
		one := Rule{slices.Clone(prefix), match, n, soft, until}
		p.bans = append(p.bans, one)
		note = one.purge().note()
	}
	p.Latest.Store(n)
	return note
}

// full reports whether there are as many rules as there may be. p.mu is held.
func (p *Set) full(match *regexp.Regexp) bool {
	matches := 0
	for i := range p.bans {
		if p.bans[i].Match != nil {
			matches++
		}
	}
	return len(p.bans) >= mostBans || match != nil && matches >= mostMatches
}

// Everything purges all.
func (p *Set) Everything(soft bool) (note []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.Latest.Load() + 1
	if soft {
		p.soft.Store(n)
	} else {
		p.all.Store(n)
	}
	p.Latest.Store(n)
	return purge{kind: purgeAll, soft: soft, number: n}.note()
}
