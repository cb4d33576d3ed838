package cache

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
)

// purges are the answers that must not be used any more. Nothing is deleted: an answer that was asked for
// before a purge of something it belongs to is passed over, and its room is taken by others in time. So a
// purge costs the same whatever it concerns.
//
// Purges are numbered. An answer has the number of the latest one at the time when it was asked for.
type purges struct {
	latest atomic.Int64
	all    atomic.Int64 // the latest purge of everything
	soft   atomic.Int64 // the same, softly

	mu    sync.RWMutex    // guards what follows, and the order of numbers
	marks map[uint64]mark // by hash of a URL or a tag
	bans  []ban
}

// mark is the number of the latest purge of something; 0: none.
type mark struct{ hard, soft int64 }

// ban is a purge of all URLs with a beginning, or that match an expression.
type ban struct {
	prefix []byte
	match  *regexp.Regexp // nil: it is by prefix
	number int64
	soft   bool
	until  int64 // milliseconds since 1970; it does not hold any more then
}

func (b *ban) hits(url []byte) bool {
	if b.match != nil {
		return b.match.Match(url)
	}
	return bytes.HasPrefix(url, b.prefix)
}

// Bounds of what is remembered; with more, everything is purged.
const (
	mostMarks   = 1 << 20
	mostBans    = 1000
	mostMatches = 50 // of the bans, those with an expression, as each costs a microsecond a hit
)

// verdict is what purges say of an answer.
type verdict uint8

const (
	kept  verdict = iota
	stale         // it may be used after it was asked for, or when that fails
	purged
)

// past is what purges were, before those with the number first and later ones. marks has those of the
// hashes that are asked about.
type past struct {
	first     int64
	all, soft int64
	marks     map[uint64]mark
}

// past returns what the purges are now.
func (p *purges) past(hashes []uint64) past {
	p.mu.RLock()
	defer p.mu.RUnlock()
	was := past{p.latest.Load() + 1, p.all.Load(), p.soft.Load(), map[uint64]mark{}}
	for _, h := range hashes {
		was.marks[h] = p.marks[h]
	}
	return was
}

// judge says whether an answer with a number may be used, given its URL and the hashes of that and of
// its tags. now is in milliseconds since 1970.
func (p *purges) judge(number int64, url []byte, hashes []byte, now int64) verdict {
	if number >= p.latest.Load() {
		return kept
	}
	return p.judgeAt(number, url, hashes, now, nil)
}

// judgeAt is judge as it was; nil: as it is.
func (p *purges) judgeAt(number int64, url []byte, hashes []byte, now int64, was *past) verdict {
	all, soft := p.all.Load(), p.soft.Load()
	if was != nil {
		all, soft = was.all, was.soft
	}
	if number < all {
		return purged
	}
	v := kept
	if number < soft {
		v = stale
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(p.marks) > 0 {
		for h := hashURL(url); ; h, hashes = hashAt(hashes), hashes[8:] { // it may have been fetched by another URL
			m := p.marks[h]
			if was != nil {
				m = was.mark(h, m)
			}
			if number < m.hard {
				return purged
			}
			if number < m.soft {
				v = stale
			}
			if len(hashes) < 8 {
				break
			}
		}
	}
	for i := range p.bans {
		b := &p.bans[i]
		if number >= b.number || now >= b.until || was != nil && b.number >= was.first || !b.hits(url) {
			continue
		}
		if !b.soft {
			return purged
		}
		v = stale
	}
	return v
}

// mark returns what a mark was that is m now.
func (w *past) mark(h uint64, m mark) mark {
	if old, ok := w.marks[h]; ok {
		return old
	}
	return m
}

// byHash purges what has a URL or a tag with this hash. Like those that follow, it returns what is to be
// written down of it.
func (p *purges) byHash(h uint64, soft bool) (note []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.latest.Load() + 1
	if len(p.marks) >= mostMarks {
		// Better too much is fetched anew than something used that was purged.
		clear(p.marks)
		p.all.Store(n)
		note = purge{kind: purgeAll, number: n}.note()
	} else {
		note = purge{kind: purgeHash, soft: soft, number: n, what: binary.LittleEndian.AppendUint64(nil, h)}.note()
	}
	p.mark(h, n, soft)
	p.latest.Store(n)
	return note
}

// mark gives a hash a number. p.mu is held.
func (p *purges) mark(h uint64, n int64, soft bool) {
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

// byRule purges all URLs with a prefix or, if match is not nil, that match it. now and until are
// milliseconds since 1970.
func (p *purges) byRule(prefix []byte, match *regexp.Regexp, now, until int64, soft bool) (note []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.latest.Load() + 1
	p.bans = slices.DeleteFunc(p.bans, func(b ban) bool { return b.until <= now })
	if p.full(match) {
		p.bans = nil
		p.all.Store(n)
		note = purge{kind: purgeAll, number: n}.note()
	} else {
		one := ban{slices.Clone(prefix), match, n, soft, until}
		p.bans = append(p.bans, one)
		note = one.purge().note()
	}
	p.latest.Store(n)
	return note
}

// full tells that there are as many rules as there may be. p.mu is held.
func (p *purges) full(match *regexp.Regexp) bool {
	matches := 0
	for i := range p.bans {
		if p.bans[i].match != nil {
			matches++
		}
	}
	return len(p.bans) >= mostBans || match != nil && matches >= mostMatches
}

// everything purges all.
func (p *purges) everything(soft bool) (note []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.latest.Load() + 1
	if soft {
		p.soft.Store(n)
	} else {
		p.all.Store(n)
	}
	p.latest.Store(n)
	return purge{kind: purgeAll, soft: soft, number: n}.note()
}
